"""Tracklets to people: agglomerative clustering that keeps apart whoever is two, and paths plausible.

Two clusters are joined while that makes the whole likelier: the looks of all their pairs on average, the gaps between
consecutive sightings of the joined path against those of the two, and each meeting on a floor that two cameras share.
The best join comes first, so those that are
certain give the doubtful ones more to go by.

Source: average linkage after Sokal and Michener, "A Statistical Method for Evaluating Systematic Relationships", 1958.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from reid_pipeline.pipeline.likeness import Labels, Mask, Matrix

_HOPELESS: Final = -7.0  # log-odds by looks that no gap can outweigh


def cluster_tracklets(
    log_odds: Matrix, transit: Matrix, apart: Mask, starts: Matrix, least: float, meetings: Matrix | None = None
) -> Labels:
    """Clusters N tracklets.

    Args:
        log_odds: ``(N, N)``, symmetric, that two tracklets show one person, by their looks.
        transit: ``(N, N)``, log-likelihood ratio that the column's is the next sighting after the row's.
        apart: ``(N, N)``, symmetric: pairs that are never joined, not through others either.
        starts: ``(N,)``, by which sightings are ordered.
        least: Log-odds from which clusters are joined.
        meetings: ``(N, N)``, symmetric, log-likelihood ratio that two who were seen at one time are one person, by
            where they stood; None where that is not known of any two.

    Returns:
        ``(N,)``: for each tracklet the position of the first one of its cluster.
    """
    order = np.argsort(starts, kind="stable")
    looks = np.where(apart, -np.inf, log_odds)[np.ix_(order, order)]
    met = np.zeros_like(looks) if meetings is None else meetings[np.ix_(order, order)]
    clusters = _Clusters(looks, transit[np.ix_(order, order)], met)
    while clusters.best > least:
        clusters.join_best()
    labels = np.empty(len(order), np.int64)
    for members in clusters.members:
        labels[order[members]] = min(order[members], default=0)
    return labels


class _Clusters:
    """All clusters, and what joining two of them would gain; positions are in order of time."""

    def __init__(self, looks: Matrix, transit: Matrix, meetings: Matrix) -> None:
        size = len(looks)
        self.members = [[position] for position in range(size)]
        self._transit = transit
        self._looks = looks.copy()  # summed over pairs of members
        self._meetings = meetings.copy()  # the same
        self._path = np.zeros(size)  # of consecutive members
        self._size = np.ones(size)
        together = looks + meetings
        hopeful = np.triu(together > _HOPELESS, 1)
        gain = np.full_like(looks, -np.inf)
        gain[hopeful] = together[hopeful] + transit[hopeful]
        self._gain = np.maximum(gain, gain.T)
        self._partner = self._gain.argmax(axis=1)
        self._best = self._gain.max(axis=1)

    @property
    def best(self) -> float:
        """What the best join gains."""
        return float(self._best.max(initial=-np.inf))

    def join_best(self) -> None:
        """Joins the two clusters that gain most."""
        kept = int(self._best.argmax())
        gone = int(self._partner[kept])
        self.members[kept] = sorted(self.members[kept] + self.members[gone])
        self.members[gone] = []
        self._path[kept] = self._path_of(self.members[kept])
        self._size[kept] += self._size[gone]
        self._looks[kept] += self._looks[gone]
        self._looks[:, kept] = self._looks[kept]
        self._looks[gone] = self._looks[:, gone] = -np.inf
        self._meetings[kept] += self._meetings[gone]
        self._meetings[:, kept] = self._meetings[kept]
        self._gain[gone] = self._gain[:, gone] = -np.inf
        self._gain[kept] = self._gain[:, kept] = self._gains_of(kept)
        self._find_partners(kept, gone)

    def _gains_of(self, cluster: int) -> Matrix:
        odds = self._looks[cluster] / (self._size[cluster] * self._size) + self._meetings[cluster]
        odds[cluster] = -np.inf
        gains = np.full_like(odds, -np.inf)
        for other in np.flatnonzero(odds > _HOPELESS):
            together = self._path_of(sorted(self.members[cluster] + self.members[other]))
            gains[other] = odds[other] + together - self._path[cluster] - self._path[other]
        return np.asarray(gains, np.float64)

    def _path_of(self, members: list[int]) -> float:
        return float(self._transit[members[:-1], members[1:]].sum())

    def _find_partners(self, kept: int, gone: int) -> None:
        """Brings the best partner of each cluster up to date after a join."""
        gains = self._gain[kept]
        better = gains > self._best
        lost = ((self._partner == kept) | (self._partner == gone)) & ~better
        self._best[better], self._partner[better] = gains[better], kept
        for cluster in {kept, gone, *np.flatnonzero(lost).tolist()}:
            self._partner[cluster] = self._gain[cluster].argmax()
            self._best[cluster] = self._gain[cluster].max()
