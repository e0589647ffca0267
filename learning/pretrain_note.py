"""What a pre-training that has begun is to become, noted in its work folder, so that it can go on after a break."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from reid_pipeline.learning.errors import WorkFolderError
from reid_pipeline.learning.event_file import FILE_NAME as EVENTS_NAME
from reid_pipeline.learning.pretrain_recipe import PretrainRecipe
from reid_pipeline.learning.recipe import StrictPart
from reid_pipeline.learning.trainer import CHECKPOINT_NAME, LOG_NAME

NOTE_NAME: Final = "pretrain.json"


class PretrainNote(StrictPart):
    """A job and how it began.

    Attributes:
        recipe: How.
        seed: Of everything random.
        budget_s: Seconds that it may take.
        start: Hash of the encoder that it began with.
        model_name: What the model will be called.
        until_us: Latest beginning of a tracklet that is learnt from; None before the material is known.
        corpus: Digest of the material, see `pretrain.digest_material`.
        steps: Number of steps in all; None before it is known.
    """

    recipe: PretrainRecipe
    seed: int
    budget_s: float | None
    start: str | None
    model_name: str
    until_us: int | None = None
    corpus: str | None = None
    steps: int | None = None

    def write(self, work: Path) -> None:
        """Writes it into a work folder; a crash leaves the old one."""
        part = work / (NOTE_NAME + ".part")
        part.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        part.replace(work / NOTE_NAME)

    def close(self, work: Path) -> None:
        """Removes it and the checkpoint from a work folder."""
        (work / CHECKPOINT_NAME).unlink(missing_ok=True)
        (work / NOTE_NAME).unlink(missing_ok=True)


def open_note(work: Path, recipe: PretrainRecipe, seed: int, budget_s: float | None, start: str | None) -> PretrainNote:
    """The note on the same job in a work folder, else a new one; the log of a finished job is removed.

    Raises:
        WorkFolderError: Another job was begun there.
    """
    path = work / NOTE_NAME
    if path.is_file():
        note = _read(path)
        if (note.recipe, note.seed, note.budget_s, note.start) == (recipe, seed, budget_s, start):
            return note
        raise WorkFolderError(
            f"{work}: another pre-training was begun there: call it again as then to go on, name another folder with "
            "--out, or remove it"
        )
    for name in (CHECKPOINT_NAME, LOG_NAME, EVENTS_NAME):
        (work / name).unlink(missing_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    name = f"pretrained-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    return PretrainNote(recipe=recipe, seed=seed, budget_s=budget_s, start=start, model_name=name)


def _read(path: Path) -> PretrainNote:
    try:
        return PretrainNote.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise WorkFolderError(f"{path}: not a note of this program: remove the folder to begin anew") from error
