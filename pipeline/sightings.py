"""What is known of the tracklets of the last days, for a second look at them: where, when and how each was seen."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from reid_pipeline.pipeline.appearance import Look, weigh_view
from reid_pipeline.pipeline.datatypes import Walk
from reid_pipeline.pipeline.given_floor import GivenFloor
from reid_pipeline.pipeline.identity_book import IdentityBook
from reid_pipeline.pipeline.meetings import SAMPLE_S
from reid_pipeline.pipeline.protocols import Decision, TrackletFeet, TrackletKey, TrackletUpdate
from reid_pipeline.storage.records import EventType, GalleryRow, OperatorNews

_LONGEST_WALK: Final = 600  # points; of who stays longer the end is kept
MOST_SIGHTINGS: Final = 2_000  # all pairs of them are looked at: ten seconds and more, and 500 MB for a moment


@dataclass(slots=True)
class Sighting:
    """One tracklet: its camera, from when to when it was seen, where, and the quality-weighted sum of its views."""

    key: TrackletKey
    first_us: int
    last_us: int
    look: Look | None = None
    views: int = 0
    quality: float = 0.0  # of the best view
    walk: deque[tuple[float, float, float, float]] = field(default_factory=lambda: deque(maxlen=_LONGEST_WALK))
    floor: GivenFloor | None = None

    def follow(self, feet: TrackletFeet) -> None:
        """Adds where it stood, as often as walks are looked at."""
        self.floor = feet.floor
        for time_s, (x, y, height) in zip((feet.times_us / 1e6).tolist(), feet.feet.tolist(), strict=True):
            if not self.walk or time_s - self.walk[-1][0] >= 0.9 * SAMPLE_S:
                self.walk.append((time_s, x, y, height))

    def add(self, embedding: Look, quality: float) -> None:
        """Adds a view ``(D,)`` of norm 1."""
        weighted = weigh_view(embedding, quality)
        self.look = weighted if self.look is None else self.look + weighted
        self.quality = max(self.quality, quality)
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
        walk: Its feet, see `datatypes.Walk`.
        whole: Whether all tracklets of that identity are known here, none was forgotten.
        floor: How the pixels of the walk lie on the site's floor; None where that was not given.
        settled: Whether an operator has said who it is, or who it is not: then it stays with its identity.
    """

    key: TrackletKey
    first_us: int
    last_us: int
    look: Look
    views: int
    identity: int
    walk: Walk = field(default_factory=lambda: np.empty((0, 4)))
    whole: bool = True
    floor: GivenFloor | None = None
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Presence:
    """That an identity was in a camera from some time to another, or is there still."""

    camera: str
    first_us: int
    last_us: float
    identity: int

    def meets(self, other: Presence) -> bool:
        """Whether both were in one camera at one time, and hence are two people."""
        return self.camera == other.camera and self.first_us <= other.last_us and other.first_us <= self.last_us


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
    _settled: frozenset[TrackletKey] = frozenset()  # of which operators have spoken
    _apart: tuple[tuple[TrackletKey, TrackletKey], ...] = ()  # whom they have told apart

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
            self._open[key] = Sighting(key, update.began_us.get(number, update.time_us), update.time_us)
        for number in update.seen:
            self._open[update.camera, number].last_us = update.time_us
        for number, (_, time_us) in update.left.items():
            self._open[update.camera, number].last_us = time_us
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

    def count_closed(self) -> int:
        """How many tracklets there are that have ended."""
        return len(self._closed)

    def identities(self) -> dict[TrackletKey, int]:
        """Who the tracklets are that have an identity."""
        found = ((key, self._book.identity(key)) for key in (*self._open, *self._closed))
        return {key: identity for key, identity in found if identity is not None}

    def survivor(self, identity: int) -> int:
        """Who an identity is, after all merges."""
        return self._book.survivor(identity)

    def heed(self, news: OperatorNews) -> list[Decision]:
        """Takes up what operators have said, and gives the decisions that it comes to; they are noted already."""
        self._settled = frozenset(key for link in news.links for key in (link.first, link.second))
        self._apart = tuple((link.first, link.second) for link in news.links if not link.same)
        decisions = self._book.correct(news.identities, news.survivors)
        return [each for each in decisions if each.tracklet is None or self._holds(each.tracklet)]

    def told_apart(self) -> frozenset[tuple[int, int]]:
        """Identities that operators have told apart, the older one first."""
        pairs = ((self._book.identity(one), self._book.identity(other)) for one, other in self._apart)
        return frozenset(
            (min(one, other), max(one, other))
            for one, other in pairs
            if one is not None and other is not None and one != other
        )

    def beside(self, keys: Collection[TrackletKey]) -> list[Presence]:
        """Where identities are and were by tracklets other than some: by those that are still open, above all."""
        found = []
        for sighting in (*self._open.values(), *self._closed.values()):
            identity = self._book.identity(sighting.key)
            if identity is not None and sighting.key not in keys:
                last_us = math.inf if sighting.key in self._open else sighting.last_us
                found.append(Presence(sighting.key[0], sighting.first_us, last_us, identity))
        return found

    def of(self, identities: Collection[int]) -> dict[int, list[Sighting]]:
        """The tracklets of some identities that have a view, in the order of their ends."""
        found: dict[int, list[Sighting]] = {identity: [] for identity in identities}
        for sighting in (*self._closed.values(), *self._open.values()):
            identity = self._book.identity(sighting.key)
            if identity in found and sighting.look is not None:
                found[identity].append(sighting)
        return found

    def is_whole(self, identity: int) -> bool:
        """Whether no tracklet of an identity was forgotten."""
        return identity not in self._partial

    def known(self) -> list[Known]:
        """The closed tracklets that have an identity, in the order of their starts."""
        found = []
        for key, sighting in self._closed.items():
            identity = self._book.identity(key)
            if sighting.look is not None and identity is not None:
                direction: Look = sighting.look / np.linalg.norm(sighting.look)
                walk = np.array(sighting.walk, np.float64).reshape(-1, 4)
                whole, settled = self.is_whole(identity), key in self._settled
                span = sighting.first_us, sighting.last_us
                found.append(
                    Known(key, *span, direction, sighting.views, identity, walk, whole, sighting.floor, settled)
                )
        return sorted(found, key=lambda each: (each.first_us, each.key))

    def _holds(self, key: TrackletKey) -> bool:
        return key in self._open or key in self._closed

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
            if key not in self._settled:
                self._book.forget(key)
            surplus -= 1
