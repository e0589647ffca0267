"""Whether people on the site's floor can be one: where two cameras' floors are given, nothing has to be learnt of them.

Who stands on one spot at one moment in both is one person, who stands elsewhere is another, and so is who would have
had to fly to get there. Beside the trembling of each spot (`given_floor`) counts what the given places are wrong by,
and that feet stand before or behind the bottom of a box; it is learnt from those who fit best.

Source: the distance is that of Mahalanobis, "On the Generalised Distance in Statistics", 1936.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from reid_pipeline.pipeline.datatypes import Spots
from reid_pipeline.pipeline.likeness import Labels, Matrix
from reid_pipeline.pipeline.meetings import MIN_MEETING, Meetings, meet, weigh_length

_USUAL_ERROR_M: Final = 0.5  # of spots beside trembling, where too few fit to learn it
_ERRORS_M: Final = (0.2, 1.0)  # what may be learnt
_NEAR_M: Final = 1.5  # apart: who is nearer and has nobody nearer is probably the same
_ENOUGH: Final = 4  # of those to learn from
_FARTHEST_M: Final = 5.0  # how far apart two people whom both see stand, about
_MISLED: Final = 3e-4  # part of the times that one person's feet are hidden, and the spot is wrong
_FASTEST: Final = 6.0  # metres a second
_SLACK_M: Final = 2.0  # farther than could be gone
_MOST_SAMPLES: Final = 500_000  # points of a pair of cameras: 40 MB


def weigh_spots(spots: Sequence[Spots], some: Labels, others: Labels) -> Iterator[tuple[int, int, float]]:
    """Gives both tracklets of each meeting of two cameras, and its log-likelihood ratio that they are one person."""
    meetings = meet(spots, some, others, most=_MOST_SAMPLES)
    if meetings is None:
        return
    apart = meetings.points[:, :2] - meetings.points[:, 5:7]
    spread = meetings.points[:, 2:5] + meetings.points[:, 7:10]
    spread[:, [0, 2]] += _learn_error(meetings, apart, spread) ** 2
    area = spread[:, 0] * spread[:, 2] - spread[:, 1] ** 2
    x, y = apart.T
    squared = (spread[:, 2] * x**2 - 2.0 * spread[:, 1] * x * y + spread[:, 0] * y**2) / area
    for pair, (begin, count) in enumerate(zip(meetings.begins, meetings.counts(), strict=True)):
        here = slice(begin, begin + count)
        ratio = _ratio(float(np.median(squared[here])), float(np.median(area[here])))
        yield int(meetings.first[pair]), int(meetings.second[pair]), weigh_length(int(count)) * ratio


def _learn_error(meetings: Meetings, apart: Matrix, spread: Matrix) -> float:
    """Deviation in metres, beside trembling, of where one person seems to stand, from those who are nearest."""
    far = np.array([np.median(each) for each in np.split((apart**2).sum(axis=1), meetings.begins[1:])])
    trembling = np.add.reduceat(spread[:, 0] + spread[:, 2], meetings.begins) / meetings.counts()
    nearest = far <= _NEAR_M**2
    for side in (meetings.first, meetings.second):
        least = np.full(int(side.max()) + 1, np.inf)
        np.minimum.at(least, side, far)
        nearest &= far == least[side]
    if nearest.sum() < _ENOUGH:
        return _USUAL_ERROR_M
    beside = float(np.median(far[nearest] - trembling[nearest])) / 2.0
    return float(np.clip(math.sqrt(max(beside, 0.0)), *_ERRORS_M))


def _ratio(squared: float, area: float) -> float:
    """Log-likelihood ratio of a distance, as its square in deviations: of one person's spots, against two people's."""
    same = math.exp(-0.5 * squared) / (2.0 * math.pi * math.sqrt(area))
    other = 1.0 / (math.pi * _FARTHEST_M**2)
    return math.log(((1.0 - _MISLED) * same + _MISLED * other) / other)


def judge_reach(spots: Sequence[Spots]) -> Matrix:
    """Finds who would have had to fly to be who was seen elsewhere before.

    Returns:
        ``(N, N)``, symmetric: log-likelihood ratio that two are one person, 0 where nothing is known.
    """
    evidence = np.zeros((len(spots), len(spots)))
    seen = np.array([place for place, walk in enumerate(spots) if len(walk) >= MIN_MEETING], np.intp)
    if not len(seen):
        return evidence
    starts, ends = (_settle([spots[place] for place in seen], last=last) for last in (False, True))
    gap_s = starts[None, :, 0] - ends[:, None, 0]
    away = np.linalg.norm(starts[None, :, 1:3] - ends[:, None, 1:3], axis=2)
    unsure = starts[None, :, 3] + ends[:, None, 3]
    flown = (gap_s >= 0) & (away > _FASTEST * gap_s + _SLACK_M + 2.0 * unsure)
    evidence[np.ix_(seen, seen)] = np.where(flown | flown.T, math.log(_MISLED), 0.0)
    return evidence


def _settle(walks: Sequence[Spots], *, last: bool) -> Matrix:
    """When and where walks begin or end ``(N, 4)``: seconds, metres, and the deviation of the place."""
    ends = np.stack([walk[-MIN_MEETING:] if last else walk[:MIN_MEETING] for walk in walks])
    times = ends[:, -1 if last else 0, 0]
    places = np.median(ends[:, :, 1:3], axis=1)
    return np.column_stack([times, places, np.sqrt((ends[:, :, 3] + ends[:, :, 5]).max(axis=1))])
