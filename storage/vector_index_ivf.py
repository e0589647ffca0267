"""The index for large sites: what is newest as it is, the rest sealed in segments, in lists by camera.

Segments follow each other in the order of ids, which is nearly that of time. Whatever takes long - sealing, joining
small segments, writing anew those that have lost much - is done by `settle` beside the old parts, which serve until the
new one is there. So it can run in a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final

import numpy as np

from reid_pipeline.storage.vector_index import (
    EVERYBODY,
    Entries,
    Ids,
    IndexFilter,
    Neighbours,
    Vectors,
    best_of,
    check_width,
    join_entries,
)
from reid_pipeline.storage.vector_index_exact import ExactIndex
from reid_pipeline.storage.vector_segment import Segment, Selection, build_segment

SEAL_ROWS: Final = 32_768  # newest ones that are compared as they are: some milliseconds
MOST_ROWS: Final = 16 * SEAL_ROWS  # of a segment
JOINED: Final = 4  # neighbours of one size become one
_LOST: Final = 0.3  # part of a segment that is gone, from which it is written anew
# Rows that are compared exactly, of those that are nearest by eight bits a number: the nearest are among so many.
_COMPARED: Final = 64
_COMPARED_TIMES: Final = 4  # as many as are asked for, and more
_SHARED_ROWS: Final = 2_000_000  # from which a query is shared between threads; FAISS lets go of the interpreter
_WORKERS: Final = 2


class SegmentedIndex:
    """Embeddings in an open part and sealed segments.

    Of the sealed ones that pass the filter, a search compares some exactly that seem nearest: where they are many by a
    quick look at all of them, and then by eight bits a number.

    Args:
        dim: Length D of a vector.
        segments: Sealed ones to begin with.
        newest: The open part to begin with.
    """

    def __init__(self, dim: int, segments: Sequence[Segment] = (), newest: Entries | None = None) -> None:
        self.dim = dim
        self._open = ExactIndex(dim)
        if newest is not None:
            self._open.add(newest)
        # What a search looks at: replaced as a whole, never changed.
        self._parts: tuple[ExactIndex | Segment, ...] = (*segments, self._open)
        self._changing = threading.Lock()
        self._settling = threading.Lock()

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The sealed parts, by their ids."""
        return tuple(part for part in self._parts if isinstance(part, Segment))

    @property
    def newest(self) -> Entries:
        """What is not sealed yet."""
        return join_entries([part.entries for part in self._parts if isinstance(part, ExactIndex)])

    @property
    def nbytes(self) -> int:
        """See `VectorIndex`."""
        longest = max((segment.rows for segment in self.segments), default=0)
        return sum(part.nbytes for part in self._parts) + 8 * longest  # the labels of a scan

    def __len__(self) -> int:
        """See `VectorIndex`."""
        return sum(map(len, self._parts))

    def add(self, entries: Entries) -> None:
        """See `VectorIndex`. What is added is compared as it is until the next `settle`."""
        check_width(entries.vectors, self.dim)
        with self._changing:
            known = np.zeros(len(entries), bool)
            for part in self._parts:
                known |= part.has(entries.ids) if isinstance(part, Segment) else np.isin(entries.ids, part.entries.ids)
            self._open.add(entries.only(~known))

    def remove(self, ids: Ids) -> int:
        """See `VectorIndex`."""
        with self._changing:
            return sum(part.remove(ids) for part in self._parts)

    def expire(self, before_us: int) -> int:
        """See `VectorIndex`."""
        with self._changing:
            gone = sum(part.expire(before_us) for part in self._parts)
            self._parts = tuple(part for part in self._parts if len(part) or part is self._open)
            return gone

    def purge(self, ids: Ids) -> int:
        """See `VectorIndex`; waits for a `settle` under way, which might hold what is to go."""
        with self._settling, self._changing:
            return sum(part.purge(ids) for part in self._parts)

    def ids(self) -> Ids:
        """See `VectorIndex`."""
        return np.sort(np.concatenate([part.ids() for part in self._parts]))

    def left_out(self) -> Ids:
        """Ids of what was left out and is still there, marked, until its segment is written anew or it is purged."""
        gone = [segment.arrays.ids[segment.gone] for segment in self.segments]
        ids = np.concatenate([np.empty(0, np.int64), *gone])
        return ids[ids > 0]

    def search(self, queries: Vectors, k: int, wanted: IndexFilter = EVERYBODY) -> Neighbours:
        """See `VectorIndex`.

        Similarities are exact to 0.001. Among many that are about as alike as strangers are, some may be missed.
        """
        check_width(queries, self.dim)
        parts = self._parts
        chosen = [(part, part.select(wanted)) for part in parts if isinstance(part, Segment)]
        sealed = [(segment, kept) for segment, kept in chosen if kept is not None]
        exact = [part.search(queries, k, wanted) for part in parts if isinstance(part, ExactIndex)]
        ids, similarities = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        for number, query in enumerate(queries):
            near, alike = _search_sealed(sealed, query, k)
            every_id = np.concatenate([near, *(found.ids[number] for found in exact)])
            every = np.concatenate([alike, *(found.similarities[number] for found in exact)])
            ids[number], similarities[number] = best_of(every_id, every, k)
        return Neighbours(ids, similarities)

    def settle(self) -> None:
        """Seals what is enough, joins segments that are small and writes anew those that have lost much.

        Raises:
            StorageError: FAISS is not installed.
        """
        with self._settling:
            while (old := self._next()) is not None:
                self._replace(old)

    def _next(self) -> tuple[ExactIndex | Segment, ...] | None:
        """The neighbours that are to become one segment."""
        with self._changing:
            if len(self._open) >= SEAL_ROWS:
                self._open = ExactIndex(self.dim)
                self._parts = (*self._parts, self._open)
            parts, segments = self._parts, self.segments
        for part in parts:
            if isinstance(part, ExactIndex) and part is not self._open:
                return (part,)
        thin = next(((each,) for each in segments if len(each) < (1 - _LOST) * each.rows), None)
        return thin or _row_of_small(segments)

    def _replace(self, old: tuple[ExactIndex | Segment, ...]) -> None:
        entries = join_entries([part.entries if isinstance(part, ExactIndex) else part.entries() for part in old])
        new = build_segment(entries) if len(entries) else None
        with self._changing:
            if new is not None:  # without what was left out meanwhile
                new.remove(np.setdiff1d(new.arrays.ids, np.concatenate([part.ids() for part in old])))
            place = next((number for number, part in enumerate(self._parts) if part in old), 0)
            others = [part for part in self._parts if part not in old]
            self._parts = (*others[:place], *([new] if new is not None and len(new) else []), *others[place:])


def _search_sealed(chosen: Sequence[tuple[Segment, Selection]], query: Vectors, k: int) -> tuple[Ids, Vectors]:
    """Ids and similarities ``(n,)`` of the nearest in segments, more than k, in no order."""
    count = _COMPARED_TIMES * k + _COMPARED
    many = sum(len(segment) for segment, _ in chosen) >= _SHARED_ROWS
    near_all = _workers().map if many else map
    every_near = near_all(lambda pair: pair[0].near(query, count, pair[1]), chosen)
    found = [(segment, *near) for (segment, _), near in zip(chosen, every_near, strict=True)]
    every = np.concatenate([np.empty(0, np.float32), *(alike for *_, alike in found)])
    least = np.partition(every, -count)[-count] if len(every) > count else -np.inf
    ids, similarities = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for segment, rows, alike in found:
        near = rows[alike >= least]
        ids.append(segment.arrays.ids[near])
        similarities.append(segment.vectors(near) @ query)
    return np.concatenate(ids), np.concatenate(similarities)


@cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_WORKERS, "vector-search")


def _row_of_small(segments: Sequence[Segment]) -> tuple[Segment, ...] | None:
    """Neighbours of one size that have not reached the largest."""
    for first in range(len(segments) - JOINED + 1):
        some = segments[first : first + JOINED]
        if len({_tier(each) for each in some}) == 1 and sum(map(len, some)) <= MOST_ROWS:
            return tuple(some)
    return None


def _tier(segment: Segment) -> int:
    tier, rows = 0, JOINED * SEAL_ROWS
    while len(segment) >= rows:
        tier, rows = tier + 1, rows * JOINED
    return tier
