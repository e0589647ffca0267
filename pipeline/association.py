"""Tracklets become identities over all cameras, as they come, in capture-time order.

First version. An identity is known by one prototype for each camera that has seen it: the quality-weighted mean of its
views there. A tracklet takes an identity when nobody else would look that much alike by chance, and the more people are
known, the more alike it must be; so there is no threshold on a cosine to set. What chance does is learnt without labels
(`AppearanceScale`): people seen side by side are two, and of all people that a camera has seen at most the nearest is
the one in question. What cannot be decided yet waits; what stays unlike everybody becomes a new identity.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np

from reid_pipeline.pipeline.appearance import AppearanceScale, Look, weigh_view
from reid_pipeline.pipeline.matching import assign
from reid_pipeline.pipeline.protocols import Decision, TrackletKey, TrackletUpdate
from reid_pipeline.storage.records import EventType, GalleryRow
from reid_pipeline.storage.vector_index import VectorIndex

CANDIDATES: Final = 32  # nearest prototypes that are looked at
PATIENCE_US: Final = 2_000_000  # how long a tracklet waits for better views before it becomes somebody new
MIN_PROBABILITY: Final = 0.99  # that a match is no chance likeness
MOST_PROTOTYPES: Final = 20_000  # some 120 MB; a comparison with all of them takes a few milliseconds
SWEEP_EVERY_US: Final = 60_000_000
STRANGERS: Final = 32  # the newest people of each camera, from whom it is learnt what chance does


@dataclass(slots=True)
class _Tracklet:
    first_frame: int
    last_frame: int
    start_us: int
    look: Look | None = None  # quality-weighted sum of views
    direction: Look | None = None  # the same, of norm 1
    views: int = 0
    identity: int | None = None
    impatient: bool = False  # `PATIENCE_US` are over

    def overlaps(self, other: _Tracklet) -> bool:
        return self.first_frame <= other.last_frame and other.first_frame <= self.last_frame


@dataclass(slots=True)
class _Presence:
    """One identity in one camera."""

    look: Look  # quality-weighted sum of views
    direction: Look  # the same, of norm 1
    key: int  # in the index
    last_us: int
    last_frame: int = 0  # where it was seen last, by tracklets that ended in this run
    open: set[int] = field(default_factory=set)  # tracklets that have not ended


class PrototypeAssociator:
    """See `protocols.Associator`.

    Args:
        index: Empty index for prototypes.
        next_identity: First number that is free.
        memory_us: Prototypes not seen for longer are forgotten, microseconds.
        different: Mean and standard deviation of the similarity of two different people to this encoder, as its card
            says; None where it does not.
    """

    def __init__(
        self, index: VectorIndex, next_identity: int, memory_us: int, different: tuple[float, float] | None = None
    ) -> None:
        self._index = index
        self._next_identity = next_identity
        self._memory_us = memory_us
        self._tracklets: dict[TrackletKey, _Tracklet] = {}
        self._presences: dict[tuple[int, str], _Presence] = {}
        self._places: dict[int, tuple[int, str]] = {}  # of the presences, by their keys in the index
        self._same_camera = AppearanceScale(different)  # two people in one camera
        self._across = AppearanceScale(different)  # two people in two cameras
        self._next_key = 1
        self._swept_us = 0

    def __len__(self) -> int:
        """How many prototypes there are."""
        return len(self._index)

    def restore(self, rows: Iterable[GalleryRow]) -> None:
        """Takes up the identities of earlier runs."""
        for row in rows:
            self._remember(row.identity, row.camera, weigh_view(row.vector, row.quality), row.last_us)

    def update(self, update: TrackletUpdate) -> list[Decision]:
        """See `protocols.Associator`."""
        self._sweep(update.time_us)
        for number, first_frame in update.started:
            self._tracklets[update.camera, number] = _Tracklet(first_frame, update.frame, update.time_us)
        for number in update.seen:
            self._tracklets[update.camera, number].last_frame = update.frame
        for view in update.views:
            self._add_view((update.camera, view.number), view.embedding, view.quality, update.time_us)
        ended = {(update.camera, number) for number in update.ended}
        decisions = self._decide(update, ended)
        for key in sorted(ended):
            self._end(key)
        return decisions

    def close(self) -> list[Decision]:
        """See `protocols.Associator`."""
        return []

    def _decide(self, update: TrackletUpdate, ended: set[TrackletKey]) -> list[Decision]:
        waiting = [
            key
            for key, tracklet in self._tracklets.items()
            if key[0] == update.camera and tracklet.identity is None and tracklet.look is not None
        ]
        if not waiting or not self._is_news(update, waiting):
            return []
        scores = {key: self._score(key) for key in waiting}
        decisions = list(self._match(waiting, scores, update.time_us))
        for key in waiting:
            if self._tracklets[key].identity is None and self._gives_up(key, scores[key], ended):
                decisions.append(self._open(key, update.time_us))
        return decisions

    def _is_news(self, update: TrackletUpdate, waiting: list[TrackletKey]) -> bool:
        """Whether anything has changed for those who wait; to compare them all in every frame would be for nothing."""
        news = bool(update.views or update.ended)
        for key in waiting:
            tracklet = self._tracklets[key]
            if not tracklet.impatient and update.time_us - tracklet.start_us >= PATIENCE_US:
                tracklet.impatient = news = True
        return news

    def _match(
        self, waiting: list[TrackletKey], scores: dict[TrackletKey, dict[int, float]], time_us: int
    ) -> Iterator[Decision]:
        """Gives the tracklets of one camera different identities, so that the likenesses are largest in sum."""
        identities = sorted({identity for candidates in scores.values() for identity in candidates})
        table = np.zeros((len(waiting), len(identities)), np.float32)
        allowed = np.zeros(table.shape, bool)
        for row, key in enumerate(waiting):
            for column, identity in enumerate(identities):
                score = scores[key].get(identity)
                if score is not None and score > 0:
                    table[row, column] = score
                    free = not self._is_present(identity, key)
                    allowed[row, column] = free and self._probability(score) >= MIN_PROBABILITY
        for row, column in assign(table, allowed):
            key, score = waiting[row], float(table[row, column])
            yield self._settle(key, identities[column], EventType.ASSIGN, time_us, score)

    def _gives_up(self, key: TrackletKey, scores: dict[int, float], ended: set[TrackletKey]) -> bool:
        """Whether a tracklet that matches nobody should become somebody new now."""
        if key in ended:
            return True
        alike = [identity for identity, score in scores.items() if self._probability(score) >= MIN_PROBABILITY]
        if any(self._presences[identity, key[0]].open for identity in alike if (identity, key[0]) in self._presences):
            return False  # perhaps that one's tracklet was lost and is about to end
        return self._tracklets[key].impatient

    def _score(self, key: TrackletKey) -> dict[int, float]:
        """How much alike the nearest identities are, in deviations above different people."""
        direction = self._tracklets[key].direction
        best: dict[int, float] = {}
        if direction is not None:
            for entry, similarity in self._index.search(direction, CANDIDATES):
                identity, camera = self._places[entry]
                scale = self._same_camera if camera == key[0] else self._across
                best[identity] = max(best.get(identity, -math.inf), scale.score(similarity))
        return best

    def _probability(self, score: float) -> float:
        """That none of the people known would look this much alike by chance, if likeness is normally distributed."""
        tail = 0.5 * math.erfc(score / math.sqrt(2))
        return float((1.0 - tail) ** max(len(self._index), 1))

    def _is_present(self, identity: int, key: TrackletKey) -> bool:
        """Whether the identity was somewhere else in this camera while the tracklet lived: then they are two people."""
        presence = self._presences.get((identity, key[0]))
        if presence is None:
            return False
        return bool(presence.open) or presence.last_frame >= self._tracklets[key].first_frame

    def take_number(self) -> int:
        """A number for a new identity."""
        self._next_identity += 1
        return self._next_identity - 1

    def _open(self, key: TrackletKey, time_us: int) -> Decision:
        return self._settle(key, self.take_number(), EventType.OPEN, time_us, None)

    def _settle(self, key: TrackletKey, identity: int, kind: EventType, time_us: int, score: float | None) -> Decision:
        tracklet = self._tracklets[key]
        tracklet.identity = identity
        if tracklet.look is not None:
            self._remember(identity, key[0], tracklet.look, time_us)
        self._presences[identity, key[0]].open.add(key[1])
        probability = None if score is None else round(self._probability(score), 6)
        evidence = {"views": tracklet.views, "people": len(self._index)}
        return Decision(
            kind, key, identity, probability, evidence if score is None else {**evidence, "score": round(score, 3)}
        )

    def _add_view(self, key: TrackletKey, embedding: Look, quality: float, time_us: int) -> None:
        tracklet = self._tracklets[key]
        weighted = weigh_view(embedding, quality)
        tracklet.look = weighted if tracklet.look is None else tracklet.look + weighted
        tracklet.direction = _unit(tracklet.look)
        tracklet.views += 1
        if tracklet.identity is not None:
            self._remember(tracklet.identity, key[0], weighted, time_us)
        self._learn_differences(key)

    def _learn_differences(self, key: TrackletKey) -> None:
        mine = self._tracklets[key]
        direction = mine.direction
        if direction is None:
            return
        for other, tracklet in self._tracklets.items():
            certain = other[0] == key[0] and other != key and mine.overlaps(tracklet)  # a lost one may be this one
            look = tracklet.direction if certain else None
            if look is not None:
                self._same_camera.learn(float(direction @ look))
        known: dict[str, list[Look]] = {}
        for (identity, camera), presence in islice(reversed(self._presences.items()), 8 * STRANGERS):
            looks = known.setdefault(camera, [])
            if identity != mine.identity and len(looks) < STRANGERS:
                looks.append(presence.direction)
        for camera, looks in known.items():
            scale = self._same_camera if camera == key[0] else self._across
            similarities = sorted((np.stack(looks) @ direction).tolist()) if looks else []
            if len(similarities) > 1:
                similarities[-1] = similarities[-2]  # the nearest may be the same person; without it chance looks tame
                for similarity in similarities:
                    scale.learn(similarity)

    def _remember(self, identity: int, camera: str, weighted: Look, time_us: int) -> None:
        place = (identity, camera)
        presence = self._presences.get(place)
        if presence is None:
            presence = self._presences[place] = _Presence(weighted, weighted, self._next_key, time_us)
            self._places[presence.key] = place
            self._next_key += 1
        else:
            presence.look = presence.look + weighted
            presence.last_us = max(presence.last_us, time_us)
        presence.direction = _unit(presence.look)
        self._index.put(presence.key, presence.direction)

    def _end(self, key: TrackletKey) -> None:
        tracklet = self._tracklets.pop(key, None)
        if tracklet is not None and tracklet.identity is not None:
            presence = self._presences[tracklet.identity, key[0]]
            presence.open.discard(key[1])
            presence.last_frame = max(presence.last_frame, tracklet.last_frame)

    def _sweep(self, time_us: int) -> None:
        """Forgets prototypes older than the memory now and then, and the oldest ones where there are too many."""
        surplus = len(self._presences) - MOST_PROTOTYPES
        if surplus <= 0 and time_us - self._swept_us < min(self._memory_us, SWEEP_EVERY_US):
            return
        self._swept_us = time_us
        count = surplus + MOST_PROTOTYPES // 10 if surplus > 0 else 0  # some more, so as not to come back at once
        idle = sorted((presence.last_us, place) for place, presence in self._presences.items() if not presence.open)
        for rank, (last_us, place) in enumerate(idle):
            if rank < count or time_us - last_us > self._memory_us:
                key = self._presences.pop(place).key
                del self._places[key]
                self._index.remove(key)


def _unit(look: Look) -> Look:
    unit: Look = look / np.linalg.norm(look)
    return unit
