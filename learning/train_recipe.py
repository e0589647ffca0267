"""From a recipe to a model folder with its card: gather, learn, export, score."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from torch import nn

from reid_pipeline.learning.calibration import measure_different
from reid_pipeline.learning.crop_pool import (
    Pool,
    Size,
    cut_labelled,
    detect_crops,
    read_crops,
    recolour,
    render_crops,
    swap_halves,
)
from reid_pipeline.learning.detector_network import DetectorNetwork, PersonRows
from reid_pipeline.learning.distil_detector import DenseTeacher, DetectorDistillation
from reid_pipeline.learning.distil_encoder import BatchPlan, EncoderDistillation, shorten, teach
from reid_pipeline.learning.encoder_network import build_encoder_network
from reid_pipeline.learning.errors import TrainingError, WorkFolderError
from reid_pipeline.learning.export import Provenance, export_detector, export_encoder
from reid_pipeline.learning.graph_weights import keep_weights, load_weights
from reid_pipeline.learning.pictures import MosaicMaker, Picture, read_labelled, read_video, render_pictures
from reid_pipeline.learning.pixels import input_card
from reid_pipeline.learning.recipe import DetectorRecipe, EncoderRecipe
from reid_pipeline.learning.trainer import Progress, Trainer
from reid_pipeline.pipeline.evaluate import evaluate_detect, evaluate_reid
from reid_pipeline.pipeline.models import build_detector, build_encoder
from reid_pipeline.pipeline.runtime import cache_folder
from reid_pipeline.storage.model_card import Model, NetworkCard, OutputCard, load_model, write_card

logger = logging.getLogger(__name__)

Report = Callable[[Progress], None]
Scores = dict[str, str | float]

_SURE: Final = 0.4  # score of a detection worth learning from
_NOTE_NAME: Final = "recipe.json"
_NOT_LEARNT: Final = ("name", "licence", "trained_on", "evaluate", "kept")  # may change while a training goes on


def train_recipe(recipe: DetectorRecipe | EncoderRecipe, data: Path, work: Path, report: Report) -> Model:
    """Makes the model of a recipe; goes on where an earlier call was broken off.

    Args:
        recipe: What to make.
        data: Folder that the recipe's paths stand in.
        work: Folder for the checkpoint, the log and in the end `<name>/`, the model.
        report: Told of every few steps.

    Raises:
        UserError: Something that the recipe names is missing or does not fit, or the work folder is that of another
            recipe.
    """
    _check_evaluation(recipe, data)
    _claim(work, recipe)
    cv2.setNumThreads(1)  # crops and mosaics are made beside the training; threads of threads slow both
    torch.manual_seed(recipe.training.seed)
    if isinstance(recipe, DetectorRecipe):
        return _train_detector(recipe, data, work, report)
    return _train_encoder(recipe, data, work, report)


def _check_evaluation(recipe: DetectorRecipe | EncoderRecipe, data: Path) -> None:
    """Makes sure that what is needed in the end is there, before hours are spent."""
    if isinstance(recipe, DetectorRecipe):
        folders = [data / folder for source in recipe.evaluate for folder in (source.images, source.labels)]
    else:
        folders = [data / name / part for name in recipe.evaluate for part in ("query", "bounding_box_test")]
    for folder in folders:
        if not folder.is_dir():
            raise TrainingError(f"{folder}: no such folder; expected what evaluate: names")


def _claim(work: Path, recipe: DetectorRecipe | EncoderRecipe) -> None:
    """Notes in the work folder what is learnt there, so that nothing of another recipe is taken up."""
    note = work / _NOTE_NAME
    if note.is_file() and not _is_noted(recipe, note.read_text()):
        raise WorkFolderError(f"{work}: is the work folder of another recipe: name a new one, or remove it")
    work.mkdir(parents=True, exist_ok=True)
    note.write_text(recipe.model_dump_json(indent=1, exclude=set(_NOT_LEARNT)) + "\n")


def _is_noted(recipe: DetectorRecipe | EncoderRecipe, note: str) -> bool:
    """Whether a note is of the same learning; keys that recipes did not have at its time count as their defaults."""
    try:
        noted = type(recipe).model_validate({**recipe.model_dump(include=set(_NOT_LEARNT)), **json.loads(note)})
    except (TypeError, ValueError):  # pydantic's and json's errors are ValueErrors
        return False
    return noted == recipe


def _train_detector(recipe: DetectorRecipe, data: Path, work: Path, report: Report) -> Model:
    shape = recipe.network
    network = DetectorNetwork(shape.widths, shape.depths, shape.neck, shape.classes)
    rows = PersonRows(network)
    start = _find_start(recipe, work)
    parent = None if start is None else _start_from(rows, start)
    groups, weights = _gather_pictures(recipe, data)
    task = DetectorDistillation(
        network,
        MosaicMaker(groups, weights, recipe.train_size),
        DenseTeacher(load_model(data / recipe.teacher), recipe.train_size),
        size=recipe.train_size,
        batch_size=recipe.training.batch_size,
        seed=recipe.training.seed,
    )
    trained = Trainer(task, recipe.training.plan(), work).run(report)
    if not isinstance(trained, DetectorNetwork):
        raise TypeError("the trainer gave another network back")
    folder = work / recipe.name
    card = input_card(recipe.height, recipe.width).model_copy(update={"resize": "letterbox_topleft"})
    head = OutputCard(head="yolox", person_class=0)
    provenance = replace(_provenance(recipe), parent=parent)
    found = PersonRows(trained.cpu())
    if start is not None:
        keep_weights(found, start.graph, recipe.kept)
    model = export_detector(found, card, head, folder, recipe.name, provenance)
    return _with_scores(model, _score_detector(recipe, data, folder))


def _gather_pictures(recipe: DetectorRecipe, data: Path) -> tuple[list[list[Picture]], list[float]]:
    wanted = recipe.pictures
    groups, weights = [], []
    for source in wanted.labelled:
        groups.append(read_labelled(data / source.images, data / source.labels, wanted.longest))
        weights.append(source.weight)
    if wanted.videos is not None:
        frames = [read_video(data / path, wanted.videos.frames, wanted.longest) for path in wanted.videos.paths]
        groups += frames
        weights += [wanted.videos.weight / len(frames)] * len(frames)
    if wanted.virtual is not None:
        groups.append(render_pictures(wanted.virtual.plan(), wanted.longest))
        weights.append(wanted.virtual.weight)
    logger.info("%s: pictures: %s", recipe.name, [len(group) for group in groups])
    return groups, weights


def _score_detector(recipe: DetectorRecipe, data: Path, folder: Path) -> list[Scores]:
    found: list[Scores] = []
    for source in recipe.evaluate:
        scores = evaluate_detect(data / source.images, data / source.labels, build_detector(str(folder), 0.01))
        found.append({"dataset": source.images, "AP50": round(scores.ap50, 4), "AP50_95": round(scores.ap50_95, 4)})
    return found


def _train_encoder(recipe: EncoderRecipe, data: Path, work: Path, report: Report) -> Model:
    size = (recipe.height, recipe.width)
    crowds = _crowds(recipe, data, size)
    parts = _with_new_people(recipe, crowds + _handfuls(recipe, data, size))
    teacher = build_encoder(str(data / recipe.teacher))
    targets = np.concatenate([teach(teacher, part, cache_folder() / "teachers") for part in parts])
    shape = recipe.network
    if shape.dim is not None and shape.dim < targets.shape[1]:
        targets = shorten(targets, shape.dim)
    network = build_encoder_network(shape.backbone, targets.shape[1], keep_resolution=shape.keep_resolution)
    start = _find_start(recipe, work)
    parent = None if start is None else _start_from(network, start)
    training = recipe.training
    pool = np.concatenate(parts)
    plan = BatchPlan(size, training.batch_size, training.seed, recipe.crops.blurred)
    task = EncoderDistillation(network, pool, targets, plan)
    trained = Trainer(task, training.plan(), work).run(report)
    folder = work / recipe.name
    card = input_card(recipe.height, recipe.width)
    kept = NetworkCard(backbone=shape.backbone, keep_resolution=shape.keep_resolution)
    provenance = replace(_provenance(recipe), parent=parent, network=kept)
    if start is not None:
        keep_weights(trained.cpu(), start.graph, recipe.kept)
    model = export_encoder(trained.cpu(), card, targets.shape[1], folder, recipe.name, provenance)
    scored = _with_scores(model, _score_encoder(recipe, data, folder))
    return _with_calibration(scored, crowds, training.seed)


def _find_start(recipe: DetectorRecipe | EncoderRecipe, work: Path) -> Model | None:
    """The model that a recipe begins with.

    Raises:
        TrainingError: It has not been trained there.
    """
    if recipe.start is None:
        return None
    folder = work.parent / recipe.start / recipe.start
    if not folder.is_dir():
        raise TrainingError(f"{folder}: the recipe starts from {folder.name}: train that first, with its --out beside")
    return load_model(folder)


def _start_from(network: nn.Module, start: Model) -> str:
    """Gives a network the weights of a model; returns that model's hash.

    Raises:
        TrainingError: It has no card, or is of another shape.
    """
    if start.card is None:
        raise TrainingError(f"{start.graph}: a model without a card: train it anew")
    load_weights(network, start.graph)
    return start.hash(start.card.input, start.card.output)


def _with_new_people(recipe: EncoderRecipe, sources: Sequence[Pool]) -> list[Pool]:
    """All crops of a recipe: its sources, then the people put together from each."""
    rng = np.random.default_rng(recipe.training.seed)
    parts = list(sources)
    for source in sources:
        parts.append(swap_halves(source, round(recipe.crops.swaps * len(source)), rng))
        parts.append(recolour(source, round(recipe.crops.recolours * len(source)), rng))
    logger.info("%s: crops: %s", recipe.name, [len(part) for part in parts])
    return [part for part in parts if len(part)]


def _crowds(recipe: EncoderRecipe, data: Path, size: Size) -> list[Pool]:
    """The sources that show many people each."""
    wanted = recipe.crops
    sources = [read_crops(data / folder, size) for folder in wanted.folders]
    sources += [cut_labelled(data / source.images, data / source.labels, size) for source in wanted.labelled]
    if wanted.virtual is not None:
        sources.append(render_crops(wanted.virtual.plan(), size))
    return sources


def _handfuls(recipe: EncoderRecipe, data: Path, size: Size) -> list[Pool]:
    """The sources that may show few people, over and over."""
    videos = recipe.crops.videos
    if videos is None:
        return []
    detector = build_detector(str(data / videos.detector), _SURE)
    return [detect_crops([data / path for path in videos.paths], videos.frames, detector, size)]


def _score_encoder(recipe: EncoderRecipe, data: Path, folder: Path) -> list[Scores]:
    encoder = build_encoder(str(folder))
    found: list[Scores] = []
    for name in recipe.evaluate:
        scores = evaluate_reid(data / name / "query", data / name / "bounding_box_test", encoder)
        found.append({"dataset": name, "mAP": round(scores.mean_ap, 2), "rank1": round(scores.rank1, 2)})
    return found


def _provenance(recipe: DetectorRecipe | EncoderRecipe) -> Provenance:
    return Provenance(recipe.licence, recipe.trained_on)


def _with_scores(model: Model, scores: Sequence[Scores]) -> Model:
    if model.card is None:
        raise TypeError("an exported model has no card")
    return write_card(model.card.model_copy(update={"scores": tuple(scores)}), model.graph.parent)


def _with_calibration(model: Model, crowds: Sequence[Pool], seed: int) -> Model:
    """Adds to an encoder's card how alike two different people are to it; without crowds that stays unknown."""
    if model.card is None or not crowds:
        return model
    different = measure_different(build_encoder(str(model.graph.parent)), crowds, seed)
    return write_card(model.card.model_copy(update={"calibration": {"different": different}}), model.graph.parent)
