"""Momentum contrast: a query network, a key network that follows it slowly, and a queue of the latest keys.

Source: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", 2020, with the projection of
Chen et al., "Improved Baselines with Momentum Contrastive Learning", 2020 (MoCo v2).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from reid_pipeline.learning.distributed import average_over_ranks
from reid_pipeline.learning.encoder_network import EncoderNetwork

Compared = Literal["embedding", "features"]


@dataclass(frozen=True, slots=True)
class MocoSettings:
    """What is compared, and with what.

    Attributes:
        compared: What is projected: the encoder's embedding, or the features that it is made of.
        queue: Number of keys.
        dim: Of a key.
        momentum: Share of itself that the key network keeps at each step.
        temperature: Similarities are divided by it.
        spare_own: Whether the keys of a crop's own tracklet are no negatives to it.
    """

    compared: Compared = "embedding"
    queue: int = 65_536
    dim: int = 128
    momentum: float = 0.999
    temperature: float = 0.1
    spare_own: bool = False


class Projected(nn.Module):
    """Normalised crops ``(N, 3, H, W)`` to vectors ``(N, dim)`` of norm 1: an encoder and a projection of two layers.

    Args:
        trunk: The encoder, or its backbone alone.
        width: Of what it gives.
        dim: Of the vectors.
    """

    def __init__(self, trunk: nn.Module, width: int, dim: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))

    def forward(self, crops: Tensor) -> Tensor:
        """See the class."""
        return functional.normalize(self.projection(self.trunk(crops)).float(), dim=1)


class KeyQueue(nn.Module):
    """The latest K keys and the tracklets that they are of, in a ring that takes any number of new ones exactly.

    It is in the state of the network, and so in every checkpoint. It begins with random keys of tracklet -1.

    Args:
        size: K.
        dim: Of a key.
    """

    keys: Tensor
    tracklets: Tensor
    head: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", functional.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("tracklets", torch.full((size,), -1))
        self.register_buffer("head", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def add(self, keys: Tensor, tracklets: Tensor) -> None:
        """Puts keys ``(N, dim)`` and their tracklets ``(N,)`` in the place of the oldest."""
        size = len(self.keys)
        places = (self.head + torch.arange(len(keys), device=self.keys.device)) % size
        self.keys[places[-size:]] = keys[-size:].to(self.keys.dtype)
        self.tracklets[places[-size:]] = tracklets[-size:]
        self.head.copy_((self.head + len(keys)) % size)


class MocoNetwork(nn.Module):
    """All that a checkpoint has to hold: the query network, the key network and the queue.

    Args:
        encoder: What is learnt; it becomes part of the query network.
        settings: See there.
    """

    def __init__(self, encoder: EncoderNetwork, settings: MocoSettings) -> None:
        super().__init__()
        trunk, width = (encoder, encoder.dim) if settings.compared == "embedding" else (encoder.backbone, encoder.width)
        self.query = Projected(trunk, width, settings.dim)
        self.key = deepcopy(self.query).requires_grad_(requires_grad=False)
        self.queue = KeyQueue(settings.queue, settings.dim)

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Moves the key network's parameters towards the query network's.

        Its batch norms' statistics are those of its own forward passes: it always runs in training mode, so they fit
        its weights at every step, which an average of the query network's would not.
        """
        torch._foreach_lerp_(list(self.key.parameters()), list(self.query.parameters()), 1.0 - momentum)


def info_nce(
    queries: Tensor, positives: Tensor, negatives: Tensor, spared: Tensor | None, temperature: float
) -> Tensor:
    """Mean over queries of ``-log(exp(q.k / t) / (exp(q.k / t) + sum over negatives n of exp(q.n / t)))``.

    Args:
        queries: ``(N, D)`` of norm 1.
        positives: ``(N, D)``, the key k of each.
        negatives: ``(K, D)``.
        spared: ``(N, K)``, which of them are no negatives to a query.
        temperature: t.

    Source: van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018, as in MoCo.
    """
    own = (queries * positives).sum(1, keepdim=True)
    others = queries @ negatives.T
    if spared is not None:
        others = others.masked_fill(spared, -torch.inf)
    logits = torch.cat([own, others], dim=1) / temperature
    return (logits.logsumexp(1) - logits[:, 0]).mean()


class ShardStatistics:
    """Keeps the batch norms' running statistics of a network the same however shards are spread over processes.

    Each shard moves them from where they stood at the beginning of the step; in the end they are the mean over all
    shards of all ranks.

    Args:
        network: In training mode.
    """

    def __init__(self, network: nn.Module) -> None:
        self._buffers = list(network.buffers())
        self._before = [each.clone() for each in self._buffers]
        self._moving = [each for each in self._buffers if each.is_floating_point()]  # the others count steps
        self._sums = [torch.zeros_like(each) for each in self._moving]
        self._shards = 0

    def begin_shard(self) -> None:
        """Before the forward pass of a shard."""
        for buffer, before in zip(self._buffers, self._before, strict=True):
            buffer.copy_(before)

    def end_shard(self) -> None:
        """After it."""
        self._shards += 1
        for total, buffer in zip(self._sums, self._moving, strict=True):
            total.add_(buffer)

    def settle(self) -> None:
        """After the last shard."""
        average_over_ranks(self._sums)
        for buffer, total in zip(self._moving, self._sums, strict=True):
            buffer.copy_(total / self._shards)
