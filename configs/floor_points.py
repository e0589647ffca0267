"""Whether places on a floor and points of a picture can belong together, as a camera above it would see them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

Places = Sequence[tuple[float, float]]

_THIN: Final = 0.03  # height of a triangle by its longest side: what is flatter may be a line that was measured badly
_CONTRARY: Final = 0.15  # part that may go the other way round: badly measured ones may seem to
_CORNERS: Final = 4  # that determine a homography


def find_fault(points: Places, metres: Places) -> str | None:
    """What is wrong with a floor, as the end of a sentence after "expected"; None: nothing is.

    Four of the places have to be such that no three are on a line, in the picture and on the floor. A picture keeps
    the way round of every three places in front of the camera, or turns all of them over.

    Args:
        points: x and y in the picture.
        metres: As many places on the floor, in the same order.
    """
    ways = dict(_ways_round(points, metres))
    if not any(
        all(abs(ways[trio]) >= _THIN for trio in combinations(corners, 3))
        for corners in combinations(range(len(points)), _CORNERS)
    ):
        return "four of them such that no three lie on one line, in the picture and on the floor"
    total = sum(abs(way) for way in ways.values())
    if abs(sum(ways.values())) < (1.0 - 2.0 * _CONTRARY) * total:
        return "metres in the order of points: from no camera would these places look like this"
    return None


def is_mirrored(points: Places, metres: Places) -> bool:
    """Whether a floor without fault is turned over by the picture; it is so for all cameras above it, or for none."""
    return sum(way for _, way in _ways_round(points, metres)) < 0


def _ways_round(points: Places, metres: Places) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every three places, and how far they are from a line: negative where picture and floor go round them unlike."""
    for trio in combinations(range(len(points)), 3):
        there, here = (_turn(*(side[place] for place in trio)) for side in (points, metres))
        yield trio, math.copysign(min(abs(there), abs(here)), there * here)


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """The height of a triangle by its longest side, negative the other way round; 0 on a line."""
    area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
    return area / max(math.dist(a, b), math.dist(b, c), math.dist(c, a), 1e-12) ** 2
