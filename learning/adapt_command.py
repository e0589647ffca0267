"""`adapt`: one adaptation of a site's encoder, from the corpus to the promoted model and its report."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import torch

from reid_pipeline.learning.adapt import Adapted, AdaptPlan, Examiner, RoundTask, learn, split
from reid_pipeline.learning.adapt_scl import SclSettings, SclTask
from reid_pipeline.learning.adapt_site import SiteSettings, SiteTask
from reid_pipeline.learning.crop_pool import Size
from reid_pipeline.learning.encoder_network import EncoderNetwork
from reid_pipeline.learning.errors import TrainingError
from reid_pipeline.learning.graph_weights import rebuild_encoder
from reid_pipeline.learning.material import Material
from reid_pipeline.learning.material_reader import read_material
from reid_pipeline.learning.memory import Memory, read_memory
from reid_pipeline.learning.night_report import write_page
from reid_pipeline.learning.part_network import PartNetwork
from reid_pipeline.learning.pixels import input_card
from reid_pipeline.learning.run_record import recorded
from reid_pipeline.learning.trainer import CHECKPOINT_NAME
from reid_pipeline.pipeline.model_names import find_model
from reid_pipeline.pipeline.models import build_encoder
from reid_pipeline.pipeline.reembed import embed_stored
from reid_pipeline.pipeline.serving import SiteModels
from reid_pipeline.storage.actor import current_user
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.learning_runs import LearningEnd, LearningKind, LearningStatus
from reid_pipeline.storage.master_key import is_encrypted
from reid_pipeline.storage.model_card import Model, load_model
from reid_pipeline.storage.model_registry import SITE_MODELS, ModelRegistry
from reid_pipeline.storage.permissions import MACHINE_ACCESS
from reid_pipeline.storage.promotions import Promotions

logger = logging.getLogger(__name__)

Method = Literal["site", "scl"]
WORK_FOLDER: Final = "learning"
REPORT_NAME: Final = "report.json"
START_NAME: Final = "start.json"
_BOLD_RATE, _STEADY_RATE = 1e-3, 2.5e-4  # from a start that is foreign to the site; from one that knows it
_FIRST_SHARE: Final = 0.5  # of the budget, for what comes before
_BATCH: Final = 96  # crops a step
_PARTS: Final[dict[Method, int]] = {"site": 4, "scl": 8}


@dataclass(frozen=True, slots=True)
class AdaptOptions:
    """What is wanted.

    Attributes:
        method: How it learns.
        encoder: Name or path of the encoder to start from; None: the one that the site is configured with.
        budget_s: Seconds for the training.
        seed: Of everything random.
        most_bytes: Of the crops in memory; the newest tracklets that fit in. None: all.
    """

    method: Method = "site"
    encoder: str | None = None
    budget_s: float = 1200.0
    seed: int = 0
    most_bytes: int | None = None


Stage = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Shows a stage by name; what it gives is told how much of how much is done."""

Beginning = Callable[[Model, Material, float], Model | None]
"""Gives the model that learning begins with, where that is not the serving one: from the serving one, what may be
trained on, and the seconds that it may take, which are then missing from the budget."""


def adapt_site_encoder(
    site: SiteModels, options: AdaptOptions, stage: Stage, begin_with: Beginning = lambda *_: None
) -> dict[str, object]:
    """Adapts the encoder that serves a site and promotes the result where that is better. Call it under `alone`.

    Args:
        site: Its folder and its configured encoder.
        options: What is wanted.
        stage: Shows progress.
        begin_with: What learning begins with; by default the serving encoder.

    Returns:
        The report, as it is written to ``learning/<model>/report.json``.

    Raises:
        UserError: The encoder cannot be trained further.
        ThinMaterial: There are too few crops.
    """
    base, serving = _find_encoders(site, options.encoder)
    with recorded(site.data_dir, LearningKind.ADAPT, options.seed, asdict(options), serving.identity) as tell:
        report = _adapt(site, options, stage, (base, serving), begin_with)
        tell(outcome_of(report))
    return report


def outcome_of(report: dict[str, object]) -> LearningEnd:
    """What a report says, for the log of learning."""
    model = report["model"]
    figures = {name: value for name, value in report.items() if name not in {"model", "promoted", "reason"}}
    return LearningEnd(
        LearningStatus.DONE,
        model=None if model is None else str(model),
        promoted=bool(report["promoted"]),
        reason=str(report["reason"]),
        figures=figures,
    )


def _adapt(
    site: SiteModels, options: AdaptOptions, stage: Stage, encoders: tuple[Model, Model], begin_with: Beginning
) -> dict[str, object]:
    base, serving = encoders
    old = rebuild_encoder(serving)
    with stage("reading the corpus") as progress:
        material = read_material(site.data_dir, _input_size(serving), progress, options.most_bytes)
    training, held_out = split(material)
    started = datetime.now(UTC)
    first_s = _FIRST_SHARE * options.budget_s
    begun = begin_with(serving, training, first_s)
    slots = len(training.crops) if options.method == "scl" else None  # its banks have one for each crop
    note = {"parent": serving.identity, "start": begun and begun.identity, "slots": slots, **asdict(options)}
    work = _claim_work(site.data_dir, f"{base.name}-{started:%Y%m%d-%H%M%S}", note)
    steady = begun is None and serving.identity != base.identity
    budget_s = options.budget_s if begun is None else options.budget_s - first_s
    plan = AdaptPlan(budget_s, _STEADY_RATE if steady else _BOLD_RATE, _BATCH, seed=options.seed)
    with stage(f"learning ({options.method})") as progress:
        start = old if begun is None else rebuild_encoder(begun)
        new, steps = _train(options, start, training, plan, work, progress)
    with stage("examining") as progress:
        examiner = Examiner(serving, held_out, site.data_dir / SITE_MODELS)
        adapted = examiner.choose(old, new, work.name, plan, steps, training.crops)
        progress(1, 1)
    if adapted.verdict.promoted and base.identity is not None:
        # Before it serves: from the promotion on, searches compare with the new embeddings alone.
        with stage("embedding stored crops anew") as progress, open_database(site.data_dir) as database:
            embed_stored(database, build_encoder(str(adapted.model.graph.parent)), progress)
            promotions = Promotions(database, replace(MACHINE_ACCESS, name=current_user()))
            promotions.promote(adapted.model, base.identity, site.registry, adapted.verdict.reason)
    with stage("writing the report") as progress:
        report = _report(adapted, serving, options, material, training, started)
        report["begun_with"] = (begun or serving).name
        write_page(work, report, serving, adapted, held_out, pictures=not is_encrypted(site.data_dir))
        progress(1, 1)
    return keep_report(report, work)


def _claim_work(data_dir: Path, name: str, wanted: Mapping[str, object]) -> Path:
    """The work folder: that of an adaptation with the same start that was broken off, or a new one."""
    note = json.dumps(wanted, indent=1, sort_keys=True)
    folder = data_dir / WORK_FOLDER
    for start in sorted(folder.glob(f"*/{START_NAME}"), reverse=True):
        if not (start.parent / REPORT_NAME).exists() and start.read_text(encoding="utf-8") == note:
            logger.info("%s: was broken off; going on with it", start.parent)
            return start.parent
    work = folder / name
    work.mkdir(parents=True)
    (work / START_NAME).write_text(note, encoding="utf-8")
    return work


def _find_encoders(site: SiteModels, named: str | None) -> tuple[Model, Model]:
    """The encoder that the site is configured with, and the one that serves: the same, or a promoted descendant."""
    if named is None and site.base is not None:
        base = _find_hash(site.registry, site.base, "the configured encoder")
    else:
        base = load_model(find_model(named or "bundled", "encoder", site.data_dir))
    promoted = site.log.promoted(base.identity) if base.identity else []
    return base, _find_hash(site.registry, promoted[-1].hash, promoted[-1].name) if promoted else base


def _find_hash(registry: ModelRegistry, wanted: str, name: str) -> Model:
    found = registry.find_hash(wanted)
    if found is None or found.model is None:
        raise TrainingError(
            f"{name} ({wanted[:12]}) is gone or changed: restore it, or name another with --encoder, or: "
            "reid-pipeline model rollback"
        )
    return found.model


def _input_size(model: Model) -> Size:
    if model.card is None:
        raise TrainingError(f"{model.name}: cannot be adapted: it has no card")
    card = model.card.input
    if card != input_card(card.height, card.width):
        raise TrainingError(
            f"{model.name}: cannot be adapted: its pixels are prepared in another way: expected a bundled encoder, or "
            "one that descends from it"
        )
    return card.height, card.width


def _train(
    options: AdaptOptions,
    old: EncoderNetwork,
    training: Material,
    plan: AdaptPlan,
    work: Path,
    progress: Callable[[int, int], None],
) -> tuple[EncoderNetwork, int]:
    """The network after learning, with averaged weights, and how many steps it learnt."""
    cv2.setNumThreads(1)  # crops are made beside the training; threads of threads slow both
    torch.manual_seed(options.seed)
    network = PartNetwork(deepcopy(old), old.backbone.num_features, _PARTS[options.method])
    task = _build_task(options, network, training)
    average, steps = learn(task, plan, training.crops, work, lambda at: progress(at.step, at.steps))
    found = average.encoder
    if not isinstance(found, EncoderNetwork):
        raise TypeError("the trainer gave another network back")
    return found, steps


def _build_task(options: AdaptOptions, network: PartNetwork, training: Material) -> RoundTask[Any]:
    if options.method == "scl":
        return SclTask(network, training, SclSettings(), options.seed)
    size = (training.crops.shape[1], training.crops.shape[2])
    memory = Memory(network, read_memory(size), torch.device("cpu"))
    return SiteTask(network, training, SiteSettings(), options.seed, memory)


def _report(
    adapted: Adapted,
    serving: Model,
    options: AdaptOptions,
    material: Material,
    training: Material,
    started: datetime,
) -> dict[str, object]:
    verdict = adapted.verdict
    return {
        "model": adapted.model.name,
        "path": str(adapted.model.graph.parent),
        "promoted": verdict.promoted,
        "reason": verdict.reason,
        "method": options.method,
        "budget_s": options.budget_s,
        "parent": serving.name,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
        "steps": adapted.steps,
        "share": adapted.share,
        "seed": options.seed,
        "tracklets": len(material),
        "crops": len(material.crops),
        "trained_on_tracklets": len(training),
        "cameras": list(material.camera_names),
        "before": _known(verdict.before),
        "after": _known(verdict.after),
        "changes": {name: _known(asdict(change)) for name, change in verdict.changes.items()},
    }


def keep_report(report: dict[str, object], work: Path) -> dict[str, object]:
    """Writes the report of an adaptation, which ends it, and removes its checkpoint."""
    work.mkdir(parents=True, exist_ok=True)
    part = work / (REPORT_NAME + ".part")
    part.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    part.replace(work / REPORT_NAME)
    (work / CHECKPOINT_NAME).unlink(missing_ok=True)
    return report


def _known(figures: dict[str, float]) -> dict[str, float | None]:
    """Figures for JSON, which knows no nan: what could not be measured is null."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}
