"""People guessed from the looks of tracklets: average linkage on a sparse graph that keeps apart whoever is two.

DBSCAN, which the field uses, joins through single links: where an encoder is new to a site, chains of lookalikes run
through everybody. Averages over all pairs do not chain. A cluster that becomes another at a slightly larger distance is
not believed.

Sources: all pairs that are each other's nearest are joined at once after Sumengen et al., "Scaling Hierarchical
Agglomerative Clustering to Billion-sized Datasets", 2021: the result is that of joining one pair a time; clusters that
do not hold at other distances are dissolved after Ge et al., "Self-paced Contrastive Learning with Hybrid Memory for
Domain Adaptive Object Re-ID", 2020, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Rows = NDArray[np.int64]
NOBODY: Final = -1  # label of a tracklet that is in no cluster


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """How near is one person.

    Attributes:
        distance: Largest mean Jaccard distance between two parts of one cluster, 0-1.
        margin: By how much it is raised to see whether a cluster holds.
        agreement: Least part (intersection over union) of a cluster that must be the same then, 0-1.
    """

    distance: float = 0.6
    margin: float = 0.05
    agreement: float = 0.5


def guess_people(similarity: sparse.csr_array, apart: Rows, settings: ClusterSettings) -> Rows:
    """Clusters N tracklets.

    Args:
        similarity: Of `jaccard.jaccard_similarity`, ``(N, N)``; what is not in it counts as 0.
        apart: ``(P, 2)``, pairs that are certainly two people: they never share a cluster.
        settings: How near is one person.

    Returns:
        ``(N,)``: the cluster of each tracklet, from 0, or `NOBODY`.
    """
    labels = link_averages(similarity, apart, 1.0 - settings.distance)
    if settings.agreement > 0.0:
        loose = link_averages(similarity, apart, 1.0 - settings.distance - settings.margin)
        labels = drop_unsteady(labels, loose, settings.agreement)
    return drop_single(labels)


def link_averages(similarity: sparse.csr_array, apart: Rows, least: float) -> Rows:
    """Average linkage: joins clusters while the mean similarity between their members is at least `least`, above 0.

    Returns:
        ``(N,)``: the cluster of each tracklet, from 0; most have a single one.
    """
    labels = np.arange(similarity.shape[0])
    sums, enemies = _without_diagonal(similarity), _symmetric(apart, similarity.shape[0])
    sizes = np.ones(len(labels))
    while True:
        joined = _join_mutual(_best_partner(sums, enemies, sizes, least))
        if len(joined) == joined.max(initial=-1) + 1:
            return np.asarray(labels, np.int64)
        labels = joined[labels]
        into = sparse.csr_array((np.ones(len(joined)), (joined, np.arange(len(joined)))))
        sums = _without_diagonal(into @ sums @ into.T)
        enemies = sparse.csr_array(into @ enemies @ into.T)
        sizes = np.asarray(into @ sizes, np.float64)


def _symmetric(pairs: Rows, size: int) -> sparse.csr_array:
    both = np.concatenate([pairs, pairs[:, ::-1]]).T
    return sparse.csr_array((np.ones(both.shape[1]), (both[0], both[1])), (size, size))


def _without_diagonal(matrix: sparse.csr_array) -> sparse.csr_array:
    entries = sparse.coo_array(matrix)
    kept = entries.row != entries.col
    return sparse.csr_array((entries.data[kept], (entries.row[kept], entries.col[kept])), matrix.shape)


def _best_partner(sums: sparse.csr_array, enemies: sparse.csr_array, sizes: NDArray[np.float64], least: float) -> Rows:
    """With which other cluster each has most in common; itself where with none enough.

    Each pair is looked at once: sums that differ in their last digit by who comes first would lead round in a circle.
    """
    free = sparse.coo_array(sparse.triu(sums - sums.multiply(enemies.astype(bool))))
    mean = free.data / (sizes[free.row] * sizes[free.col])
    good = mean >= least
    lesser, greater, mean = free.row[good], free.col[good], mean[good]
    order = np.lexsort((-greater, -lesser, mean))  # the best comes last; of equals the pair with the least numbers
    partner = np.arange(len(sizes))
    both = np.stack([lesser[order], greater[order]], axis=1)
    partner[both.ravel()] = both[:, ::-1].ravel()
    return partner


def _join_mutual(partner: Rows) -> Rows:
    """New numbers from 0: one for each two who are each other's best, and one for everybody else."""
    own = np.arange(len(partner))
    home = np.where(partner[partner] == own, np.minimum(own, partner), own)
    return np.unique(home, return_inverse=True)[1].astype(np.int64)


def drop_unsteady(labels: Rows, loose: Rows, agreement: float) -> Rows:
    """Dissolves clusters that become others when the distance is a little larger."""
    shared, counts = np.unique(np.stack([labels, loose]), axis=1, return_counts=True)
    union = np.bincount(labels)[shared[0]] + np.bincount(loose)[shared[1]] - counts
    steady = np.zeros(int(labels.max(initial=-1)) + 1, bool)
    steady[shared[0][counts >= agreement * union]] = True
    return np.where(steady[labels], labels, NOBODY)


def drop_single(labels: Rows) -> Rows:
    """The clusters of two and more, numbered from 0; the others are nobody's."""
    found, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    kept = (counts > 1) & (found != NOBODY)
    number = np.where(kept, np.cumsum(kept) - 1, NOBODY)
    return np.asarray(number[inverse], np.int64)
