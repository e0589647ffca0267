"""The looks by which people are recognised: few prototypes each, found fast among very many.

Prototypes stand by camera and time window, so that those who can be in question are chosen before any look is compared,
and what is too old is a beginning that is cut off. All chosen are compared as bytes, the nearest of them again with
more digits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.appearance import Look
from reid_pipeline.pipeline.byte_codes import ERROR, ByteCodes, Codes, Labels
from reid_pipeline.pipeline.gallery_shelf import Page, Prototypes, Row, Shelf

WINDOWS: Final = 24  # parts of the memory
VIEWS: Final = 1  # prototypes of an identity in one camera and window
MOST_PROTOTYPES: Final = 1_200_000  # some 1 GB of 256 numbers each
_SPARE: Final = 2  # times as many are compared again as are asked for
_MOST_COMPARED: Final = 1024  # again, where the nearest are of few people
_ALIKE: Final = 0.8  # similarity from which a look is no new view
_GOOD: Final = 0.7  # part of the best view's quality from which a look may start a prototype

Span = tuple[int, int]  # capture times, microseconds, both ends included


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Who looks most alike, flat over all looks that were searched for: by look, the most alike first.

    Attributes:
        queries: ``(N,)``, which look.
        identities: ``(N,)``, who; nobody twice for one look.
        similarities: ``(N,)``, of the most similar prototype.
    """

    queries: Labels
    identities: Labels
    similarities: NDArray[np.float32]

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        """Look, identity and similarity."""
        return zip(self.queries.tolist(), self.identities.tolist(), self.similarities.tolist(), strict=True)


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Some prototypes: pages, each with its first row and the end."""

    parts: tuple[tuple[Page, int, int], ...]

    def __len__(self) -> int:
        """How many."""
        return sum(end - first for _, first, end in self.parts)

    @property
    def codes(self) -> list[Codes]:
        """Their bytes, page by page."""
        return [page.codes[first:end] for page, first, end in self.parts]


class Gallery:
    """Prototypes of identities by camera and time window.

    Args:
        dim: Length D of a look.
        memory_us: Windows that ended longer ago are forgotten, microseconds.
        most: How many prototypes there may be.
        views: How many an identity may have in one camera and window.

    Raises:
        PipelineError: FAISS is not installed.
    """

    def __init__(self, dim: int, memory_us: int, most: int = MOST_PROTOTYPES, views: int = VIEWS) -> None:
        self._dim, self._memory_us, self._most, self._views = dim, memory_us, most, views
        self._window_us = max(memory_us // WINDOWS, 1)
        self._bytes = ByteCodes(dim)
        self._shelves: dict[str, Shelf] = {}
        self._oldest = 0  # no window before it is left

    def __len__(self) -> int:
        """How many prototypes there are."""
        return sum(map(len, self._shelves.values()))

    def put(self, camera: str, time_us: int, views: Prototypes) -> None:
        """Takes in views, or sums of views, of different identities in one camera.

        Each joins the most similar prototype that its identity has in this camera and window. A good view that is
        unlike all of them starts another one, while there are few.

        Args:
            camera: Where.
            time_us: Capture time. In one camera it does not go back: what comes too late counts as the newest.
            views: The identities and what was seen of them.
        """
        shelf = self._shelves.setdefault(camera, Shelf(self._dim, self._bytes))
        window = self._put_window(shelf, time_us)
        known = window == shelf.newest
        new = [
            number
            for number, identity in enumerate(views.identities.tolist())
            if not (known and self._join(shelf, shelf.find(identity), views.totals[number], views.qualities[number]))
        ]
        shelf.extend(window, views.only(new))

    def _join(self, shelf: Shelf, own: Sequence[Row], total: Look, quality: float) -> bool:
        """Adds views to one of an identity's prototypes; whether that was right."""
        if not own:
            return False
        similarities = [float(row.page.looks[row.number] @ total) for row in own]
        nearest = int(np.argmax(similarities))
        unlike = similarities[nearest] < _ALIKE * float(np.linalg.norm(total))
        if len(own) < self._views and unlike and quality >= _GOOD * max(row.quality for row in own):
            return False
        row = own[nearest]
        shelf.set(row, row.total + total, max(quality, row.quality))
        return True

    def remove(self, identity: int) -> None:
        """Forgets an identity; nothing happens where it is unknown."""
        for shelf in self._shelves.values():
            shelf.remove(identity)

    def rename(self, identity: int, into: int) -> None:
        """Gives an identity's prototypes to another one, who may then have more than others in one place and window."""
        for shelf in self._shelves.values():
            shelf.rename(identity, into)

    def is_overfull(self, time_us: int) -> bool:
        """Whether `forget` has something to do."""
        return self._first_window(time_us) > self._oldest or len(self) > self._most

    def forget(self, time_us: int, keep: Collection[tuple[int, str]]) -> None:
        """Forgets windows that are over for longer than the memory, and of too many prototypes the oldest.

        Args:
            time_us: Now.
            keep: Identities and cameras, of those who are there now: what would be forgotten counts as seen now.
        """
        self._oldest = max(self._oldest, self._first_window(time_us))
        for camera, shelf in self._shelves.items():
            self._cut(camera, self._oldest, len(shelf), time_us, keep)
        surplus = len(self) - self._most
        surplus += self._most // 10 if surplus > 0 else 0  # some more, so as not to come back at once
        while surplus > 0:
            camera = min((name for name, shelf in self._shelves.items() if len(shelf)), key=self._age)
            surplus -= self._cut(camera, self._shelves[camera].oldest + 1, surplus, time_us, keep)

    def _cut(self, camera: str, window: int, most: int, time_us: int, keep: Collection[tuple[int, str]]) -> int:
        """Cuts off prototypes of a camera from before a window; tells how many."""
        shelf = self._shelves[camera]
        before = len(shelf)
        kept = list(shelf.cut(window, most, [identity for identity, other in keep if other == camera]))
        count = before - len(shelf)
        for part in kept:
            for number in range(len(part.identities)):
                self.put(camera, time_us, part.only([number]))
        return count

    def _age(self, camera: str) -> tuple[int, str]:
        return self._shelves[camera].oldest, camera

    def _put_window(self, shelf: Shelf, time_us: int) -> int:
        window = time_us // self._window_us
        return window if shelf.newest is None else max(window, shelf.newest)

    def _first_window(self, time_us: int) -> int:
        return (time_us - self._memory_us) // self._window_us

    def select(self, spans: Mapping[str, Span]) -> Selection:
        """The prototypes of some cameras at some times, which count to the length of a window; until the next change.

        Args:
            spans: Cameras and times.
        """
        return Selection(tuple(part for camera, span in spans.items() for part in self._parts(camera, span)))

    def search(self, looks: Look, selection: Selection, count: int, least: float = -1.0) -> Found:
        """Finds who looks most alike.

        Similarities are exact to 0.0002. Of those who come last when there are more than were asked for, some may be
        missed for others who are as similar to 0.02.

        Args:
            looks: ``(Q, D)`` of norm 1.
            selection: Among whom.
            count: How many identities to find for each look, at most.
            least: Similarity from which they count.
        """
        found = Found(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        wanted, most, full = 0, min(len(selection), _MOST_COMPARED), True
        while full and wanted < most:
            wanted = min(max(_SPARE * count, 4 * wanted), most)
            rows = self._bytes.nearest(looks, selection.codes, wanted, least - ERROR)
            found = _rank(*_compare(looks, selection, rows), count, least)
            enough = np.bincount(found.queries, minlength=len(looks)) >= count
            full = bool((~enough & (rows >= 0).all(axis=1)).any())
        return found

    def cameras(self) -> list[str]:
        """Where prototypes are from."""
        return list(self._shelves)

    def _parts(self, camera: str, span: Span) -> Iterator[tuple[Page, int, int]]:
        since_us, until_us = span
        if camera in self._shelves:
            yield from self._shelves[camera].parts(since_us // self._window_us, until_us // self._window_us)


def _compare(looks: Look, selection: Selection, found: Labels) -> tuple[Labels, Labels, Look]:
    """Look, identity and similarity ``(N,)`` of the rows ``(Q, count)`` found for looks ``(Q, D)``."""
    queries, columns = np.nonzero(found >= 0)
    rows = found[queries, columns]
    order = np.argsort(rows, kind="stable")
    queries, rows = queries[order], rows[order]
    identities = np.empty(len(rows), np.int64)
    stored = np.empty((len(rows), looks.shape[1]), np.float32)
    start = here = 0
    for page, first, end in selection.parts:
        there = here + int(np.searchsorted(rows[here:], start + end - first))
        inside = rows[here:there] + (first - start)
        identities[here:there] = page.identities[inside]
        stored[here:there] = page.looks[inside]
        start, here = start + end - first, there
    return queries, identities, np.einsum("nd,nd->n", stored, looks[queries])


def _rank(queries: Labels, identities: Labels, similarities: Look, count: int, least: float) -> Found:
    """The most similar prototype of each identity, and of these the nearest for each look."""
    order = np.lexsort((-similarities, identities, queries))
    order = order[similarities[order] >= least]
    queries, identities, similarities = queries[order], identities[order], similarities[order]
    first = np.ones(len(order), bool)
    first[1:] = (queries[1:] != queries[:-1]) | (identities[1:] != identities[:-1])
    queries, identities, similarities = queries[first], identities[first], similarities[first]
    order = np.lexsort((identities, -similarities, queries))
    queries, identities, similarities = queries[order], identities[order], similarities[order]
    near = np.arange(len(queries)) - np.searchsorted(queries, queries) < count
    return Found(queries[near], identities[near], similarities[near])
