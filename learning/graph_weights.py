"""The weights of our own exported graphs, read back for further training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from reid_pipeline.learning.encoder_network import EncoderNetwork, build_encoder_network
from reid_pipeline.learning.errors import TrainingError
from reid_pipeline.learning.export import HALVED
from reid_pipeline.storage.model_card import Model


def read_weights(graph: Path) -> dict[str, Tensor]:
    """Parameters and buffers by name, in single precision, of a graph that `export` wrote."""
    tensors = onnx.load(graph).graph.initializer
    return {
        tensor.name.removesuffix(HALVED): torch.from_numpy(numpy_helper.to_array(tensor).astype(np.float32))
        for tensor in tensors
    }


def load_weights(network: nn.Module, graph: Path, *, other_head: bool = True) -> None:
    """Gives a network the weights of an exported one.

    Args:
        network: What was exported, built anew.
        graph: The `.onnx` file.
        other_head: Whether an encoder's head may be of another shape; it then stays as it is.

    Raises:
        TrainingError: The graph lacks a weight, or has it in another shape.
    """
    found = read_weights(graph)
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    fitting = {name: found[name] for name, tensor in own.items() if name in found and found[name].shape == tensor.shape}
    spared = "head." if other_head else ()
    missing = [name for name in own if not name.startswith(spared) and name not in fitting]
    if missing:
        raise TrainingError(f"{graph}: {missing[0]}: missing or of another shape: it is not a graph of this network")
    network.load_state_dict(fitting, strict=False)


def keep_weights(network: nn.Module, graph: Path, part: float) -> None:
    """Draws the weights of a network back towards those that it began with: it forgets less of what is not shown again.

    Args:
        network: What was trained.
        graph: The `.onnx` file that it began with.
        part: Of each weight that is taken from there, 0-1.

    Raises:
        TrainingError: The graph lacks a weight, or has it in another shape.

    Source: Wortsman et al., "Robust Fine-tuning of Zero-shot Models", 2022, section 3.
    """
    trained = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    load_weights(network, graph)
    mixed = {
        name: tensor.lerp(trained[name].to(tensor), 1.0 - part) if tensor.is_floating_point() else trained[name]
        for name, tensor in network.state_dict().items()
    }
    network.load_state_dict(mixed)


def rebuild_encoder(model: Model) -> EncoderNetwork:
    """An encoder as it was before its export, with its weights.

    Raises:
        TrainingError: Its card does not say what it was exported from, or says it wrongly.
    """
    card = model.card
    if card is None or card.network is None or card.output.dim is None:
        raise TrainingError(
            f"{model.name}: cannot be trained further: its card has no `network`: expected a model made by `train`, "
            "`pretrain` or `adapt`, or bundled"
        )
    network = build_encoder_network(
        card.network.backbone,
        card.output.dim,
        keep_resolution=card.network.keep_resolution,
        size=(card.input.height, card.input.width),
    )
    load_weights(network, model.graph, other_head=False)
    return network
