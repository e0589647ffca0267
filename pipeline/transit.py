"""How long people take from camera to camera, learnt from tracklets that are probably the same person's.

Times are gaps between two sightings: from the end of the earlier to the start of the later one, negative while both
cameras see the person. What counts is how much likelier a gap is between consecutive sightings of one person than
between any two tracklets of these cameras. A camera pair of which little is known falls back to all pairs together.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from reid_pipeline.pipeline.likeness import Labels, Mask, Matrix

_BIN_S: Final = 2.0
_SHORTEST_S, _LONGEST_S = -20.0, 1500.0  # gaps beyond are one bin each
_SURE: Final = 0.5  # probability from which a pair counts as one person's
_PAIR_SMOOTHING_S: Final = 8.0
_SITE_SMOOTHING_S: Final = 40.0
_PRIOR_PAIRS: Final = 4.0  # what is known of the whole site counts as much as so many sightings
_UNEXPECTED: Final = 0.03  # part of the gaps that follow no rule
_MIN_SIMULTANEOUS: Final = 20.0  # simultaneous sightings from which it is clear that two cameras share no view
_MIN_WAYS: Final = 10  # people who took a way before it is known how long it takes at least
_QUICKEST: Final = 0.05  # part of those who took it: among them may be some who were taken for somebody else
_MARGIN: Final = 0.5  # of the time of the quickest, as the next one may be quicker
_SHARED_VIEW: Final = 0.05  # part of the simultaneous sightings that would be one person if they shared one


def measure_gaps(starts_s: Matrix, ends_s: Matrix) -> Matrix:
    """``(N, N)``: seconds from the end of the row's tracklet to the start of the column's."""
    return np.asarray(starts_s[None] - ends_s[:, None], np.float64)


def find_separate(gaps_s: Matrix, cameras: Labels, probability: Matrix) -> Mask:
    """Pairs ``(N, N)`` seen at one time by two cameras that share no view, and hence two people.

    Whether cameras share a view is learnt: where they do, some of those whom both see at one time look the same.
    """
    together = (gaps_s < 0) & (gaps_s.T < 0) & (cameras[:, None] != cameras[None])
    separate = np.zeros_like(together)
    for first in np.unique(cameras):
        for second in np.unique(cameras):
            pairs = together & (cameras == first)[:, None] & (cameras == second)[None]
            count = int(pairs.sum())
            if count >= _MIN_SIMULTANEOUS and float((probability[pairs] > _SURE).sum()) < _SHARED_VIEW * count:
                separate |= pairs
    return np.asarray(separate, np.bool_)


def learn_shortest(starts_s: Matrix, ends_s: Matrix, cameras: Labels, people: Labels) -> dict[tuple[int, int], float]:
    """How long it takes at least from one camera to another, seconds from 0, where two share no view.

    Pairs of cameras that may share one are left out.

    Args:
        starts_s: ``(N,)``.
        ends_s: ``(N,)``.
        cameras: ``(N,)``.
        people: ``(N,)``, who each tracklet is.
    """
    order = np.lexsort((starts_s, people))
    before, after = order[:-1], order[1:]
    follows = (people[before] == people[after]) & (cameras[before] != cameras[after])
    before, after = before[follows], after[follows]
    gaps_s = starts_s[after] - ends_s[before]
    shortest: dict[tuple[int, int], float] = {}
    for first in np.unique(cameras).tolist():
        for second in np.unique(cameras).tolist():
            here, there = (np.flatnonzero(cameras == camera) for camera in (first, second))
            together = (starts_s[there] <= ends_s[here, None]) & (starts_s[here, None] <= ends_s[there])
            same = together & (people[here, None] == people[there])
            if first == second or together.sum() < _MIN_SIMULTANEOUS or same.sum() >= _SHARED_VIEW * together.sum():
                continue
            ways = gaps_s[(cameras[before] == first) & (cameras[after] == second)]
            quickest = float(np.quantile(ways, _QUICKEST)) if len(ways) >= _MIN_WAYS else 0.0
            shortest[first, second] = max(_MARGIN * quickest, 0.0)
    return shortest


def learn_transit(gaps_s: Matrix, starts_s: Matrix, cameras: Labels, probability: Matrix) -> Matrix:
    """Log-likelihood ratio ``(N, N)`` that the column's tracklet is the row's next sighting, by the gap alone.

    Where the column's starts before the row's it says nothing and is minus infinity.

    Args:
        gaps_s: Of `measure_gaps`.
        starts_s: ``(N,)``.
        cameras: ``(N,)``.
        probability: ``(N, N)`` that two tracklets show one person, by their looks.
    """
    later = (starts_s[None] > starts_s[:, None]) | (
        (starts_s[None] == starts_s[:, None]) & np.triu(np.ones_like(gaps_s, bool), 1)
    )
    bins = _to_bins(gaps_s)
    following = _following(starts_s, np.where(later, probability, 0.0))
    usual = _density(bins[later], None, _SITE_SMOOTHING_S)
    site = _density(bins[later], following[later], _SITE_SMOOTHING_S)
    ratio = np.full_like(gaps_s, -np.inf)
    for first in np.unique(cameras):
        for second in np.unique(cameras):
            pairs = later & (cameras == first)[:, None] & (cameras == second)[None]
            seen = float(following[pairs].sum())
            own = _density(bins[pairs], following[pairs], _PAIR_SMOOTHING_S)
            known = (seen * own + _PRIOR_PAIRS * site) / (seen + _PRIOR_PAIRS)
            expected = (1.0 - _UNEXPECTED) * known + _UNEXPECTED * usual
            ratio[pairs] = np.log(expected[bins[pairs]] / usual[bins[pairs]])
    return ratio


def _following(starts_s: Matrix, probability: Matrix) -> Matrix:
    """That each later tracklet is the next one of the same person: the same, and nobody in between is."""
    order = np.argsort(starts_s, kind="stable")
    sure = np.where(probability > _SURE, probability, 0.0)[:, order]
    none_before = np.cumprod(np.concatenate([np.ones((len(sure), 1)), 1.0 - sure[:, :-1]], axis=1), axis=1)
    following = np.empty_like(sure)
    following[:, order] = sure * none_before
    return following


def _to_bins(gaps_s: Matrix) -> NDArray[np.int64]:
    count = round((_LONGEST_S - _SHORTEST_S) / _BIN_S)
    return np.clip((gaps_s - _SHORTEST_S) // _BIN_S + 1, 0, count + 1).astype(np.int64)


def _density(bins: NDArray[np.int64], weights: Matrix | None, smoothing_s: float) -> Matrix:
    """Part of the gaps in each bin; even where there is none. The open bins at both ends are not smoothed."""
    count = round((_LONGEST_S - _SHORTEST_S) / _BIN_S)
    found = np.bincount(bins, weights, minlength=count + 2).astype(np.float64)
    found[1:-1] = gaussian_filter1d(found[1:-1], smoothing_s / _BIN_S)
    found += 1e-9
    return np.asarray(found / found.sum(), np.float64)
