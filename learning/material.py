"""What an encoder is adapted on: crops by tracklet in memory, and which tracklets are certainly two people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.learning.crop_pool import Pool

Rows = NDArray[np.int64]

_QUARTER_US: Final = 900_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """N crops of T tracklets, T rows of what is known of each tracklet.

    Attributes:
        crops: ``(N, H, W, 3) uint8`` BGR, of the network's input size.
        tracklets: ``(N,)``, 0 to T-1, rising: the crops of a tracklet stand together, in order of time.
        times_us: ``(N,)``.
        cameras: ``(T,)``, into `camera_names`.
        camera_names: Names of the cameras.
        runs: ``(T,)``: only within one run of one camera do overlapping times mean two people.
        first_us: ``(T,)``, when each was first seen.
        last_us: ``(T,)``, when last.
    """

    crops: Pool
    tracklets: Rows
    times_us: Rows
    cameras: Rows
    camera_names: tuple[str, ...]
    runs: Rows
    first_us: Rows
    last_us: Rows

    def __len__(self) -> int:
        """Number of tracklets."""
        return len(self.cameras)

    def begins(self) -> Rows:
        """``(T + 1,)``: the crops of tracklet t stand at ``begins[t]`` up to ``begins[t + 1]``."""
        return np.searchsorted(self.tracklets, np.arange(len(self) + 1)).astype(np.int64)

    def select(self, chosen: Rows) -> Material:
        """Some of the tracklets, in rising order, numbered anew."""
        number = np.full(len(self), -1)
        number[chosen] = np.arange(len(chosen))
        kept = number[self.tracklets] >= 0
        return Material(
            self.crops[kept],
            number[self.tracklets[kept]],
            self.times_us[kept],
            self.cameras[chosen],
            self.camera_names,
            self.runs[chosen],
            self.first_us[chosen],
            self.last_us[chosen],
        )


def hold_out(material: Material, share: float = 1 / 7, blocks: int = 21) -> tuple[Material, Material]:
    """Splits off tracklets that are never trained on: whole blocks of time, spread over it.

    People who walk by together are in one block; tracklets drawn one by one would leave their neighbours to both sides.
    Where there are hours of them, blocks are quarters of an hour by the clock: what was held out once stays so, however
    the corpus grows.

    Args:
        material: All tracklets.
        share: Part of the blocks to hold out, 0-1; one over a whole number.
        blocks: In how many of equal size fewer hours are cut.

    Returns:
        What may be trained on, and what is held out.
    """
    held = _blocks(material.first_us, blocks) % round(1.0 / share) == 0
    return material.select(np.flatnonzero(~held)), material.select(np.flatnonzero(held))


def _blocks(first_us: Rows, blocks: int) -> Rows:
    """In which block of time each tracklet begins."""
    if np.ptp(first_us) >= blocks * _QUARTER_US:
        return first_us // _QUARTER_US
    rank = np.empty(len(first_us), np.int64)
    rank[np.argsort(first_us, kind="stable")] = np.arange(len(first_us))
    return rank * blocks // len(first_us) + 1  # the first one is trained on


def find_covisible(material: Material) -> Rows:
    """Pairs of tracklets that one camera saw at one time in one run, hence two people: ``(P, 2)``, the lesser first.

    Tracklets are gone through in order of their starts, so only those that are still open are compared.
    """
    pairs: list[tuple[int, int]] = []
    order = np.lexsort((material.first_us, material.cameras, material.runs))
    still: list[int] = []
    for one in order.tolist():
        still = [
            other
            for other in still
            if (material.runs[other], material.cameras[other]) == (material.runs[one], material.cameras[one])
            and material.last_us[other] >= material.first_us[one]
        ]
        pairs += [(min(one, other), max(one, other)) for other in still]
        still.append(one)
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)
