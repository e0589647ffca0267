"""Where tracklets of two cameras were at the same moments: what is known of a floor is learnt and judged from this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Spots, Walk
from reid_pipeline.pipeline.likeness import Labels, Matrix

SAMPLE_S: Final = 0.2  # between two points of a walk
MIN_MEETING: Final = 5  # points of two walks at one time that say anything
_GAP_S: Final = 1.0  # a walk is followed over no longer gap
_ENOUGH: Final = 2_000  # of these to search with
_USUAL: Final = 10  # points of a meeting that counts as one observation
_WEIGHTS: Final = (0.5, 1.5)  # of short and long ones; points follow on one another, so they count by the root


@dataclass(frozen=True, slots=True, eq=False)
class Meetings:
    """Tracklets of two cameras at one time: P pairs with S points in all.

    Attributes:
        points: ``(S, 2 K)``: all K columns but the time of the first camera's tracklet and of the second's, pair by
            pair.
        first: ``(P,)``, position of the tracklet in the first camera.
        second: ``(P,)``, of the one in the second.
        begins: ``(P,)``, where the points of each pair begin.
        step_s: Seconds from point to point.
    """

    points: Matrix
    first: Labels
    second: Labels
    begins: Labels
    step_s: float

    def counts(self) -> Labels:
        """``(P,)``: how many points each pair has."""
        return np.diff(self.begins, append=len(self.points))

    def thinned(self) -> Meetings:
        """The same with fewer points of each pair, enough to search with."""
        step = max(1, round(len(self.points) / _ENOUGH))
        place = np.arange(len(self.points)) - np.repeat(self.begins, self.counts())
        kept = place % step == 0
        begins = np.concatenate([[0], np.cumsum(np.add.reduceat(kept, self.begins, dtype=np.int64))[:-1]])
        return Meetings(self.points[kept], self.first, self.second, begins, self.step_s * step)

    def of(self, pairs: NDArray[np.intp]) -> Matrix:
        """The points of some pairs."""
        chosen = np.isin(np.repeat(np.arange(len(self.begins)), self.counts()), pairs)
        return np.asarray(self.points[chosen], np.float64)


def meet(
    walks: Sequence[Walk | Spots], some: Labels, others: Labels, *, most: int, backwards: bool = False
) -> Meetings | None:
    """The meetings of two cameras' tracklets; None where there is none.

    Args:
        walks: Of each tracklet, ``(M, 1 + K)``: seconds first, the rest is interpolated.
        some: Which tracklets are of the first camera.
        others: Which are of the second.
        most: How many points, about; the newest meetings count.
        backwards: Whether time runs backwards in the second.
    """
    opposite = {other: walks[other] for other in others.tolist() if len(walks[other]) > 1}
    if backwards and opposite:
        ends = min(walk[0, 0] for walk in opposite.values()) + max(walk[-1, 0] for walk in opposite.values())
        opposite = {
            other: np.concatenate([ends - walk[::-1, :1], walk[::-1, 1:]], axis=1) for other, walk in opposite.items()
        }
    found: list[tuple[int, int, Matrix]] = []
    total = 0
    for one in some.tolist()[::-1]:
        for other, walk in opposite.items():
            points = _at_one_time(walks[one], walk)
            if len(points) >= MIN_MEETING and total < most:
                found.append((one, other, points))
                total += len(points)
    if not found:
        return None
    lengths = [len(points) for _, _, points in found]
    return Meetings(
        np.concatenate([points for _, _, points in found]),
        np.array([one for one, _, _ in found], np.int64),
        np.array([other for _, other, _ in found], np.int64),
        np.cumsum([0, *lengths[:-1]]).astype(np.int64),
        SAMPLE_S,
    )


def weigh_length(points: int) -> float:
    """As how many observations a meeting of so many points counts."""
    return float(np.clip(np.sqrt(points / _USUAL), *_WEIGHTS))


def _at_one_time(walk: Walk, other: Walk) -> Matrix:
    """The points of a walk beside those of another at the same times ``(M, 2 K)``, interpolated."""
    if not len(walk) or walk[0, 0] > other[-1, 0] or walk[-1, 0] < other[0, 0]:
        return np.empty((0, 0))
    after = np.searchsorted(other[:, 0], walk[:, 0])
    inside = (after > 0) & (after < len(other))
    after = np.clip(after, 1, len(other) - 1)
    gap = other[after, 0] - other[after - 1, 0]
    part = ((walk[:, 0] - other[after - 1, 0]) / np.maximum(gap, 1e-9))[:, None]
    between = other[after - 1, 1:] * (1.0 - part) + other[after, 1:] * part
    points = np.concatenate([walk[:, 1:], between], axis=1)
    return np.asarray(points[inside & (gap <= _GAP_S)], np.float64)
