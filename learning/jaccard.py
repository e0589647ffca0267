"""Camera-aware Jaccard similarity of tracklets on a sparse neighbour graph: memory N x k, never N x N.

Two tracklets are as alike as the neighbourhoods they see. Neighbours are looked for in the own camera and in the others
apart, as pictures of one camera resemble each other whoever is on them: with one list for all, the own camera fills it.

Sources: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", 2017, equations 3 to 11; one
list for the own camera and one for the others after Chen et al., "CA-Jaccard: Camera-aware Jaccard Distance for Person
Re-identification", 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from reid_pipeline.pipeline.datatypes import Embeddings

Rows = NDArray[np.int64]

_AT_ONCE: Final = 2_000_000  # products of common neighbours that are held at one time
_PAIRS_AT_ONCE: Final = 20_000  # of embeddings that are compared at one time


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """How many neighbours count.

    Attributes:
        own: Of the own camera, itself among them.
        others: Of all other cameras.
        own_mean: Of the own camera over which neighbourhoods are averaged, itself among them.
        others_mean: The same of the others.
    """

    own: int = 5
    others: int = 20
    own_mean: int = 2
    others_mean: int = 4


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The nearest of N tracklets: positions ``(N, k)``, best first, -1 where there are no more."""

    own: Rows
    others: Rows


def find_nearest(embeddings: Embeddings, cameras: Rows, wanted: Neighbourhood) -> Nearest:
    """Finds the nearest of the own camera and of the others by inner product.

    Args:
        embeddings: ``(N, D)`` of norm 1.
        cameras: ``(N,)``.
        wanted: How many.
    """
    own = np.full((len(cameras), wanted.own), -1, np.int64)
    others = np.full((len(cameras), wanted.others), -1, np.int64)
    places = {camera: np.flatnonzero(cameras == camera) for camera in np.unique(cameras).tolist()}
    for camera, mine in places.items():
        found = [_search(embeddings, mine, there, wanted.others) for other, there in places.items() if other != camera]
        own[mine] = _search(embeddings, mine, mine, wanted.own)[1]
        if found:
            scores = np.concatenate([each[0] for each in found], axis=1)
            positions = np.concatenate([each[1] for each in found], axis=1)
            best = np.argsort(-scores, axis=1, kind="stable")[:, : wanted.others]
            others[mine] = np.take_along_axis(positions, best, axis=1)
    return Nearest(own, others)


def _search(embeddings: Embeddings, some: Rows, among: Rows, count: int) -> tuple[NDArray[np.float32], Rows]:
    """Scores and positions ``(len(some), count)`` of the nearest; where there are fewer, -2 and -1."""
    scores = np.full((len(some), count), -2.0, np.float32)
    positions = np.full((len(some), count), -1, np.int64)
    size = min(count, len(among))
    near, found = faiss.knn(embeddings[some], embeddings[among], size, metric=faiss.METRIC_INNER_PRODUCT)
    scores[:, :size], positions[:, :size] = near, among[found]
    return scores, positions


def jaccard_similarity(
    embeddings: Embeddings, cameras: Rows, wanted: Neighbourhood, least: float = 0.0
) -> sparse.csr_array:
    """The similarity, 1 less the distance, of all pairs that have a neighbour in common: ``(N, N)`` sparse, symmetric.

    Args:
        embeddings: ``(N, D)`` of norm 1.
        cameras: ``(N,)``.
        wanted: How many neighbours count.
        least: Pairs that are less alike are left out, 0-1.
    """
    nearest = find_nearest(embeddings, cameras, wanted)
    half = Nearest(nearest.own[:, : -(-wanted.own // 2)], nearest.others[:, : -(-wanted.others // 2)])
    near = _expand(_reciprocal(nearest), _reciprocal(half))
    weights = _weigh(near, embeddings)
    mean = _graph(np.concatenate([nearest.own[:, : wanted.own_mean], nearest.others[:, : wanted.others_mean]], axis=1))
    mean = sparse.csr_array(mean / mean.sum(axis=1)[:, None])
    return _overlap(sparse.csr_array(mean @ weights), least)


def _graph(positions: Rows) -> sparse.csr_array:
    """The neighbours of each row as ones; every tracklet is its own neighbour."""
    size = len(positions)
    rows = np.repeat(np.arange(size), positions.shape[1])
    known = positions.ravel() >= 0
    rows = np.concatenate([rows[known], np.arange(size)])
    columns = np.concatenate([positions.ravel()[known], np.arange(size)])
    graph = sparse.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=(size, size))
    graph.sum_duplicates()
    graph.data[:] = 1.0
    return graph


def _reciprocal(nearest: Nearest) -> sparse.csr_array:
    """Neighbours of each other, in the lists of the own camera or in those of the others."""
    lists = [_graph(nearest.own), _graph(nearest.others)]
    both = sparse.csr_array(sum(graph.multiply(graph.T) for graph in lists))
    both.data[:] = 1.0
    return both


def _expand(near: sparse.csr_array, half: sparse.csr_array) -> sparse.csr_array:
    """Adds the closest neighbours of a neighbour where two thirds of them are neighbours already (equation 5)."""
    common = sparse.csr_array((near @ half.T).multiply(near))
    enough = sparse.coo_array(common)
    agree = enough.data >= 2.0 / 3.0 * half.sum(axis=1)[enough.col]
    chosen = sparse.csr_array(
        (np.ones(int(agree.sum()), np.float32), (enough.row[agree], enough.col[agree])), near.shape
    )
    expanded = sparse.csr_array(near + chosen @ half)
    expanded.data[:] = 1.0
    return expanded


def _weigh(near: sparse.csr_array, embeddings: Embeddings) -> sparse.csr_array:
    """Neighbours weighted by how near they are; the rows sum to 1 (equation 7)."""
    pairs = sparse.coo_array(near)
    weights = np.empty(pairs.nnz, np.float32)
    for begin in range(0, pairs.nnz, _PAIRS_AT_ONCE):
        part = slice(begin, begin + _PAIRS_AT_ONCE)
        similar = np.einsum("nd,nd->n", embeddings[pairs.row[part]], embeddings[pairs.col[part]])
        weights[part] = np.exp(2.0 * similar - 2.0)  # minus the squared distance
    weighted = sparse.csr_array((weights, (pairs.row, pairs.col)), near.shape)
    return sparse.csr_array(weighted / weighted.sum(axis=1)[:, None])


def _overlap(weights: sparse.csr_array, least: float) -> sparse.csr_array:
    """Sum of the lesser weights over that of the greater ones, for rows of sum 1 (equation 10)."""
    columns = sparse.csc_array(weights)
    counts = np.diff(columns.indptr)[weights.indices]  # how many rows share each entry
    work = np.concatenate([[0], np.cumsum(counts)])[weights.indptr]
    parts = []
    begin = 0
    while begin < weights.shape[0]:
        end = max(begin + 1, int(np.searchsorted(work, work[begin] + _AT_ONCE, side="right")) - 1)
        parts.append(_overlap_rows(weights[begin:end], columns, least))
        begin = end
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def _overlap_rows(some: sparse.csr_array, columns: sparse.csc_array, least: float) -> sparse.csr_array:
    begins, counts = columns.indptr[some.indices], np.diff(columns.indptr)[some.indices]
    place = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(begins, counts)
    rows = np.repeat(np.repeat(np.arange(some.shape[0]), np.diff(some.indptr)), counts)
    lesser = np.minimum(np.repeat(some.data, counts), columns.data[place])
    sums = sparse.csr_array((lesser, (rows, columns.indices[place])), (some.shape[0], columns.shape[0]))
    sums.sum_duplicates()
    sums.data = np.minimum(sums.data / (2.0 - sums.data), 1.0)
    sums.data[sums.data < least] = 0.0
    sums.eliminate_zeros()
    return sums
