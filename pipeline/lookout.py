"""A run looks out for those on the watch lists: each tracklet that may be one of them is told, once an entry.

An entry by identity is met by a tracklet that the associator gives to that identity, now or by a later merge; an entry
by examples by one whose mean look is alike enough to the mean of the examples. "Enough" is a probability: the entry
says which part of its alerts may be wrong, and probabilities are calibrated, so an alert needs 1 less that part.

    TrackletUpdate, Decisions -> Lookout -> NewAlert -> Journal (its row and its line in `events.ndjson`)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from reid_pipeline.pipeline.appearance import Look, weigh_view
from reid_pipeline.pipeline.calibration import Calibration, load_calibration
from reid_pipeline.pipeline.encoder import GraphEncoder
from reid_pipeline.pipeline.identity_book import IdentityBook
from reid_pipeline.pipeline.protocols import Decision, TrackletKey, TrackletUpdate
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.records import NewAlert
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.watch_lists import ActiveEntry, read_active

logger = logging.getLogger(__name__)

REFRESH_S: Final = 3.0  # wall clock: an entry that is approved, ended or over counts as such so much later
_MOST_RECENT: Final = 2_000  # tracklets that a later merge is told of
_SURE: Final = 1.0  # where the machine gives no probability: a person has said who it is, or nobody was there before


@dataclass(frozen=True, slots=True)
class Eyes:
    """What looks are compared by: the encoder's hash, and what its similarities mean on the site."""

    model_hash: str
    calibration: Calibration


@dataclass(slots=True)
class Lookout:
    """Tells which tracklets may be somebody who is watched for.

    Args:
        read: Gives the entries that are active now.
        eyes: What the looks of this run are by.
        open_eyes: What those by another encoder are.
        tracklets: How many the site has: among more, less is claimed.
        clock: Seconds.
    """

    read: Callable[[], Sequence[ActiveEntry]]
    eyes: Eyes
    open_eyes: Callable[[GraphEncoder], Eyes]
    tracklets: int
    clock: Callable[[], float] = time.monotonic
    _entries: tuple[ActiveEntry, ...] = ()
    _read_s: float | None = None
    _looks: dict[TrackletKey, Look | None] = field(default_factory=dict)  # of open tracklets: sums of views
    _recent: dict[TrackletKey, float] = field(default_factory=dict)  # and how probable what was decided last is
    _book: IdentityBook = field(default_factory=IdentityBook)
    _told: dict[int, set[TrackletKey]] = field(default_factory=dict)

    def change_encoder(self, encoder: GraphEncoder) -> None:
        """Goes on with another encoder; an entry without an example for it is warned of."""
        self.eyes = self.open_eyes(encoder)
        self._looks = dict.fromkeys(self._looks)
        self._warn(self._entries)

    def heed(self, update: TrackletUpdate, decisions: Sequence[Decision]) -> list[NewAlert]:
        """Takes in the next frame of any camera and what was decided with it; gives what is to be told."""
        fresh = self._refresh()
        self._see(update)
        self._decide(decisions)
        alerts = [*self._by_identity(decisions, update.time_us), *self._by_look(update)]
        for entry in fresh:
            alerts += self._at_once(entry, update.time_us)
        for number in update.ended:
            self._looks.pop((update.camera, number), None)
        return alerts

    def identity(self, key: TrackletKey) -> int | None:
        """Who a tracklet is said to be."""
        return self._book.identity(key)

    def _refresh(self) -> tuple[ActiveEntry, ...]:
        """Reads the entries again where it is time, and gives those that are new."""
        now_s = self.clock()
        if self._read_s is not None and now_s - self._read_s < REFRESH_S:
            return ()
        self._read_s, before = now_s, {entry.id for entry in self._entries}
        self._entries = tuple(self.read())
        self._told = {entry.id: self._told.get(entry.id, set()) for entry in self._entries}
        fresh = tuple(entry for entry in self._entries if entry.id not in before)
        self._warn(fresh)
        return fresh

    def _warn(self, entries: Sequence[ActiveEntry]) -> None:
        for entry in entries:
            if entry.identity is None and self.eyes.model_hash not in entry.examples:
                logger.warning("watch entry %d has no example for this encoder: it sees nobody, add it anew", entry.id)

    def _see(self, update: TrackletUpdate) -> None:
        self.tracklets += len(update.started)
        for number, _ in update.started:
            self._looks[update.camera, number] = None
        for view in update.views:
            key, look = (update.camera, view.number), weigh_view(view.embedding, view.quality)
            known = self._looks.get(key)
            self._looks[key] = look if known is None else known + look

    def _decide(self, decisions: Sequence[Decision]) -> None:
        self._book.apply(decisions)
        for decision in decisions:
            if decision.tracklet is not None:
                self._recent.pop(decision.tracklet, None)
                self._recent[decision.tracklet] = _SURE if decision.probability is None else decision.probability
        while len(self._recent) > _MOST_RECENT:
            key = next(iter(self._recent))
            del self._recent[key]
            self._book.forget(key)

    def _by_identity(self, decisions: Sequence[Decision], time_us: int) -> Iterator[NewAlert]:
        for decision in decisions:
            keys = list(self._recent) if decision.tracklet is None else [decision.tracklet]
            probability = _SURE if decision.probability is None else decision.probability
            for entry in self._entries:
                for key in keys:
                    if self._is_meant(entry, key):
                        yield from self._tell(entry, key, time_us, probability)

    def _by_look(self, update: TrackletUpdate) -> Iterator[NewAlert]:
        for number in sorted({view.number for view in update.views}):
            for entry in self._entries:
                yield from self._compare(entry, (update.camera, number), update.time_us)

    def _at_once(self, entry: ActiveEntry, time_us: int) -> Iterator[NewAlert]:
        """Whether a new entry means somebody who is in a picture already."""
        for key in self._looks:
            if self._is_meant(entry, key):
                yield from self._tell(entry, key, time_us, self._recent.get(key, _SURE))
            yield from self._compare(entry, key, time_us)

    def _is_meant(self, entry: ActiveEntry, key: TrackletKey) -> bool:
        identity = self._book.identity(key)
        return identity is not None and entry.identity is not None and identity == self._book.survivor(entry.identity)

    def _compare(self, entry: ActiveEntry, key: TrackletKey, time_us: int) -> Iterator[NewAlert]:
        look, examples = self._looks.get(key), entry.examples.get(self.eyes.model_hash)
        if look is None or examples is None:
            return
        similarity = float(examples.mean(axis=0) @ look) / max(float(np.linalg.norm(look)), 1e-9)
        calibration = self.eyes.calibration
        share = calibration.share_among(self.tracklets)
        [probability] = calibration.probability(np.array([similarity]), None, key[0], share).tolist()
        yield from self._tell(entry, key, time_us, round(probability, 6))

    def _tell(self, entry: ActiveEntry, key: TrackletKey, time_us: int, probability: float) -> Iterator[NewAlert]:
        if probability >= 1.0 - entry.rate and key not in self._told[entry.id]:
            self._told[entry.id].add(key)
            yield NewAlert(entry.id, *key, time_us, probability)


def build_lookout(database: Database, repository: Repository, encoder: GraphEncoder) -> Lookout:
    """The lookout of a run on a site, by the encoder that the run begins with."""

    def open_eyes(encoder: GraphEncoder) -> Eyes:
        calibration = load_calibration(repository, encoder.model_hash, encoder.different)
        return Eyes(encoder.model_hash, calibration)

    return Lookout(
        lambda: read_active(database, time.time_ns() // 1000),
        open_eyes(encoder),
        open_eyes,
        repository.totals().tracklets,
    )
