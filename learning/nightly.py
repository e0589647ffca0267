"""`nightly`: one night of a site, unattended: recover, pre-train where it is time, adapt, examine, promote, tidy up.

Nothing but the last step of a promotion changes what serves: until its line is in the log, and at whatever moment the
machine is switched off, the old encoder serves as before. A night that was broken off is gone on with by the next one;
what a night that failed has left is closed, so that the next one begins anew.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from reid_pipeline.learning.adapt import SITE_CROPS
from reid_pipeline.learning.adapt_command import (
    REPORT_NAME,
    START_NAME,
    WORK_FOLDER,
    AdaptOptions,
    Stage,
    adapt_site_encoder,
    keep_report,
    outcome_of,
)
from reid_pipeline.learning.errors import ThinMaterial
from reid_pipeline.learning.night_pretraining import NightPretraining, PretrainRule
from reid_pipeline.learning.run_record import alone, recorded
from reid_pipeline.pipeline.serving import SiteModels
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.learning_runs import LearningKind
from reid_pipeline.storage.model_card import CARD_NAME
from reid_pipeline.storage.model_registry import SITE_MODELS, Entry
from reid_pipeline.storage.reembedding import drop_superseded

logger = logging.getLogger(__name__)

KEPT_MODELS: Final = 7
_GOING: Final = ".going-"  # before the name of a model that is being removed
_HALF_MADE: Final = (f"{_GOING}*", "*.part", "*.old")


@dataclass(frozen=True, slots=True)
class NightOptions:
    """How a night goes.

    Attributes:
        adapt: See `AdaptOptions`.
        kept: How many adapted models stay for a rollback.
        pretraining: When one is due.
    """

    adapt: AdaptOptions = field(default_factory=AdaptOptions)
    kept: int = KEPT_MODELS
    pretraining: PretrainRule = field(default_factory=PretrainRule)


def run_night(site: SiteModels, options: NightOptions, stage: Stage) -> dict[str, object]:
    """Runs one night and returns its report.

    Raises:
        SiteBusy: Something is learning here.
        UserError: The encoder cannot be trained further, or the site is not there. Too little material is no error: the
            report says so.
    """
    settings = {**asdict(options.adapt), "kept": options.kept}
    with alone(site.data_dir):
        with stage("recovering"):
            remove_half_made(site.data_dir)
        with recorded(site.data_dir, LearningKind.NIGHTLY, options.adapt.seed, settings) as tell:
            report = _learn(site, options, stage)
            with stage("tidying up"):
                report["removed_models"] = prune(site, options.kept)
            tell(outcome_of(report))
        return report


def _learn(site: SiteModels, options: NightOptions, stage: Stage) -> dict[str, object]:
    """Adapts; what is left of this and of earlier nights is closed, unless a signal or the power supply ends it."""
    pretraining = NightPretraining(site.data_dir, options.pretraining, options.adapt.seed, stage)
    try:
        report = adapt_site_encoder(site, options.adapt, stage, pretraining)
    except ThinMaterial as error:
        report = {"model": None, "path": None, "promoted": False, "reason": str(error)}
    except Exception:
        close_unfinished(site)
        pretraining.clear()
        raise
    close_unfinished(site)
    pretraining.clear()
    return report


def remove_half_made(data_dir: Path) -> None:
    """Removes model folders that were being written or removed when a night was broken off."""
    for pattern in _HALF_MADE:
        for folder in (data_dir / SITE_MODELS).glob(pattern):
            logger.info("%s: was left by a night that was broken off: removed", folder)
            shutil.rmtree(folder)


def close_unfinished(site: SiteModels) -> None:
    """Closes adaptations that nobody goes on with: their checkpoints go, and a report says what became of them."""
    promoted = {entry.name for entry in site.log.read()}
    for start in sorted((site.data_dir / WORK_FOLDER).glob(f"*/{START_NAME}")):
        work = start.parent
        if not (work / REPORT_NAME).exists():
            model = next((name for name in promoted if name.startswith(work.name)), None)
            keep_report({"model": model, "promoted": model is not None, "reason": "broken off"}, work)


def prune(site: SiteModels, kept: int) -> list[str]:
    """Removes adapted models that are neither among the last promoted nor among the newest; returns their names.

    One whose embeddings are still searched, because their crops are gone, stays until they expire.
    """
    adapted = sorted(
        (entry for entry in site.registry.entries() if _is_adapted(entry, site.data_dir)),
        key=lambda entry: (entry.folder / CARD_NAME).stat().st_mtime,
    )
    bases = {entry.base for entry in site.log.read()}
    staying = {entry.hash for base in bases for entry in site.log.promoted(base)[-kept:]}
    staying |= {_hash(entry) for entry in adapted[-kept:]}
    gone = [entry for entry in adapted if _hash(entry) not in staying and not _is_searched(site, _hash(entry))]
    for entry in gone:
        going = entry.folder.with_name(_GOING + entry.name)
        entry.folder.rename(going)
        shutil.rmtree(going)
    return [entry.name for entry in gone]


def _is_searched(site: SiteModels, model: str) -> bool:
    if site.base is None:
        return False
    with open_database(site.data_dir) as database:
        return drop_superseded(database, model, site.log.serving(site.base)) > 0


def _hash(entry: Entry) -> str:
    return (entry.model.identity if entry.model else None) or ""


def _is_adapted(entry: Entry, data_dir: Path) -> bool:
    """Whether a model of this site was made here; what somebody put there by hand is left alone."""
    card = entry.model.card if entry.model else None
    return card is not None and SITE_CROPS in card.trained_on and entry.folder.parent == data_dir / SITE_MODELS
