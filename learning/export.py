"""Trained networks written as model folders: an ONNX graph and its card, ready for every runtime.

Weights are stored in half precision and widened when the graph is loaded: half the size, the same arithmetic.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from reid_pipeline.storage.model_card import (
    InputCard,
    Model,
    ModelCard,
    NetworkCard,
    OutputCard,
    load_model,
    write_card,
)

HALVED: Final = ".half"  # behind the name of a weight that is stored in half precision
GRAPH_NAME: Final = "graph.onnx"
_OPSET: Final = 18
_HALVED_FROM: Final = 256  # smaller tensors (biases, norms) stay in single precision: nothing to gain
_HALF_MAX: Final = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a card says beside what the graph computes.

    Attributes:
        licence: Under which terms the weights may be used.
        trained_on: The data, one entry for each source.
        parent: Hash of the model that this one was trained from; None from random weights.
        scores: One entry for each measurement: the data set, the figures, the conditions.
        network: What it can be trained further as, for an encoder.
    """

    licence: str
    trained_on: Sequence[str]
    parent: str | None = None
    scores: Sequence[Mapping[str, str | float]] = ()
    network: NetworkCard | None = None


def export_encoder(
    network: nn.Module, input_card: InputCard, dim: int, folder: Path, name: str, provenance: Provenance
) -> Model:
    """Writes an encoder as a model folder; one that is there already is replaced.

    Args:
        network: Takes normalised images ``(N, 3, H, W)``, gives embeddings ``(N, dim)`` of any length.
        input_card: How images become its input.
        dim: Length of an embedding.
        folder: The model folder to write.
        name: Name of the model.
        provenance: What else its card says.
    """
    output = OutputCard(head="embedding", dim=dim)
    return _export(network, input_card, output, folder, name, provenance)


def export_detector(
    network: nn.Module, input_card: InputCard, output: OutputCard, folder: Path, name: str, provenance: Provenance
) -> Model:
    """Writes a detector, as `export_encoder` does; ``output`` says how its candidates are to be read."""
    return _export(network, input_card, output, folder, name, provenance)


def _export(
    network: nn.Module, input_card: InputCard, output: OutputCard, folder: Path, name: str, provenance: Provenance
) -> Model:
    beside = folder.with_name(folder.name + ".part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    detects = output.head != "embedding"
    graph = trace(network, (input_card.height, input_card.width), any_size=detects)
    onnx.save(with_halved_weights(graph), beside / GRAPH_NAME)
    card = ModelCard(
        name=name,
        task="detect" if detects else "reid",
        graph=GRAPH_NAME,
        sha256={GRAPH_NAME: ""},  # write_card takes it from the file
        input=input_card,
        output=output,
        licence=provenance.licence,
        trained_on=tuple(provenance.trained_on),
        parent=provenance.parent,
        scores=tuple(dict(score) for score in provenance.scores),
        network=provenance.network,
    )
    write_card(card, beside)
    _replace(folder, beside)
    return load_model(folder)


def _replace(folder: Path, by: Path) -> None:
    """Puts a folder in the place of another, which stays whole until then."""
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    by.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def trace(network: nn.Module, size: tuple[int, int], *, any_size: bool = False) -> onnx.ModelProto:
    """The network as an ONNX graph ``image`` to ``output`` for any batch size, in inference mode.

    Args:
        network: The network; the modes of its parts are kept.
        size: Height and width of the input in pixels.
        any_size: Whether height and width stay open as well.
    """
    modes = [(each, each.training) for each in network.modules()]
    network.eval()
    axes: dict[int, Any] = {0: torch.export.Dim("batch")}
    if any_size:
        axes |= {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own parts
        program = torch.onnx.export(
            network,
            (torch.zeros(2, 3, *size),),
            input_names=["image"],
            output_names=["output"],
            dynamic_shapes=(axes,),
            opset_version=_OPSET,
            dynamo=True,
            optimize=False,  # keeps every weight under its own name; the runtimes fold them anyway
            verbose=False,
        )
    for each, training in modes:
        each.training = training
    if program is None:
        raise RuntimeError("the exporter gave no graph")
    return _without_notes(program.model_proto)


def _without_notes(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without the exporter's notes on where in the program each node came from: a megabyte of paths."""
    for part in (*graph.graph.node, *graph.graph.value_info, *graph.graph.initializer, graph.graph):
        del part.metadata_props[:]
        part.doc_string = ""
    return graph


def with_halved_weights(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its large weights stored in half precision, each followed by a cast back to single precision.

    Tensors with values beyond the range of half precision stay as they are.
    """
    halved = onnx.ModelProto()
    halved.CopyFrom(graph)
    kept, casts = [], []
    for tensor in halved.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _HALVED_FROM or np.abs(values).max() > _HALF_MAX:
            kept.append(tensor)
            continue
        short = tensor.name + HALVED
        kept.append(numpy_helper.from_array(values.astype(np.float16), short))
        casts.append(helper.make_node("Cast", [short], [tensor.name], to=onnx.TensorProto.FLOAT))
    nodes = list(halved.graph.node)
    del halved.graph.initializer[:]
    del halved.graph.node[:]
    halved.graph.initializer.extend(kept)
    halved.graph.node.extend(casts + nodes)
    return halved
