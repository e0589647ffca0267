"""Crops to embeddings: an encoder graph, used as its card says."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import openvino as ov

from reid_pipeline.pipeline.datatypes import Embeddings, Image
from reid_pipeline.pipeline.runtime import OnnxRuntime, OpenVinoRuntime, Runtime, read_graph
from reid_pipeline.storage.errors import ModelError
from reid_pipeline.storage.model_card import InputCard, Model


class GraphEncoder:
    """An encoder from a graph file.

    Args:
        model: The model with its card: a graph alone does not tell how it wants its pixels.

    Raises:
        ModelError: No card, another task, or a graph that is not as the card says.
    """

    def __init__(self, model: Model) -> None:
        card = model.card
        if card is None:
            raise ModelError(f"{model.graph}: an encoder needs a card: expected model.json beside it")
        if card.output.head != "embedding" or card.output.dim is None:
            raise ModelError(f"{model.graph}: the card says task {card.task!r}: expected a re-ID encoder")
        self.model = model
        self.dim = card.output.dim
        self.model_hash = model.hash(card.input, card.output)
        self._size = (card.input.width, card.input.height)
        self._runtime = _compile(model, card.input, card.output.dim)

    def encode(self, crops: Sequence[Image]) -> Embeddings:
        """See `protocols.Encoder`."""
        answers = [self._runtime.start(np.asarray(cv2.resize(crop, self._size), np.uint8)[None]) for crop in crops]
        if not answers:
            return np.empty((0, self.dim), np.float32)
        embeddings = np.concatenate([answer.result().reshape(1, self.dim) for answer in answers])
        norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
        unit: Embeddings = embeddings / np.maximum(norms, np.float32(1e-12))
        return unit


def _compile(model: Model, card: InputCard, dim: int) -> Runtime:
    graph = read_graph(model.graph)
    if graph is None:
        return OnnxRuntime(model.graph, card)
    shapes = [str(entry.partial_shape) for entry in graph.inputs]
    if not _take_one(graph, card):
        raise ModelError(f"{model.graph}: inputs {shapes}: the card says (1, 3, {card.height}, {card.width})")
    length = _length(graph)
    if length != dim:
        raise ModelError(f"{model.graph}: embeddings of length {length}: the card says {dim}")
    return OpenVinoRuntime(graph, card)


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
