"""A sealed part of the index: embeddings by camera and time, so that what passes a filter are runs of rows.

Nothing is added to it. What is left out of it is marked in a mask; it is written anew when much is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.storage.vector_codes import (
    Coarse,
    Fine,
    Scanner,
    bits_of,
    decode,
    encode,
    fine_width,
    scale_of,
)
from reid_pipeline.storage.vector_index import Entries, Ids, IndexFilter, Mask, Vectors
from reid_pipeline.storage.vector_quick import QuickCodes, build_quick, is_quick, rows_mask

_ROWS_AT_ONCE: Final = 16_384
_LIKELY: Final = 12  # times as many as are to be near: the quick codes put the nearest among so many
_DENSE: Final = 0.6  # part of the rows of some cameras from which the quick codes of all are compared sooner


@dataclass(frozen=True, slots=True, eq=False)
class SegmentArrays:
    """N embeddings of C cameras, as they stand in memory or in a file.

    Attributes:
        ids: ``(N,)``; 0 where one was purged.
        times_us: ``(N,)``, ascending for each camera.
        starts: ``(C + 1,)``, first row of each camera, and the end.
        cameras: ``(C,)``.
        coarse: ``(N, D)``, see `vector_codes`.
        fine: ``(N, fine_width(D))``.
    """

    ids: Ids
    times_us: Ids
    starts: Ids
    cameras: NDArray[np.int32]
    coarse: Coarse
    fine: Fine


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What of a segment passes a filter.

    Attributes:
        runs: Rows from the first to before the end; neighbours are joined.
        lists: The cameras that they are of, by place.
        quick: Whether they are so many that the quick codes of all of these cameras are compared sooner.
        bits: Which rows count, of the runs, or of the cameras where it is `quick`; all where it is None.
    """

    runs: list[tuple[int, int]]
    lists: Ids
    quick: bool
    bits: NDArray[np.uint8] | None


class Segment:
    """Sealed embeddings.

    Args:
        arrays: What they are.
        scale: Of their codes.
        quick: Their quick codes, where they are many.
        gone: ``(N,)``, those that were left out since.
        name: Of its files; None where it is in memory only.
    """

    def __init__(
        self,
        arrays: SegmentArrays,
        scale: float,
        quick: QuickCodes | None = None,
        gone: Mask | None = None,
        name: str | None = None,
    ) -> None:
        self.arrays, self.scale, self.quick, self.name = arrays, scale, quick, name
        self.gone = np.zeros(len(arrays.ids), bool) if gone is None else gone
        self.purged = False  # whether the arrays were changed since they were written
        self._first, self._last = int(arrays.ids.min()), int(arrays.ids.max())
        self._left = self.rows - int(np.count_nonzero(self.gone))

    def __len__(self) -> int:
        """How many embeddings are left."""
        return self._left

    @property
    def rows(self) -> int:
        """How many embeddings it was made with."""
        return len(self.gone)

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        own = self.gone.nbytes + (self.quick.nbytes if self.quick is not None else 0)
        return own + int(sum(getattr(self.arrays, name).nbytes for name in SegmentArrays.__slots__))

    def ids(self) -> Ids:
        """Those that are left, in no order."""
        return self.arrays.ids[~self.gone]

    def has(self, ids: Ids) -> Mask:
        """Which of some ids ``(n,)`` it has and were not left out."""
        rows = self._find(ids)
        return np.isin(ids, self.arrays.ids[rows[~self.gone[rows]]])

    def remove(self, ids: Ids) -> int:
        """See `VectorIndex`."""
        return self._leave_out(self._find(ids))

    def expire(self, before_us: int) -> int:
        """See `VectorIndex`."""
        return self._leave_out(np.flatnonzero((self.arrays.times_us < before_us) & (self.arrays.ids > 0)))

    def purge(self, ids: Ids) -> int:
        """See `VectorIndex`. Its file, where it is mapped, is not forced to the disk."""
        rows = self._find(ids)
        count = self._leave_out(rows)
        if len(rows):
            self.purged = True
            for array in (self.arrays.ids, self.arrays.coarse, self.arrays.fine):
                array[rows] = 0
            self._forget_times(rows)
            if self.quick is not None:
                self.quick.erase(self.arrays.starts, rows)
        return count

    def flush(self) -> None:
        """Forces to the disk what a purge has changed in the file that it is mapped from."""
        base = self.arrays.coarse.base
        while base is not None and not isinstance(base, np.memmap):
            base = base.base
        if base is not None:
            base.flush()

    def select(self, wanted: IndexFilter) -> Selection | None:
        """What passes a filter; None: nothing."""
        some = np.ones(len(self.arrays.cameras), bool)
        if wanted.cameras is not None:
            some = np.isin(self.arrays.cameras, wanted.cameras)
        whole = [tuple(self.arrays.starts[place : place + 2].tolist()) for place in np.flatnonzero(some).tolist()]
        runs = [
            (first + run[0], first + run[1]) for first, end in whole for run in [wanted.run(self._times(first, end))]
        ]
        joined = _joined(runs)
        if not joined:
            return None
        passing = sum(end - first for first, end in joined)
        quick = self.quick is not None and passing >= _DENSE * sum(end - first for first, end in whole)
        kept = None if self._left == self.rows else ~self.gone
        if quick and runs != whole:
            kept = rows_mask(self.rows, joined) & (True if kept is None else kept)
        return Selection(joined, np.flatnonzero(some), quick, None if kept is None else bits_of(kept))

    def near(self, query: Vectors, count: int, selection: Selection) -> tuple[Ids, Vectors]:
        """The rows ``(n,)`` of a selection that seem nearest to a query ``(D,)``, and about how similar they are."""
        if selection.quick and self.quick is not None:
            scanner = Scanner(query, count)
            likely = self.quick.nearest(query, _LIKELY * count, selection.lists, selection.bits)
            scanner.scan_rows(self.arrays.coarse, likely)
        else:
            scanner = Scanner(query, count, selection.bits)
            scanner.scan(self.arrays.coarse, selection.runs)
        return scanner.nearest(self.scale)

    def vectors(self, rows: Ids) -> Vectors:
        """The vectors of some rows ``(n, D)``."""
        return decode(self.arrays.coarse[rows], self.arrays.fine[rows], self.scale)

    def entries(self) -> Entries:
        """What is left."""
        left = np.flatnonzero(~self.gone)
        vectors = np.empty((len(left), self.arrays.coarse.shape[1]), np.float32)
        for part in _blocks(len(left)):
            vectors[part] = self.vectors(left[part])
        cameras = np.repeat(self.arrays.cameras, np.diff(self.arrays.starts))
        return Entries(self.arrays.ids[left], cameras[left], self.arrays.times_us[left], vectors)

    def _times(self, first: int, end: int) -> Ids:
        return self.arrays.times_us[first:end]

    def _find(self, ids: Ids) -> Ids:
        """Rows of embeddings, whether left out or not."""
        inside = ids[(ids >= max(self._first, 1)) & (ids <= self._last)]
        return np.flatnonzero(np.isin(self.arrays.ids, inside)) if len(inside) else np.empty(0, np.int64)

    def _leave_out(self, rows: Ids) -> int:
        before = self._left
        self.gone[rows] = True
        self._left = self.rows - int(np.count_nonzero(self.gone))
        return before - self._left

    def _forget_times(self, rows: Ids) -> None:
        """Gives purged rows the time of one before them, so that times still ascend."""
        for place in np.unique(np.searchsorted(self.arrays.starts, rows, side="right") - 1).tolist():
            first, end = self.arrays.starts[place : place + 2].tolist()
            times = np.where(self.arrays.ids[first:end] == 0, np.iinfo(np.int64).min, self._times(first, end))
            self.arrays.times_us[first:end] = np.maximum.accumulate(times)


def build_segment(entries: Entries) -> Segment:
    """Seals embeddings; there is at least one.

    Raises:
        StorageError: FAISS is not installed.
    """
    order = np.lexsort((entries.ids, entries.times_us, entries.cameras))
    rows, dim = entries.vectors.shape
    cameras, sizes = np.unique(entries.cameras, return_counts=True)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    coarse, fine = np.empty((rows, dim), np.uint8), np.empty((rows, fine_width(dim)), np.uint8)
    scale = scale_of(entries.vectors)
    for part in _blocks(rows):
        encode(entries.vectors[order[part]], scale, coarse[part], fine[part])
    arrays = SegmentArrays(entries.ids[order], entries.times_us[order], starts, cameras, coarse, fine)
    return Segment(arrays, scale, build_quick(entries.vectors[order], starts) if is_quick(rows, dim) else None)


def _joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs in ascending order, without the empty ones, and with those that meet as one."""
    joined: list[tuple[int, int]] = []
    for first, end in runs:
        if joined and joined[-1][1] == first and end > first:
            joined[-1] = joined[-1][0], end
        elif end > first:
            joined.append((first, end))
    return joined


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(first, min(first + _ROWS_AT_ONCE, rows)) for first in range(0, rows, _ROWS_AT_ONCE))
