"""Where two cameras see the same floor: who stands on one spot of it in both pictures is one person.

Nobody has to calibrate anything. Feet of people who are seen by both cameras at one time are related by a homography,
as the floor is a plane. `judge_meetings` looks for it among all tracklets that lived at one time, without knowing
which of them belong together: it guesses from a few, and keeps the guess that puts most feet upon feet. It is believed
only if it does so much better than the best guess for the same walks with one camera's time running backwards, where
nothing can fit but by chance. Two tracklets that meet on that floor are then told to be one person or two by how far
apart they stand, in body heights.

Sources: guessing from few and keeping the best after Fischler and Bolles, "Random Sample Consensus", 1981; the linear
estimate and its normalisation after Hartley, "In Defense of the Eight-Point Algorithm", 1997.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from reid_pipeline.pipeline.likeness import Labels, Matrix

SAMPLE_S: Final = 0.2  # between two points of a walk
MIN_MEETING: Final = 5  # points of two walks at one time that say anything
_GAP_S: Final = 1.0  # a walk is followed over no longer gap
_REACH: Final = 0.35  # body heights: farther off a foot is not that foot
_GUESSES: Final = 150
_REFINEMENTS: Final = 5
_PROMISING: Final = 0.5  # of the best gain so far: a guess that may become better when it is refined
_MIN_GAIN_S: Final = 6.0  # seconds of feet upon feet
_MIN_PEOPLE: Final = 2
_BETTER: Final = 2.0  # than with time running backwards
_TRUSTED: Final = 1.0  # body heights around feet that fit, where the floor is known
_MOST_SAMPLES: Final = 20_000  # points of a pair of cameras; the newest meetings count
_ENOUGH: Final = 2_000  # of these to search with
_USUAL: Final = 10  # points of a meeting that counts as one observation
_WEIGHTS: Final = (0.5, 1.5)  # of short and long ones; points follow on one another, so they count by the root
_LEAST_ERROR: Final = 0.08  # body heights; boxes tremble
_FARTHEST: Final = 3.0  # body heights: how far apart two people on one floor stand, about
_MISLED: Final = 3e-4  # part of the meetings of one person where a foot is hidden all the time

Walk = NDArray[np.float64]
"""Feet of one tracklet ``(M, 4)``: seconds, x, y and body height in pixels, in the order of time."""


@dataclass(frozen=True, slots=True, eq=False)
class _Meetings:
    """Tracklets of two cameras at one time: P pairs with S points in all.

    Attributes:
        points: ``(S, 6)``: x, y, height in the first picture and in the second, pair by pair.
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

    def thinned(self) -> _Meetings:
        """The same with fewer points of each pair, enough to search with."""
        step = max(1, round(len(self.points) / _ENOUGH))
        place = np.arange(len(self.points)) - np.repeat(self.begins, self.counts())
        kept = place % step == 0
        begins = np.concatenate([[0], np.cumsum(np.add.reduceat(kept, self.begins, dtype=np.int64))[:-1]])
        return _Meetings(self.points[kept], self.first, self.second, begins, self.step_s * step)

    def of(self, pairs: NDArray[np.intp]) -> Matrix:
        """The points of some pairs."""
        chosen = np.isin(np.repeat(np.arange(len(self.begins)), self.counts()), pairs)
        return np.asarray(self.points[chosen], np.float64)


def judge_meetings(walks: Sequence[Walk], cameras: Labels, likeness: Matrix) -> Matrix:
    """What meetings on shared floors say of all pairs of N tracklets.

    Args:
        walks: Of each tracklet; empty where its feet were never seen.
        cameras: ``(N,)``, which camera each was seen by.
        likeness: ``(N, N)``, more for pairs that look more alike, in natural logarithms; it only guides the search.

    Returns:
        ``(N, N)``, symmetric: log-likelihood ratio that two are one person, 0 where nothing is known.
    """
    evidence = np.zeros(likeness.shape)
    for one, other in combinations(np.unique(cameras).tolist(), 2):
        sides = np.flatnonzero(cameras == one), np.flatnonzero(cameras == other)
        meetings = _meet(walks, *sides, backwards=False)
        if meetings is None:
            continue
        floor = _find_floor(meetings.thinned(), likeness[meetings.first, meetings.second])
        if not _is_believable(floor, meetings, _meet(walks, *sides, backwards=True)):
            continue
        for first, second, ratio in _weigh(floor, meetings):
            evidence[first, second] = evidence[second, first] = ratio
    return evidence


def _meet(walks: Sequence[Walk], some: Labels, others: Labels, *, backwards: bool) -> _Meetings | None:
    """All meetings of two cameras' tracklets, the newest ones; None where there are fewer than two."""
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
            if len(points) >= MIN_MEETING and total < _MOST_SAMPLES:
                found.append((one, other, points))
                total += len(points)
    if len(found) < _MIN_PEOPLE:
        return None
    lengths = [len(points) for _, _, points in found]
    return _Meetings(
        np.concatenate([points for _, _, points in found]),
        np.array([one for one, _, _ in found], np.int64),
        np.array([other for _, other, _ in found], np.int64),
        np.cumsum([0, *lengths[:-1]]).astype(np.int64),
        SAMPLE_S,
    )


def _at_one_time(walk: Walk, other: Walk) -> Matrix:
    """The points of a walk beside those of another at the same times ``(M, 6)``, interpolated."""
    if not len(walk) or walk[0, 0] > other[-1, 0] or walk[-1, 0] < other[0, 0]:
        return np.empty((0, 6))
    after = np.searchsorted(other[:, 0], walk[:, 0])
    inside = (after > 0) & (after < len(other))
    after = np.clip(after, 1, len(other) - 1)
    gap = other[after, 0] - other[after - 1, 0]
    part = ((walk[:, 0] - other[after - 1, 0]) / np.maximum(gap, 1e-9))[:, None]
    between = other[after - 1, 1:] * (1.0 - part) + other[after, 1:] * part
    points = np.concatenate([walk[:, 1:], between], axis=1)
    return np.asarray(points[inside & (gap <= _GAP_S)], np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Floor:
    """A homography ``(3, 3)`` from the first picture to the second, and the seconds of feet upon feet it gives."""

    homography: Matrix
    gain_s: float
    people: int


def _find_floor(meetings: _Meetings, likeness: Matrix) -> _Floor:
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


def _refine(floor: _Floor, meetings: _Meetings) -> _Floor:
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


def _fit(homography: Matrix, meetings: _Meetings) -> Matrix:
    """How well each point fits ``(S,)``, 0-1; those of a pair that mostly does not fit count as 0."""
    fit = np.maximum(0.0, 1.0 - _errors(homography, meetings.points) / _REACH)
    mean = np.add.reduceat(fit, meetings.begins) / meetings.counts()
    return np.where(np.repeat(mean >= 1 / 3, meetings.counts()), fit, 0.0)


def _measure(homography: Matrix, meetings: _Meetings) -> _Floor:
    """Each tracklet counts with its best partner alone: nobody is two people."""
    gain = np.add.reduceat(_fit(homography, meetings), meetings.begins) * meetings.step_s
    sums, people = [], []
    for side in (meetings.first, meetings.second):
        best = np.zeros(int(side.max()) + 1)
        np.maximum.at(best, side, gain)
        sums.append(float(best.sum()))
        people.append(int((best > 0).sum()))
    return _Floor(homography, min(sums), min(people))


def _is_believable(floor: _Floor, meetings: _Meetings, backwards: _Meetings | None) -> bool:
    """Whether a floor fits better than chance would."""
    if floor.gain_s < _MIN_GAIN_S or floor.people < _MIN_PEOPLE:
        return False
    if backwards is None:
        return True
    chance = _find_floor(backwards.thinned(), np.zeros(len(backwards.first)))
    share = len(meetings.points) / len(backwards.points)
    return floor.gain_s >= _BETTER * chance.gain_s * max(share, 1.0)


def _weigh(floor: _Floor, meetings: _Meetings) -> Iterator[tuple[int, int, float]]:
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
            weight = float(np.clip(np.sqrt(len(inside) / _USUAL), *_WEIGHTS))
            yield int(first), int(second), weight * _ratio(float(np.median(inside)), spread)


def _ratio(error: float, spread: float) -> float:
    """Log-likelihood ratio of a distance: of one foot seen twice with trembling boxes, against two people's feet."""
    same = np.exp(-0.5 * (error / spread) ** 2) / spread**2
    other = 2.0 / _FARTHEST**2
    return float(np.log(((1.0 - _MISLED) * same + _MISLED * other) / other))
