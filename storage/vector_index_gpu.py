"""The index on a graphics processor: compares with all that pass the filter, in blocks by camera and time.

A block of which all embeddings pass is searched there; of one at the edge of a filter those that pass are compared on
the processor, so that a filter never costs a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import numpy as np

from reid_pipeline.storage.errors import StorageError
from reid_pipeline.storage.vector_codes import load_faiss
from reid_pipeline.storage.vector_index import (
    EVERYBODY,
    Entries,
    Ids,
    IndexFilter,
    Neighbours,
    Vectors,
    best_of,
    check_width,
    empty_entries,
    join_entries,
)

BLOCK_ROWS: Final = 131_072


class Searcher(Protocol):
    """Vectors that are searched where they are."""

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        """Similarities and rows ``(Q, k)``; row -1 where there are not so many."""
        ...


class GpuIndex:
    """Embeddings in blocks of one camera; each is loaded anew when it changes.

    Args:
        dim: Length D of a vector.
        load: Brings vectors ``(n, D)`` to where they are searched; the first graphics processor by default.
        block_rows: Embeddings of a block.

    Raises:
        StorageError: FAISS is not installed, or without graphics processors.
    """

    def __init__(
        self, dim: int, load: Callable[[Vectors], Searcher] | None = None, block_rows: int = BLOCK_ROWS
    ) -> None:
        self.dim = dim
        self._load = load or _gpu_loader()
        self._block_rows = block_rows
        self._blocks: tuple[_Block, ...] = ()  # replaced as a whole

    @property
    def nbytes(self) -> int:
        """See `VectorIndex`; here and on the graphics processor."""
        return sum(each.nbytes for each in self._blocks)

    def __len__(self) -> int:
        """See `VectorIndex`."""
        return sum(len(each.entries) for each in self._blocks)

    def add(self, entries: Entries) -> None:
        """See `VectorIndex`."""
        check_width(entries.vectors, self.dim)
        new = entries.only(np.isin(entries.ids, self.ids(), invert=True))
        for camera in np.unique(new.cameras).tolist():
            own = new.only(new.cameras == camera)
            last = next((each for each in reversed(self._blocks) if each.camera == camera), None)
            if last is not None and len(last.entries) < self._block_rows:
                own = join_entries([last.entries, own])
                self._blocks = tuple(each for each in self._blocks if each is not last)
            parts = (own.only(slice(first, first + self._block_rows)) for first in range(0, len(own), self._block_rows))
            self._blocks = (*self._blocks, *(_Block(part, self._load) for part in parts))

    def remove(self, ids: Ids) -> int:
        """See `VectorIndex`."""
        return self._keep(lambda entries: np.isin(entries.ids, ids, invert=True))

    def expire(self, before_us: int) -> int:
        """See `VectorIndex`."""
        return self._keep(lambda entries: entries.times_us >= before_us)

    def purge(self, ids: Ids) -> int:
        """See `VectorIndex`: a block that changes is copied, and its memory freed."""
        return self.remove(ids)

    def ids(self) -> Ids:
        """See `VectorIndex`."""
        return np.sort(np.concatenate([np.empty(0, np.int64), *(each.entries.ids for each in self._blocks)]))

    def search(self, queries: Vectors, k: int, wanted: IndexFilter = EVERYBODY) -> Neighbours:
        """See `VectorIndex`. Similarities are exact to 0.001."""
        check_width(queries, self.dim)
        found = [each.search(queries, k, wanted) for each in self._blocks] or [_nobody(queries, k, self.dim)]
        ids = np.concatenate([each.ids for each in found], axis=1)
        similarities = np.concatenate([each.similarities for each in found], axis=1)
        best = [best_of(*each, k) for each in zip(ids, similarities, strict=True)]
        return Neighbours(np.stack([each for each, _ in best]), np.stack([alike for _, alike in best]))

    def _keep(self, kept: Callable[[Entries], Any]) -> int:
        before = len(self)
        self._blocks = tuple(_remaining(self._blocks, kept, self._load))
        return before - len(self)


class _Block:
    def __init__(self, entries: Entries, load: Callable[[Vectors], Searcher]) -> None:
        self.entries = entries
        self.camera = int(entries.cameras[0])
        self._searcher = load(entries.vectors)

    @property
    def nbytes(self) -> int:
        own = self.entries
        return own.ids.nbytes + own.cameras.nbytes + own.times_us.nbytes + own.vectors.nbytes * 3 // 2

    def search(self, queries: Vectors, k: int, wanted: IndexFilter) -> Neighbours:
        kept = wanted.keeps(self.entries.cameras, self.entries.times_us)
        if kept.all():
            alike, rows = self._searcher.search(queries, min(k, len(kept)))
            ids = np.where(rows < 0, -1, self.entries.ids[rows])
            return Neighbours(ids, np.where(rows < 0, -np.inf, alike))
        some = self.entries.only(kept)
        best = [best_of(some.ids, each, k) for each in queries @ some.vectors.T]
        return Neighbours(np.stack([each for each, _ in best]), np.stack([alike for _, alike in best]))


def _remaining(
    blocks: tuple[_Block, ...], kept: Callable[[Entries], Any], load: Callable[[Vectors], Searcher]
) -> Iterator[_Block]:
    for block in blocks:
        rows = kept(block.entries)
        if rows.all():
            yield block
        elif rows.any():
            yield _Block(block.entries.only(rows), load)


def _nobody(queries: Vectors, k: int, dim: int) -> Neighbours:
    none = empty_entries(dim)
    return Neighbours(np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), -np.inf, none.vectors.dtype))


def _gpu_loader() -> Callable[[Vectors], Searcher]:
    library = load_faiss()
    if not hasattr(library, "get_num_gpus") or not library.get_num_gpus():
        raise StorageError(
            "faiss finds no graphics processor here: pip install 'reid-pipeline[gpu]' where there is one"
        )
    resources = library.StandardGpuResources()
    settings = library.GpuIndexFlatConfig()
    settings.useFloat16 = True

    def load(vectors: Vectors) -> Searcher:
        index: Any = library.GpuIndexFlatIP(resources, vectors.shape[1], settings)
        index.add(np.ascontiguousarray(vectors))
        searcher: Searcher = index
        return searcher

    return load
