"""The weights of our own exported graphs, read back for further training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from reid_pipeline.learning.errors import TrainingError
from reid_pipeline.learning.export import HALVED


def read_weights(graph: Path) -> dict[str, Tensor]:
    """Parameters and buffers by name, in single precision, of a graph that `export` wrote."""
    tensors = onnx.load(graph).graph.initializer
    return {
        tensor.name.removesuffix(HALVED): torch.from_numpy(numpy_helper.to_array(tensor).astype(np.float32))
        for tensor in tensors
    }


def load_weights(network: nn.Module, graph: Path) -> None:
    """Gives a network the weights of an exported one; an encoder's head of another shape stays as it is.

    Args:
        network: What was exported, built anew.
        graph: The `.onnx` file.

    Raises:
        TrainingError: The graph lacks a weight, or has it in another shape.
    """
    found = read_weights(graph)
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    fitting = {name: found[name] for name, tensor in own.items() if name in found and found[name].shape == tensor.shape}
    missing = [name for name in own if not name.startswith("head.") and name not in fitting]
    if missing:
        raise TrainingError(f"{graph}: {missing[0]}: missing or of another shape: it is not a graph of this network")
    network.load_state_dict(fitting, strict=False)
