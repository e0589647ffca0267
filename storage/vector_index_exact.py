"""The exact index: compares with all that pass the filter. For small sites, and for what is newest on large ones."""

from __future__ import annotations

import numpy as np

from reid_pipeline.storage.vector_index import (
    EVERYBODY,
    Entries,
    Ids,
    IndexFilter,
    Mask,
    Neighbours,
    Vectors,
    best_of,
    check_width,
    empty_entries,
    join_entries,
)

_SPARSE = 0.5  # part that passes a filter, below which the others are not even read


class ExactIndex:
    """Embeddings as they are, in rows.

    What it holds is replaced as a whole at each change, so that a search sees one state.

    Args:
        dim: Length D of a vector.
    """

    def __init__(self, dim: int) -> None:
        self._room = empty_entries(dim)  # the rows behind those in use are free
        self.entries = self._room

    @property
    def dim(self) -> int:
        """Length D of a vector."""
        return int(self.entries.vectors.shape[1])

    @property
    def nbytes(self) -> int:
        """See `VectorIndex`."""
        room = self._room
        return room.ids.nbytes + room.cameras.nbytes + room.times_us.nbytes + room.vectors.nbytes

    def __len__(self) -> int:
        """See `VectorIndex`."""
        return len(self.entries)

    def add(self, entries: Entries) -> None:
        """See `VectorIndex`."""
        check_width(entries.vectors, self.dim)
        new = entries.only(np.isin(entries.ids, self.entries.ids, invert=True))
        length, end = len(self), len(self) + len(new)
        if end > len(self._room):
            spare = max(end, 2 * length) - end
            self._room = join_entries([self.entries, new, _blank(spare, self.dim)])
        else:
            for name in Entries.__slots__:
                getattr(self._room, name)[length:end] = getattr(new, name)
        self.entries = self._room.only(slice(end))

    def remove(self, ids: Ids) -> int:
        """See `VectorIndex`."""
        return self._keep(np.isin(self.entries.ids, ids, invert=True))

    def expire(self, before_us: int) -> int:
        """See `VectorIndex`."""
        return self._keep(self.entries.times_us >= before_us)

    def purge(self, ids: Ids) -> int:
        """See `VectorIndex`."""
        old = self._room
        gone = self.remove(ids)
        if gone:
            old.vectors[:] = 0  # a search under way may find nobody; what it was given is not there any more
        return gone

    def search(self, queries: Vectors, k: int, wanted: IndexFilter = EVERYBODY) -> Neighbours:
        """See `VectorIndex`."""
        check_width(queries, self.dim)
        stock = self.entries
        kept = wanted.keeps(stock.cameras, stock.times_us)
        if np.count_nonzero(kept) < _SPARSE * len(kept):
            stock = stock.only(np.flatnonzero(kept))
            kept = np.ones(len(stock), bool)
        similarities = queries @ stock.vectors.T
        found = [best_of(stock.ids[kept], each[kept], k) for each in similarities]
        return Neighbours(
            np.array([ids for ids, _ in found], np.int64).reshape(len(queries), k),
            np.array([alike for _, alike in found], np.float32).reshape(len(queries), k),
        )

    def ids(self) -> Ids:
        """See `VectorIndex`."""
        return np.sort(self.entries.ids)

    def _keep(self, kept: Mask) -> int:
        if kept.all():
            return 0
        self._room = self.entries = self.entries.only(kept)
        return int(np.count_nonzero(~kept))


def _blank(rows: int, dim: int) -> Entries:
    ids = np.zeros(rows, np.int64)
    return Entries(ids, np.zeros(rows, np.int32), ids, np.zeros((rows, dim), np.float32))
