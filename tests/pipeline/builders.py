"""Small real graphs for the tests of this folder, and where the real data is."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

CELL_PX = 8  # side of a cell of `brightness_detector`


def real_data(*parts: str) -> Path:
    """A file or folder of the real data; skips the test where there is none."""
    folder = os.environ.get("REID_TEST_DATA")
    if not folder:
        pytest.skip("REID_TEST_DATA is not set: it names the folder with the real footage and weights")
    return Path(folder, *parts)


def save_onnx(path: Path, nodes: list, constants: dict[str, np.ndarray], input_shape: list, output_shape: list) -> Path:
    """Saves a graph whose input is called ``image`` and whose output ``found``."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, output_shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def pass_through(path: Path, size: tuple[int, int]) -> Path:
    """A graph that gives back what it gets."""
    shape = [1, 3, *size]
    return save_onnx(path, [helper.make_node("Identity", ["image"], ["found"])], {}, shape, shape)


def mean_colour_encoder(path: Path, size: tuple[int, int] | None = (16, 8), dim: int = 3) -> Path:
    """The mean of each channel, mixed to ``dim`` numbers; the first three are the means themselves."""
    mixing = np.eye(3, dim, dtype=np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "mixing"], ["found"]),
    ]
    return save_onnx(path, nodes, {"mixing": mixing}, [1, 3, *(size or ("height", "width"))], [1, dim])


def determinants(path: Path, side: int = 4) -> Path:
    """The determinant of each channel: an operator that ONNX Runtime has and OpenVINO lacks."""
    return save_onnx(path, [helper.make_node("Det", ["image"], ["found"])], {}, [1, 3, side, side], [1, 3])


def constant_output(path: Path, shape: list[int], size: tuple[int, int] = (64, 64)) -> Path:
    """A graph that answers every image with zeros of a shape."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zeros"], ["found"]),
    ]
    return save_onnx(path, nodes, {"zeros": np.zeros(shape, np.float32)}, [1, 3, *size], shape)


def brightness_detector(
    path: Path, size: tuple[int, int] = (64, 64), *, box_px: int = CELL_PX, odd: bool = False
) -> Path:
    """An Ultralytics head ``(1, 5, N)``: each cell of `CELL_PX` is a person as likely as it is bright.

    The person is ``box_px`` large, around the cell's centre. With ``odd`` there is an operator in the graph that
    OpenVINO lacks; it changes nothing.
    """
    rows, columns = size[0] // CELL_PX, size[1] // CELL_PX
    y, x = np.meshgrid(*((np.arange(count) + 0.5) * CELL_PX for count in (rows, columns)), indexing="ij")
    boxes = np.stack([x.ravel(), y.ravel(), *np.full((2, x.size), box_px)])[None].astype(np.float32)
    constants = {"boxes": boxes, "shape": np.array([1, 1, rows * columns], np.int64), "zero": np.zeros(1, np.float32)}
    nodes = [
        helper.make_node(
            "AveragePool", ["image"], ["cells"], kernel_shape=[CELL_PX, CELL_PX], strides=[CELL_PX, CELL_PX]
        ),
        helper.make_node("ReduceMean", ["cells"], ["grey"], axes=[1]),
        helper.make_node("Reshape", ["grey", "shape"], ["plain"]),
        helper.make_node("Det", ["grey"], ["number"]),
        helper.make_node("Mul", ["number", "zero"], ["nothing"]),
        helper.make_node("Add", ["plain", "nothing"], ["odd"]),
        helper.make_node("Concat", ["boxes", "odd" if odd else "plain"], ["found"], axis=1),
    ]
    if not odd:
        nodes = [node for node in nodes if node.op_type not in {"Det", "Mul", "Add"}]
    return save_onnx(path, nodes, constants, [1, 3, *size], [1, 5, rows * columns])


def write_card(graph: Path, **changes: object) -> Path:
    """Writes the card of a graph of 16 x 8 pixels that embeds in three numbers, with changes; returns the folder."""
    files = [graph, graph.with_suffix(".bin")] if graph.suffix == ".xml" else [graph]
    card: dict[str, object] = {
        "name": graph.stem,
        "task": "reid",
        "graph": graph.name,
        "sha256": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
        "input": {"height": 16, "width": 8, "resize": "stretch", "colour": "RGB", "pixel_scale": 1 / 255},
        "output": {"head": "embedding", "dim": 3},
        "licence": "MIT",
    }
    (graph.parent / "model.json").write_text(json.dumps(card | changes))
    return graph.parent


class MeanColourEncoder:
    """The smallest encoder: the mean colour of a crop."""

    dim = 3
    model_hash = "mean colour"

    def encode(self, crops):
        colours = np.array([crop.reshape(-1, 3).mean(axis=0) for crop in crops], np.float32)
        return colours / np.linalg.norm(colours, axis=1, keepdims=True)
