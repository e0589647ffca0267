"""An index of embeddings by one model: who looks most alike, among those of some cameras and times.

It is a cache of the database: it can be thrown away and built anew at any time, and what it finds has to be looked up
there. `vector_index_exact` compares with all, `vector_index_ivf` with the likeliest, `vector_index_gpu` with all on a
graphics processor; `vector_index_sync` keeps one on a site's disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.storage.errors import StorageError

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]
Vectors = NDArray[np.float32]

NOBODY = -1  # the id where fewer were found than asked for


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """N embeddings.

    Attributes:
        ids: ``(N,)``, rows of the database, which are never reused.
        cameras: ``(N,) int32``, rows of their cameras.
        times_us: ``(N,)``, capture times.
        vectors: ``(N, D)`` of norm 1.
    """

    ids: Ids
    cameras: NDArray[np.int32]
    times_us: Ids
    vectors: Vectors

    def __post_init__(self) -> None:
        lengths = {len(self.ids), len(self.cameras), len(self.times_us), len(self.vectors)}
        if len(lengths) > 1 or self.vectors.ndim != 2:
            raise ValueError(f"entries: expected N of each and vectors (N, D); got {self.vectors.shape} and {lengths}")

    def __len__(self) -> int:
        """How many."""
        return len(self.ids)

    def only(self, which: Mask | Ids | slice) -> Entries:
        """Some of them."""
        return Entries(self.ids[which], self.cameras[which], self.times_us[which], self.vectors[which])


@dataclass(frozen=True, slots=True)
class IndexFilter:
    """Which embeddings; what is left out does not choose.

    Attributes:
        cameras: Rows of cameras; an empty tuple lets nobody in.
        since_us: Captured then or later.
        until_us: Captured before then.
    """

    cameras: tuple[int, ...] | None = None
    since_us: int | None = None
    until_us: int | None = None

    def keeps(self, cameras: NDArray[np.int32], times_us: Ids) -> Mask:
        """Which of N embeddings pass ``(N,)``."""
        kept = np.ones(len(times_us), bool)
        if self.cameras is not None:
            kept &= np.isin(cameras, self.cameras)
        if self.since_us is not None:
            kept &= times_us >= self.since_us
        if self.until_us is not None:
            kept &= times_us < self.until_us
        return kept

    def run(self, times_us: Ids) -> tuple[int, int]:
        """First one and end of those that pass, among ascending times ``(N,)``."""
        first = 0 if self.since_us is None else int(times_us.searchsorted(self.since_us))
        end = len(times_us) if self.until_us is None else int(times_us.searchsorted(self.until_us))
        return first, max(first, end)


EVERYBODY = IndexFilter()


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """What is most alike to Q queries, the most alike first.

    Attributes:
        ids: ``(Q, k)``, `NOBODY` where there are not so many.
        similarities: ``(Q, k)``, inner products; minus infinity there.
    """

    ids: Ids
    similarities: Vectors

    def __iter__(self) -> Iterator[list[int]]:
        """The ids by query, without the places that are empty."""
        return (row[row != NOBODY].tolist() for row in self.ids)


class VectorIndex(Protocol):
    """Embeddings by one model. One thread changes it, while any number of them search."""

    @property
    def nbytes(self) -> int:
        """Memory that it takes with everything, whether mapped from a file or not."""
        ...

    def __len__(self) -> int:
        """How many embeddings it has."""
        ...

    def add(self, entries: Entries) -> None:
        """Takes in embeddings; those whose ids it has already stay as they are."""
        ...

    def remove(self, ids: Ids) -> int:
        """Leaves out embeddings, and tells how many it had."""
        ...

    def expire(self, before_us: int) -> int:
        """Leaves out embeddings that were captured before a time, and tells how many it had."""
        ...

    def purge(self, ids: Ids) -> int:
        """As `remove`, and no byte of them stays, in memory or in the files that it is mapped from."""
        ...

    def search(self, queries: Vectors, k: int, wanted: IndexFilter = EVERYBODY) -> Neighbours:
        """Finds the k that are most alike to each query ``(Q, D)``, among those that pass the filter."""
        ...

    def ids(self) -> Ids:
        """All ids, in ascending order."""
        ...


def empty_entries(dim: int) -> Entries:
    """No embeddings of D dimensions."""
    none = np.empty(0, np.int64)
    return Entries(none, np.empty(0, np.int32), none, np.empty((0, dim), np.float32))


def join_entries(parts: Sequence[Entries]) -> Entries:
    """One after another; there is at least one part."""
    names = ("ids", "cameras", "times_us", "vectors")
    return Entries(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def best_of(ids: Ids, similarities: Vectors, k: int) -> tuple[Ids, Vectors]:
    """The k most alike of ``(N,)``, the most alike first and the least id among equals, filled up with `NOBODY`."""
    if len(ids) > k:
        near = np.argpartition(-similarities, k - 1)
        least = similarities[near[k - 1]]
        kept = np.flatnonzero(similarities >= least)
        ids, similarities = ids[kept], similarities[kept]
    order = np.lexsort((ids, -similarities))[:k]
    found, alike = np.full(k, NOBODY, np.int64), np.full(k, -np.inf, np.float32)
    found[: len(order)], alike[: len(order)] = ids[order], similarities[order]
    return found, alike


def check_width(vectors: Vectors, dim: int) -> None:
    """Refuses vectors of another length.

    Raises:
        StorageError: They have other than D numbers.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise StorageError(f"vector index: expected vectors of {dim} numbers, got an array {vectors.shape}")
