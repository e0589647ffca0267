"""ONNX graphs in half precision: weights and arithmetic in float16, inputs and outputs in float32 as before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from reid_pipeline.storage.errors import ModelError

if TYPE_CHECKING:
    import onnx

# Inputs that the standard wants in float32 whatever the data is, by operator.
_SINGLE_INPUTS: Final = {"Resize": (1, 2), "Upsample": (1,)}
# Branches and loops hold graphs of their own; NonMaxSuppression exists in float32 alone.
_NOT_REWRITTEN: Final = frozenset({"If", "Loop", "Scan", "NonMaxSuppression"})


def halve(content: bytes) -> bytes:
    """Rewrites a serialised ONNX graph to compute in float16; weights beyond its range are set to its ends.

    Raises:
        ModelError: The graph has operators that cannot be rewritten, or the package `onnx` is missing.
    """
    try:
        import onnx
    except ImportError as error:
        raise ModelError("half precision needs the package onnx: pip install 'reid-pipeline[gpu]'") from error
    model = onnx.load_from_string(content)
    graph = model.graph
    odd = sorted({node.op_type for node in graph.node} & _NOT_REWRITTEN)
    if odd:
        raise ModelError(f"the graph has {', '.join(odd)}: it cannot be rewritten to half precision")
    _halve_constants(graph)
    _cast_at_the_edges(graph)
    del graph.value_info[:]  # they tell the old types
    rewritten: bytes = model.SerializeToString()
    return rewritten


def _halve_constants(graph: onnx.GraphProto) -> None:
    single = {
        node.input[index]
        for node in graph.node
        for index in _SINGLE_INPUTS.get(node.op_type, ())
        if index < len(node.input)
    }
    for tensor in graph.initializer:
        if tensor.name not in single:
            _halve_tensor(tensor)
    for node in graph.node:
        if node.output[0] not in single:
            _halve_attributes(node)


def _halve_attributes(node: onnx.NodeProto) -> None:
    from onnx import TensorProto, helper

    for attribute in node.attribute:
        if attribute.HasField("t"):
            _halve_tensor(attribute.t)
        elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
        elif node.op_type == "Constant" and attribute.name in {"value_float", "value_floats"}:
            values = attribute.f if attribute.name == "value_float" else list(attribute.floats)
            attribute.CopyFrom(helper.make_attribute("value", _half_tensor(np.array(values, np.float32))))
    if node.op_type == "ConstantOfShape" and not node.attribute:  # float32 zeros
        node.attribute.append(helper.make_attribute("value", _half_tensor(np.zeros(1, np.float32))))


def _halve_tensor(tensor: onnx.TensorProto) -> None:
    from onnx import TensorProto, numpy_helper

    if tensor.data_type == TensorProto.FLOAT:
        tensor.CopyFrom(_half_tensor(numpy_helper.to_array(tensor), tensor.name))


def _half_tensor(values: np.ndarray, name: str = "") -> onnx.TensorProto:
    from onnx import numpy_helper

    ends = np.finfo(np.float16)
    return numpy_helper.from_array(np.clip(values, ends.min, ends.max).astype(np.float16), name)


def _cast_at_the_edges(graph: onnx.GraphProto) -> None:
    """Lets every node use float16 copies of the graph's float32 inputs and outputs, which keep their own names."""
    from onnx import TensorProto, helper

    constants = {tensor.name for tensor in graph.initializer}
    inputs, outputs = (
        [entry.name for entry in entries if entry.type.tensor_type.elem_type == TensorProto.FLOAT]
        for entries in (graph.input, graph.output)
    )
    copies = {name: f"{name}/half" for name in [*inputs, *outputs] if name not in constants}
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = copies.get(name, name)
    first = [
        helper.make_node("Cast", [name], [copies[name]], to=TensorProto.FLOAT16) for name in inputs if name in copies
    ]
    last = [helper.make_node("Cast", [copies[name]], [name], to=TensorProto.FLOAT) for name in outputs]
    nodes = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(nodes)
