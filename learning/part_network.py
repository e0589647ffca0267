"""The encoder with what is only there while it learns: features of horizontal stripes beside the embedding.

Source: stripes after Sun et al., "Beyond Part Models: Person Retrieval with Refined Part Pooling", 2018.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from reid_pipeline.learning.crop_pool import Pool
from reid_pipeline.learning.encoder_network import EncoderNetwork
from reid_pipeline.learning.pixels import normalise
from reid_pipeline.pipeline.datatypes import Embeddings

_CHUNK: Final = 256


class PartNetwork(nn.Module):
    """Normalised crops ``(N, 3, H, W)`` to global and local features, each ``(N, D)`` of norm 1.

    The local feature holds one of each of P equal stripes, each of norm ``P ** -0.5``, one after the other.

    Args:
        encoder: What is adapted; its embedding is the global feature.
        maps: Number of channels of the backbone's last feature map.
        parts: Number of stripes; divides D.
    """

    def __init__(self, encoder: EncoderNetwork, maps: int, parts: int = 4) -> None:
        super().__init__()
        dim = encoder.head[0].out_features
        self.encoder = encoder
        self.stripes = nn.ModuleList(
            nn.Sequential(nn.Linear(maps, dim // parts, bias=False), nn.BatchNorm1d(dim // parts)) for _ in range(parts)
        )

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        backbone = self.encoder.backbone
        maps = backbone.forward_features(crops)
        embedding = self.encoder.head(backbone.forward_head(maps))
        return functional.normalize(embedding.float(), dim=1), self._local(maps)

    def _local(self, maps: Tensor) -> Tensor:
        pooled = functional.adaptive_avg_pool2d(maps, (len(self.stripes), 1)).squeeze(3).unbind(2)
        parts = [stripe(each) for stripe, each in zip(self.stripes, pooled, strict=True)]
        units = [functional.normalize(part.float(), dim=1) for part in parts]
        return torch.cat(units, dim=1) * len(units) ** -0.5


@torch.no_grad()
def embed(network: nn.Module, crops: Pool, device: torch.device) -> tuple[Embeddings, Embeddings]:
    """Global and local features ``(N, D)`` of crops by a `PartNetwork` in inference mode."""
    whole, local = [], []
    for begin in range(0, len(crops), _CHUNK):
        images = normalise(torch.from_numpy(crops[begin : begin + _CHUNK]).to(device))
        with torch.autocast(device.type, torch.bfloat16):
            found = network(images.contiguous(memory_format=torch.channels_last))
        whole.append(found[0].cpu().numpy())
        local.append(found[1].cpu().numpy())
    return np.concatenate(whole), np.concatenate(local)
