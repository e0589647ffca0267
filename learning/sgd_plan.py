"""Gradient descent with momentum, the way most published contrastive pre-training is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from reid_pipeline.learning.trainer import Plan

_MOMENTUM: Final = 0.9


@dataclass(frozen=True, slots=True)
class SgdPlan(Plan):
    """A plan whose rate falls from epoch to epoch, not from step to step; everything decays, norms and biases too.

    Attributes:
        epoch_steps: Steps for which the rate stays the same.

    Source: He et al., "Momentum Contrast", 2020, and the script that LUPerson's ResNet-50 was learnt with.
    """

    epoch_steps: int = 1

    def rate(self, step: int) -> float:
        """See `trainer.Plan`."""
        return Plan.rate(self, step // self.epoch_steps * self.epoch_steps)

    def optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        """See `trainer.Plan`."""
        learnt = [each for each in network.parameters() if each.requires_grad]
        return torch.optim.SGD(learnt, self.learning_rate, _MOMENTUM, weight_decay=self.weight_decay)
