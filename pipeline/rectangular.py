"""Square detector graphs made rectangular, so that a wide picture is not padded to a square.

A picture of 4:3 or 16:9 fills a square input to three quarters or less: the rest is grey padding that costs as much as
the picture. Graphs exported from Ultralytics models are traced at one size, which is burnt into them at three places:
the anchor grid with its strides, reshapes that count grid cells, and the attention block. All three follow from the
input size, so they can be recognised and rewritten; nothing that was learnt is touched.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from reid_pipeline.pipeline.detector_heads import YOLOX_STRIDES, cell_count

Grid = NDArray[np.float32]


def fit_input(size: tuple[int, int], limit: tuple[int, int], stride: int = YOLOX_STRIDES[-1]) -> tuple[int, int]:
    """The smallest input of whole strides that holds a picture scaled to fit into `limit`.

    Args:
        size: Height and width of the picture in pixels.
        limit: Largest height and width of the input.
        stride: The input's sides are multiples of it.

    Example:
        >>> fit_input((1080, 1920), (640, 640))
        (384, 640)
    """
    scale = min(limit[0] / size[0], limit[1] / size[1])
    height, width = (max(stride, -(-round(side * scale) // stride) * stride) for side in size)
    return min(height, limit[0]), min(width, limit[1])


def reshape_yolo(model: ov.Model, height: int, width: int) -> bool:
    """Gives an Ultralytics graph, in place, another input size.

    Args:
        model: A graph with one input ``(1, 3, H, W)`` of fixed size.
        height: New height, a multiple of 32.
        width: New width, a multiple of 32.

    Returns:
        False when the graph is not built as expected; it is then spoilt and must be read anew.
    """
    shape = model.inputs[0].partial_shape
    if shape.is_dynamic:
        model.reshape([1, 3, height, width])
        return True
    _, _, old_height, old_width = model.inputs[0].shape
    if (old_height, old_width) == (height, width):
        return True
    old, new = (old_height, old_width), (height, width)
    if not all(_rewrite(operation, old, new) for operation in model.get_ordered_ops()):
        return False
    try:
        model.get_parameters()[0].set_partial_shape(ov.PartialShape([1, 3, height, width]))
        model.validate_nodes_and_infer_types()
    except RuntimeError:  # some reshape counts cells in a way that is not known here
        return False
    return cell_count(new) in list(model.outputs[0].partial_shape.to_shape())


def _rewrite(operation: ov.Node, old: tuple[int, int], new: tuple[int, int]) -> bool:
    if operation.get_type_name() == "Reshape":
        return _rewrite_reshape(operation, old, new)
    if operation.get_type_name() == "Constant" and list(operation.shape)[-1:] == [cell_count(old)]:
        return _rewrite_grid(operation, old, new)
    return True


def _rewrite_reshape(operation: ov.Node, old: tuple[int, int], new: tuple[int, int]) -> bool:
    target = operation.input_value(1).get_node()
    if target.get_type_name() != "Constant":
        return True
    coarse_old, coarse_new = [side // YOLOX_STRIDES[-1] for side in old], [side // YOLOX_STRIDES[-1] for side in new]
    counts = {cell_count(old): cell_count(new), coarse_old[0] * coarse_old[1]: coarse_new[0] * coarse_new[1]}
    dimensions = target.get_data().tolist()
    changed = [counts.get(dimension, dimension) for dimension in dimensions]
    if len(dimensions) == 4 and dimensions[2:] == coarse_old:
        changed[2:] = coarse_new
    if changed != dimensions:
        operation.input(1).replace_source_output(ops.constant(np.array(changed, np.int64)).output(0))
    return True


def _rewrite_grid(constant: ov.Node, old: tuple[int, int], new: tuple[int, int]) -> bool:
    values = constant.get_data()
    for build in (_centres, _strides):
        known = build(old)
        if values.size == known.size and np.allclose(values.reshape(known.shape), known):
            fresh = build(new).reshape(*values.shape[:-1], -1).astype(values.dtype)
            for reader in list(constant.output(0).get_target_inputs()):
                reader.replace_source_output(ops.constant(fresh).output(0))
            return True
    return False


def _centres(size: tuple[int, int]) -> Grid:
    """Cell centres ``(2, N)``, x then y, in cells of each grid."""
    grids = []
    for stride in YOLOX_STRIDES:
        y, x = np.meshgrid(*(np.arange(side // stride) + 0.5 for side in size), indexing="ij")
        grids.append(np.stack([x.ravel(), y.ravel()]))
    return np.concatenate(grids, axis=1).astype(np.float32)


def _strides(size: tuple[int, int]) -> Grid:
    """The stride of each cell ``(1, N)``."""
    counts = [(size[0] // stride) * (size[1] // stride) for stride in YOLOX_STRIDES]
    return np.repeat(np.array(YOLOX_STRIDES, np.float32), counts)[None]
