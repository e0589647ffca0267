"""What an encoder is not to forget: crops from elsewhere, and how alike they were to it before.

Without them an encoder that learns one site goes on to believe that nobody looks unlike its people. The crops are of
virtual people, shipped as one sheet: nobody's retention time runs out on them. To draw them anew:
``python -m reid_pipeline.learning.memory FILE``.

Source: similarities between replayed crops are held after Chen et al., "Unsupervised Lifelong Person Re-identification
via Contrastive Rehearsal", 2022 (arXiv 2203.06468).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from reid_pipeline.learning.crop_pool import Pool, Size, render_crops
from reid_pipeline.learning.part_network import PartNetwork, embed
from reid_pipeline.learning.pixels import normalise
from reid_pipeline.learning.virtual_views import ViewPlan

SHEET: Final = Path(__file__).with_name("memory_crops.jpg")
_SIZE: Final[Size] = (128, 64)
_COLUMNS: Final = 32
_CROPS: Final = 512
_QUALITY: Final = 88
_PLAN: Final = ViewPlan(places=6, frames=24, people=40, seed=2000)
_SHARPNESS: Final = 5.0  # of the softmax over similarities: one over its temperature


def read_memory(size: Size) -> Pool:
    """The shipped crops ``(512, H, W, 3) uint8`` BGR at a network's input size."""
    sheet = cv2.imread(str(SHEET))
    if sheet is None:
        raise FileNotFoundError(f"{SHEET}: the installation is broken: install the package again")
    rows = sheet.reshape(-1, _SIZE[0], _COLUMNS, _SIZE[1], 3).swapaxes(1, 2).reshape(-1, *_SIZE, 3)
    return np.stack([cv2.resize(crop, size[::-1], interpolation=cv2.INTER_AREA) for crop in rows]).astype(np.uint8)


class Memory:
    """Holds a network to the similarities that it had when this was made.

    Args:
        network: As it is now.
        crops: ``(M, H, W, 3) uint8``.
        device: Where the network is now.
    """

    def __init__(self, network: PartNetwork, crops: Pool, device: torch.device) -> None:
        self._crops = crops
        with _at_work(network):
            self._before = torch.from_numpy(embed(network, crops, device)[0]).to(device)

    def __len__(self) -> int:
        """Number of crops."""
        return len(self._crops)

    def loss(self, network: PartNetwork, chosen: Tensor) -> Tensor:
        """How differently the chosen crops ``(N,)`` rank one another now: a divergence of Kullback and Leibler, 0 up.

        The statistics of normalisation are those of the site: the crops pass as they would at work.
        """
        device = next(network.parameters()).device
        crops = normalise(torch.from_numpy(self._crops[chosen.numpy()]).to(device))
        with _at_work(network):
            now = network(crops)[0]
        before = self._before[chosen.to(self._before.device)].to(device)
        return functional.kl_div(_ranking(now), _ranking(before), reduction="batchmean", log_target=True)


def _ranking(embeddings: Tensor) -> Tensor:
    """Logarithms of a softmax over the others ``(N, N - 1)``."""
    others = ~torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    alike = (embeddings @ embeddings.T)[others].reshape(len(embeddings), -1)
    return functional.log_softmax(_SHARPNESS * alike, dim=1)


@contextmanager
def _at_work(network: nn.Module) -> Iterator[None]:
    """Inference mode for a while."""
    learns = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(learns)


def draw_memory(file: Path) -> None:
    """Draws the sheet: crops of virtual people, spread over all that a plan renders."""
    crops = render_crops(_PLAN, _SIZE)
    kept = crops[np.linspace(0, len(crops) - 1, _CROPS).round().astype(int)]
    rows = [np.hstack(list(kept[begin : begin + _COLUMNS])) for begin in range(0, _CROPS, _COLUMNS)]
    cv2.imwrite(str(file), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])


if __name__ == "__main__":
    draw_memory(Path(sys.argv[1]))
