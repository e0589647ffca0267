"""What is known of the tracklets of the last days, for a second look at them: where, when and how each was seen."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from reid_pipeline.pipeline.appearance import Look, weigh_view
from reid_pipeline.pipeline.ground import SAMPLE_S, Walk
from reid_pipeline.pipeline.identity_book import IdentityBook
from reid_pipeline.pipeline.protocols import Decision, TrackletFeet, TrackletKey, TrackletUpdate
from reid_pipeline.storage.records import EventType, GalleryRow

_LONGEST_WALK: Final = 600  # points; of who stays longer the end is kept
MOST_SIGHTINGS: Final = 2_000  # all pairs of them are looked at: some seconds, and 500 MB for a moment


@dataclass(slots=True)
class Sighting:
    """One tracklet: its camera, from when to when it was seen, where, and the quality-weighted sum of its views."""

    key: TrackletKey
    first_us: int
    last_us: int
    look: Look | None = None
    views: int = 0
    walk: deque[tuple[float, float, float, float]] = field(default_factory=lambda: deque(maxlen=_LONGEST_WALK))

    def follow(self, feet: TrackletFeet) -> None:
        """Adds where it stood, as often as walks are looked at."""
        for time_s, (x, y, height) in zip((feet.times_us / 1e6).tolist(), feet.feet.tolist(), strict=True):
            if not self.walk or time_s - self.walk[-1][0] >= 0.9 * SAMPLE_S:
                self.walk.append((time_s, x, y, height))

    def add(self, embedding: Look, quality: float) -> None:
        """Adds a view ``(D,)`` of norm 1."""
        weighted = weigh_view(embedding, quality)
        self.look = weighted if self.look is None else self.look + weighted
        self.views += 1


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A tracklet with an identity, ready to be compared.

    Attributes:
        key: Camera and number.
        first_us: When it was seen first.
        last_us: When it was seen last.
        look: ``(D,)``, the mean of its views, of norm 1.
        views: How many.
        identity: Who it is said to be.
        walk: Its feet, see `ground.Walk`.
        whole: Whether all tracklets of that identity are known here, none was forgotten.
    """

    key: TrackletKey
    first_us: int
    last_us: int
    look: Look
    views: int
    identity: int
    walk: Walk = field(default_factory=lambda: np.empty((0, 4)))
    whole: bool = True


@dataclass(slots=True)
class Sightings:
    """Keeps the newest closed tracklets that show somebody, and those that are still open.

    Args:
        memory_us: Tracklets that ended longer ago are forgotten, microseconds.
    """

    memory_us: int
    _open: dict[TrackletKey, Sighting] = field(default_factory=dict)
    _closed: dict[TrackletKey, Sighting] = field(default_factory=dict)  # in the order of their ends
    _book: IdentityBook = field(default_factory=IdentityBook)
    _partial: set[int] = field(default_factory=set)  # identities of forgotten tracklets

    def restore(self, rows: Iterable[GalleryRow]) -> None:
        """Takes up the tracklets of earlier runs."""
        for row in rows:
            key = (row.camera, row.number)
            known = self._closed.setdefault(key, Sighting(key, row.first_us, row.last_us))
            known.add(row.vector, row.quality)
            self._book.apply([Decision(EventType.ASSIGN, key, row.identity, None, {})])
        self._closed = dict(sorted(self._closed.items(), key=lambda item: (item[1].last_us, item[0])))
        self._forget()

    def note(self, update: TrackletUpdate) -> None:
        """Takes in the next frame of any camera."""
        for number, _ in update.started:
            key = (update.camera, number)
            self._open[key] = Sighting(key, update.time_us, update.time_us)
        for number in update.seen:
            self._open[update.camera, number].last_us = update.time_us
        for view in update.views:
            self._open[update.camera, view.number].add(view.embedding, view.quality)
        for feet in update.feet:
            self._open[update.camera, feet.number].follow(feet)
        for number in update.ended:
            sighting = self._open.pop((update.camera, number))
            if sighting.look is not None:
                self._closed[sighting.key] = sighting
        if update.ended:
            self._forget()

    def decide(self, decisions: Iterable[Decision]) -> None:
        """Notes who tracklets are said to be."""
        self._book.apply(decisions)

    def known(self) -> list[Known]:
        """The closed tracklets that have an identity, in the order of their starts."""
        found = []
        for key, sighting in self._closed.items():
            identity = self._book.identity(key)
            if sighting.look is not None and identity is not None:
                direction: Look = sighting.look / np.linalg.norm(sighting.look)
                walk = np.array(sighting.walk, np.float64).reshape(-1, 4)
                whole = identity not in self._partial
                found.append(
                    Known(key, sighting.first_us, sighting.last_us, direction, sighting.views, identity, walk, whole)
                )
        return sorted(found, key=lambda each: (each.first_us, each.key))

    def _forget(self) -> None:
        newest = max((sighting.last_us for sighting in self._closed.values()), default=0)
        surplus = len(self._closed) - MOST_SIGHTINGS
        for key in list(self._closed):
            if surplus <= 0 and self._closed[key].last_us >= newest - self.memory_us:
                break
            del self._closed[key]
            identity = self._book.identity(key)
            if identity is not None:
                self._partial.add(identity)
            self._book.forget(key)
            surplus -= 1
