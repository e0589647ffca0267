"""The prototypes of one camera, in pages, in the order of their time windows: a span of time is contiguous rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.appearance import Look
from reid_pipeline.pipeline.byte_codes import ByteCodes, Labels

Numbers = NDArray[np.float32]

PAGE_ROWS: Final = 16_384  # what is not used of a page takes no memory


class Page:
    """Prototypes in rows `first` to `end` of each array."""

    __slots__ = ("codes", "end", "first", "identities", "looks", "qualities", "weights", "windows")

    def __init__(self, rows: int, dim: int) -> None:
        self.codes = np.empty((rows, dim), np.uint8)  # of the looks
        self.looks = np.empty((rows, dim), np.float16)  # means of views, of norm 1
        self.weights = np.empty(rows, np.float32)  # norms of the sums of views
        self.qualities = np.empty(rows, np.float32)  # of the best view
        self.identities = np.empty(rows, np.int64)
        self.windows = np.empty(rows, np.int64)
        self.first = self.end = 0

    def rows_of(self, first_window: int, last_window: int) -> tuple[int, int]:
        """First row and end of what is in some windows, both ends included."""
        windows = self.windows[self.first : self.end]
        first, end = int(windows.searchsorted(first_window)), int(windows.searchsorted(last_window + 1))
        return self.first + first, self.first + end

    def remove(self, identity: int) -> int:
        """Closes the gaps that an identity leaves; tells how many there are."""
        kept = self.first + np.flatnonzero(self.identities[self.first : self.end] != identity)
        gone = self.end - self.first - len(kept)
        if gone:
            self.end -= gone
            for name in set(self.__slots__) - {"first", "end"}:
                array = getattr(self, name)
                array[self.first : self.end] = array[kept]
        return gone


@dataclass(frozen=True, slots=True, eq=False)
class Prototypes:
    """Some prototypes: identities ``(N,)``, sums of their views ``(N, D)`` and qualities ``(N,)`` of the best, 0-1."""

    identities: Labels
    totals: Look
    qualities: Numbers

    def only(self, which: Sequence[int] | NDArray[np.bool_]) -> Prototypes:
        """Some of them."""
        return Prototypes(self.identities[which], self.totals[which], self.qualities[which])


class Row(NamedTuple):
    """Where one prototype stands."""

    page: Page
    number: int

    @property
    def total(self) -> Look:
        """The sum of its views ``(D,)``."""
        look: Look = self.page.looks[self.number] * self.page.weights[self.number]
        return look

    @property
    def quality(self) -> float:
        """The best view's quality, 0-1."""
        return float(self.page.qualities[self.number])


class Shelf:
    """All prototypes of one camera, the oldest window first.

    Args:
        dim: Length D of a look.
        codes: How looks become bytes.
    """

    def __init__(self, dim: int, codes: ByteCodes) -> None:
        self._dim = dim
        self._bytes = codes
        self._pages: deque[Page] = deque()  # none is empty
        self._count = 0

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    @property
    def oldest(self) -> int:
        """The first window; there has to be a prototype."""
        page = self._pages[0]
        return int(page.windows[page.first])

    @property
    def newest(self) -> int | None:
        """The last window; None where there is no prototype."""
        return int(self._pages[-1].windows[self._pages[-1].end - 1]) if self._pages else None

    def parts(self, first_window: int, last_window: int) -> Iterator[tuple[Page, int, int]]:
        """The rows of some windows, both ends included: pages with first row and end."""
        for page in self._pages:
            first, end = page.rows_of(first_window, last_window)
            if end > first:
                yield page, first, end

    def find(self, identity: int) -> list[Row]:
        """The prototypes of an identity in the newest window."""
        found: list[Row] = []
        window = self.newest or 0
        for page in reversed(self._pages):
            first, end = page.rows_of(window, window)
            own = (page.identities[first:end] == identity).nonzero()[0].tolist()
            found += (Row(page, first + number) for number in own)
            if first > page.first:
                break
        return found

    def extend(self, window: int, new: Prototypes) -> None:
        """Adds prototypes of a window that is not older than the newest."""
        self._count += len(new.identities)
        start = 0
        while start < len(new.identities):
            if not self._pages or self._pages[-1].end == PAGE_ROWS:
                self._pages.append(Page(PAGE_ROWS, self._dim))
            page = self._pages[-1]
            rows = slice(page.end, min(page.end + len(new.identities) - start, PAGE_ROWS))
            part = slice(start, start + rows.stop - rows.start)
            page.identities[rows], page.windows[rows] = new.identities[part], window
            page.end, start = rows.stop, part.stop
            self._write(page, rows, new.totals[part], new.qualities[part])

    def set(self, row: Row, total: Look, quality: float) -> None:
        """Replaces the sum of a prototype's views ``(D,)`` and the best one's quality."""
        rows = slice(row.number, row.number + 1)
        self._write(row.page, rows, total[None], np.array([quality], np.float32))

    def _write(self, page: Page, rows: slice, totals: Look, qualities: Numbers) -> None:
        weights = np.sqrt(np.einsum("nd,nd->n", totals, totals))
        looks = totals / weights[:, None]
        page.looks[rows], page.codes[rows], page.weights[rows] = looks, self._bytes.encode(looks), weights
        page.qualities[rows] = qualities

    def remove(self, identity: int) -> None:
        """Forgets an identity."""
        self._count -= sum(page.remove(identity) for page in self._pages)
        self._pages = deque(page for page in self._pages if page.end > page.first)

    def rename(self, identity: int, into: int) -> None:
        """Gives an identity's prototypes to another one."""
        for page in self._pages:
            page.identities[page.first : page.end][page.identities[page.first : page.end] == identity] = into

    def cut(self, window: int, most: int, keep: Sequence[int]) -> Iterator[Prototypes]:
        """Cuts off what comes before a window, so many rows at most, the oldest first.

        Yields:
            The prototypes of the identities in `keep` that were cut off.
        """
        while self._pages and most > 0 and self.oldest < window:
            page = self._pages[0]
            end = min(page.rows_of(self.oldest, window - 1)[1], page.first + most)
            rows = page.first + np.flatnonzero(np.isin(page.identities[page.first : end], keep))
            totals = page.looks[rows] * page.weights[rows, None]
            yield Prototypes(page.identities[rows], totals, page.qualities[rows])
            most -= end - page.first
            self._count -= end - page.first
            page.first = end
            if page.first == page.end:
                self._pages.popleft()
