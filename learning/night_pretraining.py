"""Pre-training before the adaptation of a night, where the corpus has changed enough since the last one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reid_pipeline.learning.adapt_command import WORK_FOLDER, Stage
from reid_pipeline.learning.errors import WorkFolderError
from reid_pipeline.learning.material import Material
from reid_pipeline.learning.pretrain import Pretrained, PretrainJob, pretrain
from reid_pipeline.learning.pretrain_recipe import PretrainRecipe, find_pretrain_recipe
from reid_pipeline.learning.run_record import recorded
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.learning_runs import LearningEnd, LearningKind, LearningRun, LearningRuns, LearningStatus
from reid_pipeline.storage.model_card import CARD_NAME, Model, load_model

FOLDER_NAME: Final = "night-pretraining"  # in the site's folder of learning
_CROPS: Final = "crops"  # in the settings of a night's pre-training in the database, and of nothing else there
_TRIED: Final = (LearningStatus.DONE, LearningStatus.FAILED)


@dataclass(frozen=True, slots=True)
class PretrainRule:
    """When it is time, and how it is done then.

    Attributes:
        fewest: Crops below which it never is.
        growth: By which share of the crops of the last time the corpus must have grown.
        nights: Or how many nights must have gone by.
        recipe: How.
    """

    fewest: int = 20_000
    growth: float = 0.5
    nights: int = 30
    recipe: PretrainRecipe = field(default_factory=lambda: find_pretrain_recipe("site"))


def is_due(rule: PretrainRule, crops: int, history: Sequence[LearningRun]) -> bool:
    """Whether it is time; one that failed counts, so that it does not take up every night.

    Args:
        rule: See `PretrainRule`.
        crops: That there are to learn from now.
        history: Of the site's learning, newest first.
    """
    if crops < rule.fewest:
        return False
    nights = 0
    for run in history:
        before = run.start.settings.get(_CROPS)
        if isinstance(before, int) and run.end.status in _TRIED:
            return crops >= (1.0 + rule.growth) * before or nights >= rule.nights
        nights += run.start.kind == LearningKind.NIGHTLY and run.end.status == LearningStatus.DONE
    return True


@dataclass(frozen=True, slots=True)
class NightPretraining:
    """See `adapt_command.Beginning`.

    Attributes:
        data_dir: Folder of the site.
        rule: When it is time.
        seed: Of everything random.
        stage: Shows progress.
    """

    data_dir: Path
    rule: PretrainRule
    seed: int
    stage: Stage

    def __call__(self, serving: Model, training: Material, budget_s: float) -> Model | None:
        """The serving model, pre-trained where it is time, or by a night that was broken off after that."""
        made = self._find_made(serving)
        if made is not None:
            return made
        with open_database(self.data_dir) as database:
            history = LearningRuns(database).read()
        if not is_due(self.rule, len(training.crops), history):
            return None
        told = {_CROPS: len(training.crops), "budget_s": budget_s, "recipe": self.rule.recipe.model_dump(mode="json")}
        job = PretrainJob(self.rule.recipe, self.seed, budget_s, serving)
        with recorded(self.data_dir, LearningKind.PRETRAIN, self.seed, told, serving.identity) as tell:
            found = self._pretrain(training, job)
            figures = {name: getattr(found, name) for name in ("tracklets", "steps", "epochs", "queue", "loss")}
            tell(LearningEnd(LearningStatus.DONE, found.model.name, figures=figures))
        return found.model

    @property
    def folder(self) -> Path:
        """Of checkpoint and model; they are for this night alone."""
        return self.data_dir / WORK_FOLDER / FOLDER_NAME

    def clear(self) -> None:
        """Removes what a night has left, once it is over."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _pretrain(self, training: Material, job: PretrainJob) -> Pretrained:
        with self.stage("pre-training") as progress:
            try:
                found = pretrain(training, job, self.folder, self.folder, lambda at: progress(at.step, at.steps))
            except WorkFolderError:  # of a night with another encoder or budget
                self.clear()
                found = pretrain(training, job, self.folder, self.folder, lambda at: progress(at.step, at.steps))
        if found is None:
            raise TypeError("nobody else trains with a night")
        return found

    def _find_made(self, serving: Model) -> Model | None:
        for card in self.folder.glob(f"*/{CARD_NAME}"):
            try:
                model = load_model(card.parent)
            except ModelError:
                continue
            if model.card is not None and model.card.parent == serving.identity:
                return model
        return None
