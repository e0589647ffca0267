"""Models in INT8 by NNCF, accepted only where they still tell persons apart, or find them, as the original does.

An INT8 model is a model of its own: another graph, another hash, its card names the original as parent. Its embeddings
are never compared with the original's. OpenVINO runs it; processors with VNNI gain most.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import openvino as ov

from reid_pipeline.pipeline.datatypes import Embeddings, Image
from reid_pipeline.pipeline.detector import GraphDetector, fill_input
from reid_pipeline.pipeline.encoder import GraphEncoder
from reid_pipeline.pipeline.evaluate import evaluate_detect, evaluate_reid
from reid_pipeline.pipeline.parity import MIN_BOXES, box_agreement, order_agreement
from reid_pipeline.pipeline.runtime import Array, to_network
from reid_pipeline.pipeline.runtime_openvino import read_graph
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import Model, ModelCard, load_model, write_card

if TYPE_CHECKING:
    from reid_pipeline.pipeline.protocols import Detector, Encoder

MIN_IMAGES: Final = 32  # half of them calibrate, the others judge
CALIBRATION_IMAGES: Final = 300  # NNCF's own default; more change nothing
MAX_MAP_LOSS: Final = 1.0  # percentage points of mAP: what two trainings with other seeds differ by
MAX_AP_LOSS: Final = 0.01  # of AP50_95, 0-1
MIN_ORDER: Final = 0.975  # without labels, as in `parity`; encoders at 0.97 have lost 1.5 points of mAP
_CLEAR_SCORE: Final = 0.25  # of the boxes that are compared without labels
_LAYERS: Final = frozenset({"Convolution", "GroupConvolution", "MatMul"})
_WEAK_SCORE: Final = 0.01  # average precision needs weak boxes too


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether the INT8 model may be used, with the figures of both models."""

    accepted: bool
    figures: dict[str, float]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in self.figures.items())


def quantise(
    model: Model, images: Sequence[Image], out: Path, truth: tuple[Path, Path] | None = None
) -> tuple[Model, Judgement]:
    """Writes the INT8 version of a model, once it has proved itself.

    Args:
        model: The original, with its card.
        images: ``(H, W, 3) uint8`` BGR: crops for an encoder, frames for a detector, as the site sees them.
        out: The folder to write; it must not exist.
        truth: Labelled data that judges: query and gallery folders for an encoder, images and labels for a detector.
            Without it the INT8 model must agree with the original on every other image.

    Returns:
        The new model and what it was judged by; the figures stand in its card.

    Raises:
        ModelError: NNCF is not installed, there are too few images, or the INT8 model is too much worse: the message
            has the figures.
    """
    card = model.card
    if card is None:
        raise ModelError(f"{model.graph}: INT8 needs a card: expected model.json beside it")
    if len(images) < MIN_IMAGES:
        raise ModelError(f"{model.name}: {len(images)} images to calibrate INT8: expected at least {MIN_IMAGES}")
    if out.exists():
        raise ModelError(f"{out}: exists: expected a folder that is not there yet")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as work:
        folder = Path(work) / out.name
        folder.mkdir()
        _write_graph(model, card, images[::2], folder)
        quantised = write_card(_card(model, card, None), folder)
        judgement = _judge(model, quantised, images[1::2], truth)
        if not judgement.accepted:
            raise ModelError(f"{model.name}: INT8 is refused, it is too much worse: {judgement}")
        write_card(_card(model, card, judgement), folder)
        shutil.move(folder, out)
    return load_model(out), judgement


def _write_graph(model: Model, card: ModelCard, images: Sequence[Image], folder: Path) -> None:
    try:
        import nncf
    except ImportError as error:
        raise ModelError(f"{model.name}: INT8 needs NNCF: pip install 'reid-pipeline[learning]'") from error
    graph = read_graph(model.graph)
    if graph is None:
        raise ModelError(f"{model.graph}: OpenVINO cannot read it, so it cannot become INT8")
    size = (card.input.height, card.input.width)
    graph.reshape([1, 3, *size])
    inputs: list[Array] = [
        to_network(fill_input(image, size, card.input.resize)[None], card.input)
        for image in images[:CALIBRATION_IMAGES]
    ]
    logging.getLogger("nncf").setLevel(logging.WARNING)
    with contextlib.redirect_stdout(sys.stderr):  # its progress; stdout is for the answer
        quantised = nncf.quantize(
            graph,
            nncf.Dataset(inputs),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(inputs),
            ignored_scope=nncf.IgnoredScope(names=head_names(graph)),
        )
    ov.save_model(quantised, folder / f"{_stem(model)}.xml")


def head_names(graph: ov.Model) -> list[str]:
    """Names the operations of a graph's head: the last layers with weights, and all that comes after them.

    What a detector computes there are pixels and probabilities, which need more steps than 8 bits have.
    """
    found: dict[str, None] = {}
    waiting: list[ov.Node] = list(graph.get_results())
    while waiting:
        node = waiting.pop()
        if node.get_friendly_name() in found or node.get_type_name() in {"Constant", "Parameter"}:
            continue
        found[node.get_friendly_name()] = None
        if node.get_type_name() not in _LAYERS:
            waiting += [each.get_source_output().get_node() for each in node.inputs()]
    return [name for name in found if name not in {entry.get_friendly_name() for entry in graph.get_results()}]


def _stem(model: Model) -> str:
    return f"{model.graph.stem}_int8"


def _card(model: Model, card: ModelCard, judgement: Judgement | None) -> ModelCard:
    stem = _stem(model)
    scores = (
        () if judgement is None else ({"dataset": "INT8 gate", **judgement.figures, "conditions": "OpenVINO INT8"},)
    )
    changes = {
        "name": f"{card.name}-int8",
        "graph": f"{stem}.xml",
        "sha256": {f"{stem}.xml": "", f"{stem}.bin": ""},
        "parent": model.identity,
        "scores": scores,
        "calibration": None,  # of the original's embeddings
    }
    return card.model_copy(update=changes)


def _judge(model: Model, quantised: Model, images: Sequence[Image], truth: tuple[Path, Path] | None) -> Judgement:
    if quantised.card is not None and quantised.card.task == "reid":
        encoders = (GraphEncoder(model), GraphEncoder(quantised))
        return _judge_order(*encoders, images) if truth is None else _judge_retrieval(*encoders, *truth)
    min_score = _CLEAR_SCORE if truth is None else _WEAK_SCORE
    detectors = (GraphDetector(model, min_score), GraphDetector(quantised, min_score))
    return _judge_boxes(*detectors, images) if truth is None else _judge_precision(*detectors, *truth)


def _judge_retrieval(original: Encoder, quantised: Encoder, query: Path, gallery: Path) -> Judgement:
    before, after = (evaluate_reid(query, gallery, encoder).as_dict()["mAP"] for encoder in (original, quantised))
    return Judgement(before - after <= MAX_MAP_LOSS, {"mAP": after, "mAP before": before})


def _judge_order(original: Encoder, quantised: Encoder, crops: Sequence[Image]) -> Judgement:
    embeddings: list[Embeddings] = [encoder.encode(crops[:CALIBRATION_IMAGES]) for encoder in (original, quantised)]
    order = order_agreement(embeddings[0], embeddings[1])
    return Judgement(order >= MIN_ORDER, {"same order": order})


def _judge_precision(original: Detector, quantised: Detector, images: Path, labels: Path) -> Judgement:
    before, after = (evaluate_detect(images, labels, each).as_dict()["AP50_95"] for each in (original, quantised))
    return Judgement(before - after <= MAX_AP_LOSS, {"AP50_95": after, "AP50_95 before": before})


def _judge_boxes(original: Detector, quantised: Detector, frames: Sequence[Image]) -> Judgement:
    alike: list[bool] = []
    for frame in frames[:CALIBRATION_IMAGES]:
        one, other = (_find(detector, frame) for detector in (original, quantised))
        alike += box_agreement(one, other, "bf16")
    share = float(np.mean(alike)) if alike else 0.0
    return Judgement(share >= MIN_BOXES["bf16"], {"boxes that agree": share, "boxes": float(len(alike))})


def _find(detector: Detector, frame: Image) -> tuple[Array, Array]:
    size = (frame.shape[0], frame.shape[1])
    found = detector.submit(detector.prepare(frame), size, lambda: None).result()
    return found.boxes, found.scores
