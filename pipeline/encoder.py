"""Crops to embeddings: an encoder graph, used as its card says."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import openvino as ov

from reid_pipeline.pipeline.datatypes import Embeddings, Image
from reid_pipeline.pipeline.parity import EncoderTrial, shipped_crops
from reid_pipeline.pipeline.runtime import Engine, Pixels, Runtime
from reid_pipeline.pipeline.runtime_choice import AUTO, RuntimeOptions, choose_runtime
from reid_pipeline.pipeline.runtime_engines import Graph
from reid_pipeline.pipeline.runtime_openvino import read_graph
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import InputCard, Model


class GraphEncoder:
    """An encoder from a graph file.

    Args:
        model: The model with its card: a graph alone does not tell how it wants its pixels.
        options: How it is computed.

    Raises:
        ModelError: No card, another task, or a graph that is not as the card says.
    """

    def __init__(self, model: Model, options: RuntimeOptions = AUTO) -> None:
        card = model.card
        if card is None:
            raise ModelError(f"{model.graph}: an encoder needs a card: expected model.json beside it")
        if card.output.head != "embedding" or card.output.dim is None:
            raise ModelError(f"{model.graph}: the card says task {card.task!r}: expected a re-ID encoder")
        self.model = model
        self.dim = card.output.dim
        self.different = stated_difference(model)
        self.model_hash = model.hash(card.input, card.output)
        self._size = (card.input.width, card.input.height)
        self._runtime = self._compile(card.input, options)

    @property
    def engine(self) -> Engine:
        """What computes; it may change while a faster engine is built."""
        return self._runtime.engine

    def encode(self, crops: Sequence[Image]) -> Embeddings:
        """See `protocols.Encoder`."""
        answers = [self._runtime.start(self._prepare(crop)) for crop in crops]
        if not answers:
            return np.empty((0, self.dim), np.float32)
        embeddings = np.concatenate([answer.result().reshape(1, self.dim) for answer in answers])
        norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
        unit: Embeddings = embeddings / np.maximum(norms, np.float32(1e-12))
        return unit

    def _prepare(self, crop: Image) -> Pixels:
        # Reduced by the mean of what falls together: plain interpolation would skip pixels of large crops.
        how = cv2.INTER_AREA if crop.shape[0] > self._size[1] else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(crop, self._size, interpolation=how), np.uint8)[None]

    def _compile(self, card: InputCard, options: RuntimeOptions) -> Runtime:
        network = _read(self.model, card, self.dim)
        read = None if network is None else network.clone
        graph = Graph(self.model, self.model_hash, card, (card.height, card.width), read, options.trust)
        return choose_runtime(graph, lambda: self._trial(options.pictures), options.runtime)

    def _trial(self, pictures: Sequence[Image] | None) -> EncoderTrial:
        return EncoderTrial(tuple(self._prepare(crop) for crop in pictures or shipped_crops()))


def _read(model: Model, card: InputCard, dim: int) -> ov.Model | None:
    """The graph set to one image of the card's size; None where OpenVINO cannot read it."""
    graph = read_graph(model.graph)
    if graph is None:
        return None
    shapes = [str(entry.partial_shape) for entry in graph.inputs]
    if not _take_one(graph, card):
        raise ModelError(f"{model.graph}: inputs {shapes}: the card says (1, 3, {card.height}, {card.width})")
    length = _length(graph)
    if length != dim:
        raise ModelError(f"{model.graph}: embeddings of length {length}: the card says {dim}")
    return graph


def _take_one(graph: ov.Model, card: InputCard) -> bool:
    """Sets the graph to one image of the card's size at a time; False where it has another size or cannot."""
    wanted = ov.PartialShape([-1, 3, card.height, card.width])
    if len(graph.inputs) != 1 or not graph.inputs[0].partial_shape.compatible(wanted):
        return False
    try:
        graph.reshape([1, 3, card.height, card.width])
    except RuntimeError:
        return False
    return True


def _length(graph: ov.Model) -> int:
    return int(np.prod(list(graph.outputs[0].shape)))


def stated_difference(model: Model) -> tuple[float, float] | None:
    """Mean and standard deviation of the similarity of two different people, where the card tells them.

    Raises:
        ModelError: What it tells can be none.
    """
    match model.card.calibration if model.card else None:
        case {"different": (mean, deviation)} if deviation > 0:
            return mean, deviation
        case {"different": values}:
            raise ModelError(
                f"{model.graph}: the card says calibration.different {list(values)}: "
                "expected a mean and a standard deviation above 0"
            )
        case _:
            return None
