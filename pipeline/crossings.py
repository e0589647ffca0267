"""Who is who after two people have crossed: what their looks say once both can be seen again.

While one person hides another, motion alone says whose box is whose, and it may be wrong: a tracklet goes on with
somebody else. So a tracklet remembers whom it has crossed, and what it looked like before. As soon as its box shows one
person again, that look is compared with its own and with those of all whom it has crossed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import numpy as np

from reid_pipeline.pipeline.datatypes import Boxes
from reid_pipeline.pipeline.matching import areas, intersections

CROSSED: Final = 0.35  # part of a box that another one covers
_SURELY_OTHER: Final = 2.0  # log-odds by which the other's look fits better
_SURELY_ITSELF: Final = 1.0  # by which its own does
NOBODY: Final = -4.0  # log-odds below which a look is nobody's


class Finding(Enum):
    """What a look after a crossing says."""

    ITSELF = auto()
    RIVAL = auto()
    NEITHER = auto()  # somebody who was not there before
    UNCLEAR = auto()


@dataclass(frozen=True, slots=True)
class Crossed:
    """A finding; ``rival`` is the place of the likeliest rival among those compared, ``gain`` the log-odds for it."""

    finding: Finding
    rival: int = 0
    gain: float = 0.0


def find_crossing(boxes: Boxes) -> list[tuple[int, int]]:
    """Pairs (one, other), each both ways, of ``(N, 4)`` boxes one of which covers much of the other."""
    if len(boxes) < 2:
        return []
    part = intersections(boxes, boxes) / np.maximum(areas(boxes), 1e-9)[:, None]
    np.fill_diagonal(part, 0.0)
    return [(one, other) for one, other in np.argwhere(np.maximum(part, part.T) >= CROSSED).tolist()]


def judge(own: float, rivals: Sequence[float]) -> Crossed:
    """What a look says that fits a tracklet and those whom it has crossed with these log-odds; there is one rival."""
    best = int(np.argmax(rivals))
    gain = rivals[best] - own
    if gain >= _SURELY_OTHER:
        return Crossed(Finding.RIVAL, best, gain)
    if own > 0.0 and -gain > _SURELY_ITSELF:
        return Crossed(Finding.ITSELF)
    if max(own, rivals[best]) < NOBODY:
        return Crossed(Finding.NEITHER)
    return Crossed(Finding.UNCLEAR)


def is_swap(gain: float, kept: float, swapped: float) -> bool:
    """Whether two have changed places: ``gain`` for the one, and what the other's look says of staying and of that."""
    return gain + swapped - kept > _SURELY_OTHER
