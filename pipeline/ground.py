"""Where two cameras see the same floor: who stands on one spot of it in both pictures is one person.

Nobody has to calibrate anything; where somebody did for both cameras, `spots` judges. Feet of people who are seen by
both cameras at one time are related by a homography, as the floor is a plane. `judge_meetings` looks for it among all
tracklets that lived at one time, without knowing which of them belong together: it guesses from a few, and keeps the
guess that puts most feet upon feet. It is believed only if it does so much better than the best guess for the same
walks with one camera's time running backwards, where nothing can fit but by chance. Two tracklets that meet on that
floor are then told to be one person or two by how far apart they stand, in body heights.

Sources: guessing from few and keeping the best after Fischler and Bolles, "Random Sample Consensus", 1981; the linear
estimate and its normalisation after Hartley, "In Defense of the Eight-Point Algorithm", 1997.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from reid_pipeline.pipeline.datatypes import Walk
from reid_pipeline.pipeline.given_floor import GivenFloor, locate
from reid_pipeline.pipeline.likeness import Labels, Matrix
from reid_pipeline.pipeline.meetings import MIN_MEETING, Meetings, meet, weigh_length
from reid_pipeline.pipeline.spots import judge_reach, weigh_spots

_REACH: Final = 0.35  # body heights: farther off a foot is not that foot
_GUESSES: Final = 150
_REFINEMENTS: Final = 5
_PROMISING: Final = 0.5  # of the best gain so far: a guess that may become better when it is refined
_MIN_GAIN_S: Final = 6.0  # seconds of feet upon feet
_MIN_PEOPLE: Final = 2
_BETTER: Final = 2.0  # than with time running backwards
_TRUSTED: Final = 1.0  # body heights around feet that fit, where the floor is known
_MOST_SAMPLES: Final = 20_000  # points of a pair of cameras; the newest meetings count
_LEAST_ERROR: Final = 0.08  # body heights; boxes tremble
_FARTHEST: Final = 3.0  # body heights: how far apart two people on one floor stand, about
# Part of the meetings of one person where a foot is hidden all the time, or a tracklet has drifted to somebody else.
_MISLED: Final = 0.05


def judge_meetings(
    walks: Sequence[Walk], cameras: Labels, likeness: Matrix, floors: Sequence[GivenFloor | None] = ()
) -> Matrix:
    """What places on shared floors say of all pairs of N tracklets.

    Args:
        walks: Of each tracklet; empty where its feet were never seen.
        cameras: ``(N,)``, which camera each was seen by.
        likeness: ``(N, N)``, more for pairs that look more alike, in natural logarithms; it only guides the search.
        floors: Of each tracklet, where its camera's floor was given; none at all where it was for no camera.

    Returns:
        ``(N, N)``, symmetric: log-likelihood ratio that two are one person, 0 where nothing is known.
    """
    given = floors or [None] * len(walks)
    spots = [locate(walk, floor) for walk, floor in zip(walks, given, strict=True)]
    mapped = {camera for camera, floor in zip(cameras.tolist(), given, strict=True) if floor is not None}
    evidence = judge_reach(spots)
    for one, other in combinations(np.unique(cameras).tolist(), 2):
        sides = np.flatnonzero(cameras == one), np.flatnonzero(cameras == other)
        found = weigh_spots(spots, *sides) if {one, other} <= mapped else _weigh_unknown(walks, *sides, likeness)
        for first, second, ratio in found:
            evidence[first, second] = evidence[second, first] = ratio
    return evidence


def _weigh_unknown(
    walks: Sequence[Walk], some: Labels, others: Labels, likeness: Matrix
) -> Iterator[tuple[int, int, float]]:
    """As `_weigh`, for two cameras of which it is not known whether they share a floor."""
    meetings = meet(walks, some, others, most=_MOST_SAMPLES)
    if meetings is None or len(meetings.first) < _MIN_PEOPLE:
        return
    floor = _find_floor(meetings.thinned(), likeness[meetings.first, meetings.second])
    if _is_believable(floor, meetings, meet(walks, some, others, most=_MOST_SAMPLES, backwards=True)):
        yield from _weigh(floor, meetings)


@dataclass(frozen=True, slots=True, eq=False)
class _Floor:
    """A homography ``(3, 3)`` from the first picture to the second, and the seconds of feet upon feet it gives."""

    homography: Matrix
    gain_s: float
    people: int


def _find_floor(meetings: Meetings, likeness: Matrix) -> _Floor:
    """The homography that puts most feet upon feet."""
    rng = np.random.default_rng(0)  # the same walks always give the same floor
    chance = np.exp((likeness - likeness.max()) / 2.0) * np.minimum(meetings.counts(), 50)
    chance = 0.9 * chance / chance.sum() + 0.1 / len(chance)
    best = _Floor(np.eye(3), 0.0, 0)
    for guess in range(_GUESSES):
        size = min(2 + guess % 2, len(chance))
        points = meetings.of(rng.choice(len(chance), size, replace=False, p=chance))
        floor = _measure(_estimate(points, np.ones(len(points))), meetings)
        if floor.gain_s > _PROMISING * best.gain_s:
            floor = _refine(floor, meetings)
        if floor.gain_s > best.gain_s:
            best = floor
    return best


def _refine(floor: _Floor, meetings: Meetings) -> _Floor:
    """Estimates anew from all feet that fit, while that makes more of them fit."""
    for _ in range(_REFINEMENTS):
        fit = _fit(floor.homography, meetings)
        chosen = fit > 0
        if chosen.sum() < 2 * MIN_MEETING:
            return floor
        again = _measure(_estimate(meetings.points[chosen], fit[chosen]), meetings)
        if again.gain_s <= floor.gain_s:
            return floor
        floor = again
    return floor


def _estimate(points: Matrix, weights: Matrix) -> Matrix:
    """The homography ``(3, 3)`` that takes the feet of the first picture to those of the second, by least squares."""
    ours, theirs = _normalisation(points[:, :2]), _normalisation(points[:, 3:5])
    x, y, one = _transform(ours, points[:, :2])
    u, v, _ = _transform(theirs, points[:, 3:5])
    none = np.zeros_like(one)
    rows = np.concatenate(
        [
            np.stack([x, y, one, none, none, none, -u * x, -u * y, -u], axis=1),
            np.stack([none, none, none, x, y, one, -v * x, -v * y, -v], axis=1),
        ]
    )
    rows *= np.tile(weights, 2)[:, None]
    stiff = np.zeros(9)
    stiff[6:8] = 1e-4 * len(points)  # feet along one line leave the perspective open: then as little as possible
    solution = np.linalg.eigh(rows.T @ rows + np.diag(stiff))[1][:, 0].reshape(3, 3)
    return np.asarray(np.linalg.inv(theirs) @ solution @ ours, np.float64)


def _normalisation(feet: Matrix) -> Matrix:
    middle = feet.mean(axis=0)
    scale = 2.0**0.5 / max(float(np.sqrt(((feet - middle) ** 2).sum(axis=1)).mean()), 1e-6)
    return np.array([[scale, 0, -scale * middle[0]], [0, scale, -scale * middle[1]], [0, 0, 1]])


def _transform(matrix: Matrix, feet: Matrix) -> Matrix:
    """Homogeneous points ``(3, M)``."""
    return np.asarray(matrix @ np.stack([feet[:, 0], feet[:, 1], np.ones(len(feet))]), np.float64)


def _project(matrix: Matrix, feet: Matrix) -> Matrix:
    moved = _transform(matrix, feet)
    depth = np.where(np.abs(moved[2]) < 1e-9, 1e-9, moved[2])
    return np.asarray((moved[:2] / depth).T, np.float64)


def _errors(homography: Matrix, points: Matrix) -> Matrix:
    """How far the feet are apart ``(S,)``, in body heights, in the picture where they are farther."""
    there = np.linalg.norm(_project(homography, points[:, :2]) - points[:, 3:5], axis=1) / points[:, 5]
    try:
        back = np.asarray(np.linalg.inv(homography), np.float64)
    except np.linalg.LinAlgError:
        return np.full(len(points), np.inf)
    here = np.linalg.norm(_project(back, points[:, 3:5]) - points[:, :2], axis=1) / points[:, 2]
    return np.asarray(np.maximum(there, here), np.float64)


def _fit(homography: Matrix, meetings: Meetings) -> Matrix:
    """How well each point fits ``(S,)``, 0-1; those of a pair that mostly does not fit count as 0."""
    fit = np.maximum(0.0, 1.0 - _errors(homography, meetings.points) / _REACH)
    mean = np.add.reduceat(fit, meetings.begins) / meetings.counts()
    return np.where(np.repeat(mean >= 1 / 3, meetings.counts()), fit, 0.0)


def _measure(homography: Matrix, meetings: Meetings) -> _Floor:
    """Each tracklet counts with its best partner alone: nobody is two people."""
    gain = np.add.reduceat(_fit(homography, meetings), meetings.begins) * meetings.step_s
    sums, people = [], []
    for side in (meetings.first, meetings.second):
        best = np.zeros(int(side.max()) + 1)
        np.maximum.at(best, side, gain)
        sums.append(float(best.sum()))
        people.append(int((best > 0).sum()))
    return _Floor(homography, min(sums), min(people))


def _is_believable(floor: _Floor, meetings: Meetings, backwards: Meetings | None) -> bool:
    """Whether a floor fits better than chance would."""
    if floor.gain_s < _MIN_GAIN_S or floor.people < _MIN_PEOPLE:
        return False
    if backwards is None or len(backwards.first) < _MIN_PEOPLE:
        return True
    chance = _find_floor(backwards.thinned(), np.zeros(len(backwards.first)))
    share = len(meetings.points) / len(backwards.points)
    return floor.gain_s >= _BETTER * chance.gain_s * max(share, 1.0)


def _weigh(floor: _Floor, meetings: Meetings) -> Iterator[tuple[int, int, float]]:
    """Gives both tracklets of each meeting where the floor is known, and its log-likelihood ratio."""
    fitting = meetings.points[_fit(floor.homography, meetings) > 0]
    errors = _errors(floor.homography, meetings.points)
    tree = cKDTree(fitting[:, :2])
    known = tree.query(meetings.points[:, :2])[0] <= _TRUSTED * meetings.points[:, 2]
    spread = max(_LEAST_ERROR, float(np.median(_errors(floor.homography, fitting))))
    ends = meetings.begins + meetings.counts()
    for first, second, begin, end in zip(meetings.first, meetings.second, meetings.begins, ends, strict=True):
        inside = errors[begin:end][known[begin:end]]
        if len(inside) >= MIN_MEETING:
            yield int(first), int(second), weigh_length(len(inside)) * _ratio(float(np.median(inside)), spread)


def _ratio(error: float, spread: float) -> float:
    """Log-likelihood ratio of a distance: of one foot seen twice with trembling boxes, against two people's feet."""
    same = np.exp(-0.5 * (error / spread) ** 2) / spread**2
    other = 2.0 / _FARTHEST**2
    return float(np.log(((1.0 - _MISLED) * same + _MISLED * other) / other))
