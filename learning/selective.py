"""The selective contrastive term: a crop is drawn to chosen tracklets and pushed from chosen others.

Three banks with a slot for each tracklet: of global features, of local ones, and of both mixed. Similarities for the
choice are taken from the first two, both halves of the loss are taken against the third. Positives are the own tracklet
and few others that are neighbours of each other, more alike than people who are certainly two, and not too many of one
camera. Negatives are the hardest of the rest, after some that may be the same person unnoticed; tracklets that are
certainly two people are always among them.

Source: Pang et al., "Fully Unsupervised Person Re-identification via Selective Contrastive Learning", TOMM 2022, with
these departures: slots are tracklets, not crops; the number of positives is not fixed; other positives are not in the
denominator; a crop is written into its own slot alone, after the step; the concatenated local feature is scaled to
norm 1; banks begin with features in inference mode.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class SelectiveSettings:
    """What is chosen, and how strictly it is told apart.

    Attributes:
        temperature: Of the loss.
        negatives: How many of the hardest.
        margin: How many ranks behind the positives are neither, as a multiple of the number of positives.
        momentum: Part of a slot that stays when a crop of its comes in.
        weight: Of the whole term.
    """

    temperature: float = 0.1
    negatives: int = 256
    margin: float = 1.5
    momentum: float = 0.8
    weight: float = 0.5


class SelectiveBanks(nn.Module):
    """Banks of T tracklets.

    Args:
        global_features: ``(T, D)`` of norm 1.
        local_features: ``(T, D)`` of norm 1.
        positives: ``(T, K)``: who may be the same person, itself first, -1 where there are fewer.
        apart: ``(T, A)``: who is certainly another person, -1 where there are fewer.
        settings: How to choose.
    """

    def __init__(
        self,
        global_features: Tensor,
        local_features: Tensor,
        positives: Tensor,
        apart: Tensor,
        settings: SelectiveSettings,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("global_features", global_features)
        self.register_buffer("local_features", local_features)
        self.register_buffer("mixture", functional.normalize(global_features + local_features, dim=1))
        self.register_buffer("positives", positives)
        self.register_buffer("apart", apart)

    def loss(self, global_features: Tensor, local_features: Tensor, tracklets: Tensor) -> Tensor:
        """The term for N crops with features ``(N, D)``, of tracklets ``(N,)``."""
        positive, negative = self._choose(global_features.detach(), local_features.detach(), tracklets)
        halves = [self._contrast(each, positive, negative) for each in (global_features, local_features)]
        return self.settings.weight * 0.5 * (halves[0] + halves[1])

    def _choose(self, global_features: Tensor, local_features: Tensor, tracklets: Tensor) -> tuple[Tensor, Tensor]:
        """Masks ``(N, T)`` of positives and negatives."""
        alike = 0.5 * (global_features @ self.global_features.T + local_features @ self.local_features.T)
        positive = _mask(self.positives[tracklets], alike.shape[1])
        certain = _mask(self.apart[tracklets], alike.shape[1])
        begin = (self.settings.margin * positive.sum(1, keepdim=True)).long()
        count = min(int(begin.max()) + self.settings.negatives, alike.shape[1])
        hardest = alike.masked_fill(positive, -torch.inf).topk(count, dim=1).indices
        rank = torch.arange(count, device=alike.device)
        chosen = (rank >= begin) & (rank < begin + self.settings.negatives)
        negative = torch.zeros_like(positive).scatter_(1, hardest, chosen)
        return positive, (negative & ~positive) | certain

    def _contrast(self, features: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The mean over the positives of each alone against all negatives."""
        logits = features @ self.mixture.T / self.settings.temperature
        others = torch.logsumexp(logits.masked_fill(~negative, -torch.inf), dim=1, keepdim=True)
        each = functional.softplus(others - logits)
        return (each * positive).sum(1).div(positive.sum(1)).mean()

    @torch.no_grad()
    def update(self, global_features: Tensor, local_features: Tensor, tracklets: Tensor) -> None:
        """Takes in the features of a step, after it."""
        mean = functional.normalize(global_features + local_features, dim=1)
        for bank, fresh in (
            (self.global_features, global_features),
            (self.local_features, local_features),
            (self.mixture, mean),
        ):
            for row, feature in zip(tracklets.tolist(), fresh, strict=True):
                mixed = self.settings.momentum * bank[row] + (1.0 - self.settings.momentum) * feature
                bank[row] = functional.normalize(mixed, dim=0)


def _mask(rows: Tensor, size: int) -> Tensor:
    """``(N, size)``: True at the positions ``rows (N, K)``; -1 says nothing."""
    mask = torch.zeros(len(rows), size + 1, dtype=torch.bool, device=rows.device)
    mask.scatter_(1, torch.where(rows < 0, size, rows), True)
    return mask[:, :size]
