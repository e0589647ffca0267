"""Persons in frames: any detector graph whose output is recognised, on all processors at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

import cv2
import numpy as np
import openvino as ov

from reid_pipeline.pipeline.datatypes import Boxes, Detections, Image, Scores
from reid_pipeline.pipeline.detector_heads import SUPPRESSED, Candidates, Head, Raw, read_head, recognise_head
from reid_pipeline.pipeline.parity import DetectorTrial, shipped_frames
from reid_pipeline.pipeline.protocols import Pending
from reid_pipeline.pipeline.rectangular import fit_input, reshape_yolo
from reid_pipeline.pipeline.runtime import Engine, PendingOutput, Runtime, Size
from reid_pipeline.pipeline.runtime_choice import AUTO, RuntimeOptions, choose_runtime
from reid_pipeline.pipeline.runtime_engines import Graph
from reid_pipeline.pipeline.runtime_openvino import read_graph
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import InputCard, Model, OutputCard

SUPPRESSION_IOU: Final = 0.7  # boxes that overlap more are one person; the value of Ultralytics' predict
PADDING_GREY: Final = 114  # what the training pictures of YOLO were padded with
_TRIAL_SCORE: Final = 0.05  # of the boxes that the gate compares; weaker ones are noise in every precision
_TRIAL_CANDIDATES: Final = 300


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a frame lies in the network's input: scaled by (x, y), then moved by (x, y) pixels."""

    scale: tuple[float, float]
    offset: tuple[int, int]

    def to_frame(self, boxes: Boxes, size: Size) -> Boxes:
        """Maps ``(N, 4)`` boxes of the input back to a frame of ``size``, cut at its edges."""
        moved = boxes - np.array(self.offset * 2, np.float32)
        scaled = moved / np.array(self.scale * 2, np.float32)
        limits = np.array([size[1], size[0]] * 2, np.float32)
        return np.clip(scaled, 0, limits).astype(np.float32)


def place(size: Size, target: Size, resize: str) -> Placement:
    """Where a frame of ``size`` lies in an input of ``target`` size, by the card's kind of resizing."""
    if resize == "stretch":
        return Placement((target[1] / size[1], target[0] / size[0]), (0, 0))
    scale = min(target[0] / size[0], target[1] / size[1])
    if resize == "letterbox_topleft":
        return Placement((scale, scale), (0, 0))
    height, width = round(size[0] * scale), round(size[1] * scale)
    return Placement((scale, scale), ((target[1] - width) // 2, (target[0] - height) // 2))


def fill_input(image: Image, target: Size, resize: str) -> Image:
    """Scales ``(H, W, 3)`` into ``(h, w, 3)`` of ``target`` size, grey around it where the shapes differ."""
    size: Size = (image.shape[0], image.shape[1])
    if resize == "stretch":
        return np.asarray(cv2.resize(image, (target[1], target[0])), np.uint8)
    placement = place(size, target, resize)
    height, width = round(size[0] * placement.scale[0]), round(size[1] * placement.scale[0])
    scaled = np.asarray(cv2.resize(image, (width, height)), np.uint8)
    if (height, width) == target:
        return scaled
    x, y = placement.offset
    padded = np.full((*target, 3), PADDING_GREY, np.uint8)
    padded[y : y + height, x : x + width] = scaled
    return padded


class GraphDetector:
    """A detector from a graph file. Frames of one shape share a compiled graph that wastes nothing on padding.

    Args:
        model: The model; without a card its head and the usual input of that head are read from the graph.
        min_score: Weaker candidates (0-1) are not reported.
        options: How it is computed.

    Raises:
        ModelError: The graph cannot be read, or its output is that of no known head.
    """

    def __init__(self, model: Model, min_score: float, options: RuntimeOptions = AUTO) -> None:
        self.model = model
        self._min_score = min_score
        self._options = options
        self._network = read_graph(model.graph)
        self._input, self._output = _describe(model, self._network)
        self._graphs: dict[Size, _Compiled] = {}
        self._lock = Lock()  # cameras of a new shape may come at the same time
        self.model_hash = model.hash(self._input, self._output)

    @property
    def capacity(self) -> int:
        """See `protocols.Detector`."""
        return max((graph.runtime.capacity for graph in self._graphs.values()), default=1)

    @property
    def engines(self) -> tuple[Engine, ...]:
        """What computes the graphs that are compiled so far; they may change while a faster engine is built."""
        return tuple(dict.fromkeys(graph.runtime.engine for graph in self._graphs.values()))

    def compile_for(self, size: Size) -> None:
        """Makes the graph for frames of ``size`` ready, so that no frame has to wait for it."""
        self._graph_for(size)

    def prepare(self, image: Image) -> Image:
        """See `protocols.Detector`. The first frame of a shape compiles the graph for it."""
        graph = self._graph_for((image.shape[0], image.shape[1]))
        return fill_input(image, graph.size, self._input.resize)

    def submit(self, prepared: Image, size: Size, when_done: Callable[[], None]) -> Pending:
        """See `protocols.Detector`."""
        graph = self._graph_for(size)
        placement = place(size, graph.size, self._input.resize)
        return _PendingDetections(graph.runtime.start(prepared[None], when_done), graph, placement, size)

    def _graph_for(self, size: Size) -> _Compiled:
        limit = (self._input.height, self._input.width)
        wanted = fit_input(size, limit) if self._input.resize.startswith("letterbox") else limit
        with self._lock:
            if wanted not in self._graphs:
                self._graphs[wanted] = self._compile(wanted)
            return self._graphs[wanted]

    def _compile(self, wanted: Size) -> _Compiled:
        head: Head = self._output.head  # type: ignore[assignment]  # _describe refuses embeddings
        size, network = self._resize(head, wanted)
        read = None if network is None else network.clone
        graph = Graph(self.model, self.model_hash, self._input, size, read, self._options.trust)
        runtime = choose_runtime(graph, lambda: self._trial(head, size), self._options.runtime)
        reader = read_head(head, size, self._output.person_class, self._min_score)
        return _Compiled(size, runtime, reader, head in SUPPRESSED)

    def _resize(self, head: Head, wanted: Size) -> tuple[Size, ov.Model | None]:
        """The graph at the wanted size where that is possible, else at its own."""
        own = (self._input.height, self._input.width)
        if self._network is None:
            return own, None
        network = self._network.clone()
        # Only OpenVINO's graphs can be rewritten; the others read the file.
        as_it_is = self._options.runtime not in {"auto", "openvino"} and not network.inputs[0].partial_shape.is_dynamic
        if not as_it_is and _resize(network, head, wanted):
            return wanted, network
        network = self._network.clone()
        network.reshape([1, 3, *own])
        return own, network

    def _trial(self, head: Head, size: Size) -> DetectorTrial:
        pictures = self._options.pictures or shipped_frames()
        inputs = tuple(fill_input(picture, size, self._input.resize)[None] for picture in pictures)
        reader = read_head(head, size, self._output.person_class, _TRIAL_SCORE)
        return DetectorTrial(inputs, lambda raw: _surest(*reader(raw), suppressed=head in SUPPRESSED))


@dataclass(frozen=True, slots=True)
class _Compiled:
    size: Size
    runtime: Runtime
    read: Callable[[Raw], Candidates]
    suppressed: bool


def _resize(graph: ov.Model, head: Head, size: Size) -> bool:
    """Gives the graph another input size where its head allows it; False spoils the graph."""
    if head == "ssd":
        return False
    try:
        if head == "yolox":
            graph.reshape([1, 3, *size])
            return True
        return reshape_yolo(graph, *size)
    except RuntimeError:
        return False


@dataclass(frozen=True, slots=True)
class _PendingDetections:
    output: PendingOutput
    graph: _Compiled
    placement: Placement
    size: Size

    def done(self) -> bool:
        return self.output.done()

    def result(self) -> Detections:
        boxes, scores = self.graph.read(self.output.result())
        if not self.graph.suppressed:
            boxes, scores = suppress(boxes, scores)
        boxes = self.placement.to_frame(boxes, self.size)
        sides = boxes[:, 2:] - boxes[:, :2]
        visible = (sides >= 1.0).all(axis=1)
        boxes, scores = boxes[visible], scores[visible]
        order = np.argsort(-scores, kind="stable")
        return Detections(np.ascontiguousarray(boxes[order]), np.ascontiguousarray(scores[order]))


def _surest(boxes: Boxes, scores: Scores, *, suppressed: bool) -> Candidates:
    """The candidates with an area, best first, of those that overlap the best one."""
    visible = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    boxes, scores = boxes[visible], scores[visible]
    order = np.argsort(-scores, kind="stable")[:_TRIAL_CANDIDATES]
    return (boxes[order], scores[order]) if suppressed else suppress(boxes[order], scores[order])


def suppress(boxes: Boxes, scores: Scores) -> Candidates:
    """Greedy non-maximum suppression: of boxes that overlap by more than `SUPPRESSION_IOU` the surest stays."""
    if len(boxes) < 2:
        return boxes, scores
    corner_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept: list[int] = np.ravel(cv2.dnn.NMSBoxes(corner_size.tolist(), scores.tolist(), 0.0, SUPPRESSION_IOU)).tolist()
    return boxes[kept], scores[kept]


def describe_detector(model: Model) -> tuple[InputCard, OutputCard]:
    """What a detector takes and gives: from its card, checked against the graph, or from the graph alone.

    Raises:
        ModelError: No known head gives such an output, or the card says otherwise than the graph.
    """
    return _describe(model, read_graph(model.graph))


def _describe(model: Model, graph: ov.Model | None) -> tuple[InputCard, OutputCard]:
    card = model.card
    if card is not None and card.task != "detect":
        raise ModelError(f"{model.graph}: the card says task {card.task!r}: expected a detector")
    if graph is None:
        if card is None:
            raise ModelError(f"{model.graph}: OpenVINO cannot read it: a card (model.json) must say what it is")
        return card.input, card.output
    size = _input_size(model, graph)
    shape = _output_shape(model, graph, size)
    head = recognise_head(shape, size)
    if head is None or (card is not None and card.output.head != head):
        expected = f"the card says {card.output.head}" if card else "expected ultralytics, yolox or ssd"
        raise ModelError(f"{model.graph}: output {list(shape)}: {head or 'no head'} fits: {expected}")
    if card is None:
        return _usual_input(head, size), OutputCard(head=head)
    _check_person_class(model, card.output, shape)
    return card.input, card.output


def _output_shape(model: Model, graph: ov.Model, size: Size) -> tuple[int | None, ...]:
    """The output's shape for one input of ``size``; None for sides that still differ from picture to picture."""
    if graph.inputs[0].partial_shape.is_dynamic:
        graph = graph.clone()
        try:
            graph.reshape([1, 3, *size])
        except RuntimeError as error:
            raise ModelError(f"{model.graph}: does not take inputs (1, 3, {size[0]}, {size[1]})") from error
    return tuple(None if side.is_dynamic else int(side.get_length()) for side in graph.outputs[0].partial_shape)


def _check_person_class(model: Model, output: OutputCard, shape: tuple[int | None, ...]) -> None:
    """Refuses a class that the graph has no score for, where its output tells how many there are."""
    columns = {"ultralytics": (1, 4), "yolox": (2, 5)}.get(output.head)
    if columns is None:
        return
    axis, before = columns
    classes = shape[axis]
    if classes is not None and output.person_class >= classes - before:
        raise ModelError(
            f"{model.graph}: the card says person_class {output.person_class}: expected one of the graph's "
            f"{classes - before} classes, counted from 0"
        )


def _input_size(model: Model, graph: ov.Model) -> Size:
    card = model.card.input if model.card else None
    shape = graph.inputs[0].partial_shape
    if len(graph.inputs) != 1 or shape.rank.is_dynamic or not shape.compatible(ov.PartialShape([-1, 3, -1, -1])):
        shapes = [str(entry.partial_shape) for entry in graph.inputs]
        raise ModelError(f"{model.graph}: inputs {shapes}: expected one of (1, 3, H, W)")
    sides = tuple(None if side.is_dynamic else int(side.get_length()) for side in (shape[2], shape[3]))
    declared = (card.height, card.width) if card else (640, 640)
    if card is not None and any(side not in (None, want) for side, want in zip(sides, declared, strict=True)):
        raise ModelError(f"{model.graph}: the card says input {list(declared)} but the graph has {list(sides)}")
    return sides[0] or declared[0], sides[1] or declared[1]


def _usual_input(head: Head, size: Size) -> InputCard:
    height, width = size
    match head:
        case "ultralytics" | "ultralytics_nms":
            return InputCard(height=height, width=width, resize="letterbox", colour="RGB", pixel_scale=1 / 255)
        case "yolox":
            return InputCard(height=height, width=width, resize="letterbox_topleft", colour="BGR")
        case "ssd":
            return InputCard(height=height, width=width, resize="stretch", colour="BGR")
