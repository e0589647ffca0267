"""Method `scl`: selective contrastive learning as its authors describe it, on crops one by one, without tracklets.

Each crop has a slot in three dynamic banks: of global features, of local ones (stripes) and of both mixed. For each
crop of a batch the similarity to all slots is taken from the global and the local bank, with a penalty on the own
camera. The first epochs know the own slot alone as positive, against random negatives; then the K nearest slots are
positives too, and the band of ranks behind them negatives. Both features are contrasted with the mixture bank.

Source: Pang et al., "Fully Unsupervised Person Re-identification via Selective Contrastive Learning", TOMM 2022
(arXiv 2010.07608), and what the authors' code does. Departures, each of which mends a defect of it:

- The own slot is never among the negatives; the code deletes it by its place in a shuffled list.
- The concatenated local feature is scaled to norm 1; theirs has the norm of the number of stripes, and so a sharper
  softmax and the larger say in the mixture.
- The mixture bank changes once a step, after it; theirs changes while the gradient is taken from it.
- A crop is written into its own slot alone; theirs goes into the slots of all its positives, wrong ones too.
- Banks begin with features in inference mode, none with zeros, and are part of the checkpoint.
- The same squared distance is meant everywhere; at test there is no camera penalty.
- Batches of 64 instead of 8, as batch statistics of 8 are noise, and the optimiser and its falling rate are those of
  all trainings here; theirs is SGD at a rate that never falls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from reid_pipeline.learning.distil_encoder import disturb
from reid_pipeline.learning.material import Material, Rows
from reid_pipeline.learning.part_network import PartNetwork, embed
from reid_pipeline.learning.pixels import normalise


@dataclass(frozen=True, slots=True)
class SclSettings:
    """The authors' figures.

    Attributes:
        batch: Crops a step.
        alone: Epochs in which the own slot is the only positive.
        positives: How many of the nearest are positives then, K.
        negatives: How many behind them are negatives.
        scale: Of the similarities in the softmax: the inverse of the temperature.
        own: Weight of the own slot, lt.
        nearest: Weight of all others together beside ``1 - own``, a.
        local: Weight of the local half of the loss, lp.
        global_share: Of the global bank in the choice, lg.
        camera: Penalty on slots of the own camera, in squared distance, lc.
        momentum: Part of a slot that stays.
    """

    batch: int = 64
    alone: int = 3
    positives: int = 7
    negatives: int = 500
    scale: float = 10.0
    own: float = 0.5
    nearest: float = 1.75
    local: float = 0.5
    global_share: float = 0.5
    camera: float = 0.05
    momentum: float = 0.5


class SclNetwork(nn.Module):
    """The network with its banks ``(N, D)``, so that both are in one checkpoint.

    Args:
        part: Gives global and local features.
        size: Number of crops.
        dim: Length of a feature.
    """

    def __init__(self, part: PartNetwork, size: int, dim: int) -> None:
        super().__init__()
        self.part = part
        for name in ("global_bank", "local_bank", "mixture"):
            self.register_buffer(name, torch.zeros(size, dim))

    @property
    def encoder(self) -> nn.Module:
        """What is adapted."""
        return self.part.encoder

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """See `PartNetwork`."""
        features: tuple[Tensor, Tensor] = self.part(crops)
        return features


@dataclass(frozen=True, slots=True)
class SclBatch:
    """Disturbed crops ``(N, H, W, 3) uint8``, their slots ``(N,)``, and a seed for what is drawn at random."""

    crops: NDArray[np.uint8]
    slots: Rows
    seed: int


class SclTask:
    """See `trainer.Task`; `begin_round` comes before the first batch."""

    def __init__(self, part: PartNetwork, material: Material, settings: SclSettings, seed: int) -> None:
        dim = part.encoder.head[0].out_features
        self.network = SclNetwork(part, len(material.crops), dim)
        self._crops = material.crops
        self._cameras = torch.from_numpy(material.cameras[material.tracklets])
        self._settings = settings
        self._seed = seed
        self._seen: tuple[Tensor, Tensor, Tensor] | None = None

    @property
    def epoch_steps(self) -> int:
        """Steps in which each crop is seen about once."""
        return max(1, len(self._crops) // self._settings.batch)

    def begin_round(self, teacher: nn.Module, device: torch.device) -> dict[str, float]:
        """Fills the banks before the first round, by the features of the teacher; later they keep themselves."""
        if bool(self.network.mixture.any()):
            return {}
        whole, local = (torch.from_numpy(each).to(device) for each in embed(teacher, self._crops, device))
        self.network.global_bank.copy_(whole)
        self.network.local_bank.copy_(local)
        self.network.mixture.copy_(functional.normalize(whole + local, dim=1))
        return {}

    def batch(self, step: int) -> SclBatch:
        """See `trainer.Task`: each epoch goes through all crops in an order of its own."""
        settings = self._settings
        epoch, place = divmod(step, self.epoch_steps)
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._crops))
        slots = order[place * settings.batch : (place + 1) * settings.batch]
        rng = np.random.default_rng([self._seed, epoch, place])
        size = (self._crops.shape[1], self._crops.shape[2])
        crops = np.stack([disturb(self._crops[slot], size, rng) for slot in slots])
        return SclBatch(crops, slots, -1 if epoch >= settings.alone else int(rng.integers(2**31)))

    def losses(self, batch: SclBatch, device: torch.device) -> dict[str, Tensor]:
        """See `trainer.Task`: ``global`` and ``local``."""
        whole, local = self.network(normalise(torch.from_numpy(batch.crops).to(device)))
        slots = torch.from_numpy(batch.slots).to(device)
        self._seen = (whole.detach(), local.detach(), slots)
        with torch.autocast(device.type, enabled=False):
            if batch.seed >= 0:
                positive, negative = slots[:, None], self._draw(batch)
            else:
                positive, negative = self._choose(whole.detach(), local.detach(), slots)
            share = self._settings.local
            return {
                "global": (1.0 - share) * self._contrast(whole, positive, negative),
                "local": share * self._contrast(local, positive, negative),
            }

    def _draw(self, batch: SclBatch) -> Tensor:
        """Random negatives ``(N, M)``, the own slot never among them."""
        rng = np.random.default_rng(batch.seed)
        size, settings = len(self._crops), self._settings
        count = min(settings.positives + settings.negatives, size - 1)
        drawn = np.stack([rng.choice(size - 1, count, replace=False) for _ in batch.slots])
        return torch.from_numpy(drawn + (drawn >= batch.slots[:, None])).to(self.network.mixture.device)

    @torch.no_grad()
    def _choose(self, whole: Tensor, local: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Positives ``(N, 1 + K)``, the own slot first, and negatives ``(N, M)``."""
        settings, network = self._settings, self.network
        alike = settings.global_share * (whole @ network.global_bank.T)
        alike += (1.0 - settings.global_share) * (local @ network.local_bank.T)
        cameras = self._cameras.to(slots.device)
        distance = 2.0 - 2.0 * alike + settings.camera * (cameras[slots][:, None] == cameras[None])
        distance.scatter_(1, slots[:, None], torch.inf)
        count = min(settings.positives + settings.negatives, distance.shape[1] - 1)
        near = distance.topk(count, dim=1, largest=False).indices
        return torch.cat([slots[:, None], near[:, : settings.positives]], dim=1), near[:, settings.positives :]

    def _contrast(self, features: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss of one half: the own slot by `own`, the others together by ``nearest * (1 - own)``."""
        settings = self._settings
        logits = settings.scale * features @ self.network.mixture.T
        chosen = logits.gather(1, torch.cat([positive, negative], dim=1))
        surprise = torch.logsumexp(chosen, dim=1, keepdim=True) - chosen[:, : positive.shape[1]]
        loss = settings.own * surprise[:, 0]
        if positive.shape[1] > 1:
            loss = loss + settings.nearest * (1.0 - settings.own) * surprise[:, 1:].mean(1)
        return loss.mean()

    @torch.no_grad()
    def after_step(self) -> None:
        """See `trainer.Task`: the crops of the step are written into their own slots, all different."""
        if self._seen is None:
            return
        whole, local, slots = self._seen
        keep, network = self._settings.momentum, self.network
        for bank, fresh in ((network.global_bank, whole), (network.local_bank, local)):
            bank[slots] = functional.normalize(keep * bank[slots] + (1.0 - keep) * fresh, dim=1)
        for fresh in (whole, local):
            network.mixture[slots] = functional.normalize((network.mixture[slots] + fresh) / 2.0, dim=1)
        self._seen = None
