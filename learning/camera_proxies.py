"""Camera proxies: a person's mean look in each camera, and the two losses that pull a crop to them.

Source: Wang et al., "Camera-aware Proxies for Unsupervised Person Re-Identification", 2021, equations 3 to 5, with the
means over the cameras of a batch instead of sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """How strictly.

    Attributes:
        temperature: Of the softmax.
        hardest: Proxies of other people that a crop is told from across cameras.
        momentum: Part of a proxy that stays when a crop of its comes in.
        across: Weight of the loss across cameras beside that within the own camera.
    """

    temperature: float = 0.07
    hardest: int = 50
    momentum: float = 0.2
    across: float = 0.5


class CameraProxies(nn.Module):
    """P proxies.

    Args:
        features: ``(P, D)`` of norm 1.
        people: ``(P,)``, whose each is.
        cameras: ``(P,)``, in which camera.
        settings: How strictly.
    """

    def __init__(self, features: Tensor, people: Tensor, cameras: Tensor, settings: ProxySettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("features", features)
        self.register_buffer("people", people)
        self.register_buffer("cameras", cameras)

    def losses(self, embeddings: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Losses of crops ``(N, D)`` of norm 1, whose own proxies are ``rows (N,)``."""
        logits = embeddings @ self.features.T / self.settings.temperature
        people, cameras = self.people[rows], self.cameras[rows]
        foreign = cameras[:, None] != self.cameras[None]
        within = functional.cross_entropy(logits.masked_fill(foreign, -torch.inf), rows)
        return {"within": within, "across": self.settings.across * self._across(logits, people, foreign)}

    def _across(self, logits: Tensor, people: Tensor, foreign: Tensor) -> Tensor:
        """Each proxy of the same person counts the same; where there is one camera alone, it counts itself."""
        same = people[:, None] == self.people[None]
        wanted = same & (foreign | ~(same & foreign).any(1, keepdim=True))
        hardest = min(self.settings.hardest, logits.shape[1])
        others = logits.masked_fill(same, -torch.inf).topk(hardest, dim=1).values
        everyone = torch.cat([logits.masked_fill(~wanted, -torch.inf), others], dim=1)
        surprise = torch.logsumexp(everyone, dim=1, keepdim=True) - logits
        return (surprise * wanted).sum(1).div(wanted.sum(1)).mean()

    @torch.no_grad()
    def update(self, embeddings: Tensor, rows: Tensor) -> None:
        """Moves the proxies ``rows (N,)`` towards crops ``(N, D)``, one after the other."""
        keep = self.settings.momentum
        for row, embedding in zip(rows.tolist(), embeddings, strict=True):
            mixed = keep * self.features[row] + (1.0 - keep) * embedding
            self.features[row] = functional.normalize(mixed, dim=0)
