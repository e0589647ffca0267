"""Tracklets become identities over all cameras, as they come, in capture-time order.

The first pass. An identity is known by the looks it had in each camera (`gallery`). A tracklet takes an identity when
nobody else would look that much alike by chance, and the more people are in question, the more alike it must be; so
there is no threshold on a cosine to set. What chance does is learnt without labels (`AppearanceScale`): people seen
side by side are two, and of all people that a camera has seen at most the nearest is the one in question (`strangers`).
What cannot be decided yet waits; what stays unlike everybody becomes a new identity.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.appearance import AppearanceScale, Look, weigh_view
from reid_pipeline.pipeline.gallery import Gallery, Span
from reid_pipeline.pipeline.gallery_shelf import Prototypes
from reid_pipeline.pipeline.matching import assign
from reid_pipeline.pipeline.protocols import Decision, TrackletUpdate
from reid_pipeline.pipeline.strangers import Strangers
from reid_pipeline.storage.records import EventType, GalleryRow

CANDIDATES: Final = 32  # people who are looked at, in this camera and in others
PATIENCE_US: Final = 2_000_000  # how long a tracklet waits for better views before it becomes somebody new
MIN_PROBABILITY: Final = 0.99  # that a match is no chance likeness
_LONGEST_WAY_US: Final = 3_600_000_000  # no way from camera to camera is known to take longer at least

Reach = Callable[[str, str], tuple[int, int] | None]
"""Shortest and longest time from one camera to another, microseconds; None where there is no way. The shortest is
negative where both see the same place: then somebody is in the second one while still in the first."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """How somebody looked in a camera until some time: the sum of the views ``(D,)``, and the best one's quality."""

    camera: str
    last_us: int
    look: Look
    quality: float


@dataclass(slots=True)
class _Tracklet:
    first_frame: int
    last_frame: int
    start_us: int
    look: Look | None = None  # quality-weighted sum of views
    direction: Look | None = None  # the same, of norm 1
    quality: float = 0.0  # of the best view
    views: int = 0
    identity: int | None = None
    impatient: bool = False  # `PATIENCE_US` are over


@dataclass(slots=True)
class _Camera:
    """Who is in a camera, and who was."""

    tracklets: dict[int, _Tracklet] = field(default_factory=dict)  # that have not ended
    ended: dict[int, _Tracklet] = field(default_factory=dict)  # met one that waits still
    last_us: dict[int, int] = field(default_factory=dict)  # identities: when seen last; in this order, of the last hour

    def holds(self, identity: int) -> bool:
        """Whether a tracklet that has not ended is the identity's."""
        return any(each.identity == identity for each in self.tracklets.values())

    def is_present(self, identity: int, tracklet: _Tracklet) -> bool:
        """Whether the identity was somewhere else here while the tracklet lived: then they are two people."""
        met = (each for each in self.ended.values() if each.last_frame >= tracklet.first_frame)
        return self.holds(identity) or any(each.identity == identity for each in met)

    def end(self, number: int) -> None:
        tracklet = self.tracklets.pop(number, None)
        if tracklet is not None and tracklet.identity is not None:
            self.ended[number] = tracklet
        since = min((each.first_frame for each in self.tracklets.values() if each.identity is None), default=math.inf)
        self.ended = {number: each for number, each in self.ended.items() if each.last_frame >= since}

    def see(self, identity: int, time_us: int) -> None:
        self.last_us[identity] = max(time_us, self.last_us.pop(identity, time_us))

    def forget_before(self, time_us: int) -> None:
        while self.last_us and next(iter(self.last_us.values())) < time_us:
            del self.last_us[next(iter(self.last_us))]

    def merge(self, younger: int, older: int) -> None:
        for tracklet in (*self.tracklets.values(), *self.ended.values()):
            if tracklet.identity == younger:
                tracklet.identity = older
        if younger in self.last_us:
            self.see(older, self.last_us.pop(younger))


class PrototypeAssociator:
    """See `protocols.Associator`.

    Args:
        gallery: Empty, for the looks of people.
        next_identity: First number that is free; an attribute too.
        different: Mean and standard deviation of the similarity of two different people to this encoder, as its card
            says; None where it does not.
        reach: Which ways there are from camera to camera; None: everybody can be anywhere at any time.

    Attributes:
        reach: The same; it may be replaced by what was learnt since.
    """

    def __init__(
        self,
        gallery: Gallery,
        next_identity: int,
        different: tuple[float, float] | None = None,
        reach: Reach | None = None,
    ) -> None:
        self._gallery = gallery
        self.next_identity = next_identity
        self.reach = reach
        self._cameras: defaultdict[str, _Camera] = defaultdict(_Camera)
        self._strangers = Strangers()
        self._same_camera = AppearanceScale(different)  # two people in one camera
        self._across = AppearanceScale(different)  # two people in two cameras
        self._noted: dict[int, tuple[Look, float]] = {}  # in one update: sums of views and the best quality
        self._compared = 0  # people in question for those who were compared last

    def restore(self, rows: Iterable[GalleryRow]) -> None:
        """Takes up the identities of earlier runs."""
        for row in sorted(rows, key=lambda row: (row.last_us, row.time_us)):
            self._forget(row.last_us)
            self._note(row.identity, weigh_view(row.vector, row.quality), row.quality)
            self._remember(row.camera, row.last_us)

    def update(self, update: TrackletUpdate) -> list[Decision]:
        """See `protocols.Associator`."""
        self._forget(update.time_us)
        camera = self._cameras[update.camera]
        for number, first_frame in update.started:
            camera.tracklets[number] = _Tracklet(first_frame, update.frame, update.time_us)
        for number in update.seen:
            camera.tracklets[number].last_frame = update.frame
            self._see(camera, number, update.time_us)
        for number, (frame, time_us) in update.left.items():
            camera.tracklets[number].last_frame = frame
            self._see(camera, number, time_us)
        camera.forget_before(update.time_us - _LONGEST_WAY_US)
        for view in update.views:
            self._add_view(camera.tracklets[view.number], view.embedding, view.quality)
        self._learn_differences(update.camera, {view.number for view in update.views})
        decisions = self._decide(update)
        self._remember(update.camera, update.time_us)
        for number in sorted(update.ended):
            camera.end(number)
        return decisions

    def close(self) -> list[Decision]:
        """See `protocols.Associator`."""
        return []

    def apply(self, decisions: Iterable[Decision]) -> None:
        """Takes up what was decided elsewhere: who was merged is never seen again, and whose tracklets are whose.

        The looks of tracklets that change hands are not known here any more; see `relearn`.
        """
        for decision in decisions:
            if decision.tracklet is not None:
                camera, number = self._cameras[decision.tracklet[0]], decision.tracklet[1]
                tracklet = camera.tracklets.get(number) or camera.ended.get(number)
                if tracklet is not None:
                    tracklet.identity = decision.identity
            elif decision.other is not None:
                self._gallery.rename(decision.identity, decision.other)
                self._strangers.remove(decision.identity)
                for camera in self._cameras.values():
                    camera.merge(decision.identity, decision.other)

    def relearn(self, identity: int, seen: Iterable[Seen], *, forget: bool) -> None:
        """Takes in how somebody looked, in the order of time.

        Args:
            identity: Who it is.
            seen: Where, when and how.
            forget: Whether this is all, in place of what was known of that one's looks.
        """
        if forget:
            self._gallery.remove(identity)
            self._strangers.remove(identity)
        for each in seen:
            views = Prototypes(np.array([identity]), each.look[None], np.array([each.quality], np.float32))
            self._gallery.put(each.camera, each.last_us, views)

    def _see(self, camera: _Camera, number: int, time_us: int) -> None:
        identity = camera.tracklets[number].identity
        if identity is not None:
            camera.see(identity, time_us)

    def _decide(self, update: TrackletUpdate) -> list[Decision]:
        waiting = {
            number: tracklet
            for number, tracklet in self._cameras[update.camera].tracklets.items()
            if tracklet.identity is None and tracklet.look is not None
        }
        if not waiting or not self._is_news(update, waiting.values()):
            return []
        scores = dict(zip(waiting, self._score(update, list(waiting.values())), strict=True))
        decisions = list(self._match(update, scores))
        for number, tracklet in waiting.items():
            if tracklet.identity is None and self._gives_up(update, number, scores[number]):
                decisions.append(self._settle(update, number, self.take_number(), None))
        return decisions

    def _is_news(self, update: TrackletUpdate, waiting: Iterable[_Tracklet]) -> bool:
        """Whether anything has changed for those who wait; to compare them all in every frame would be for nothing."""
        news = bool(update.views or update.ended)
        for tracklet in waiting:
            if not tracklet.impatient and update.time_us - tracklet.start_us >= PATIENCE_US:
                tracklet.impatient = news = True
        return news

    def _match(self, update: TrackletUpdate, scores: Mapping[int, Mapping[int, float]]) -> Iterator[Decision]:
        """Gives the tracklets of one camera different identities, so that the likenesses are largest in sum."""
        camera = self._cameras[update.camera]
        numbers = list(scores)
        identities = sorted({identity for alike in scores.values() for identity in alike})
        table = np.zeros((len(numbers), len(identities)), np.float32)
        for row, number in enumerate(numbers):
            for identity, score in scores[number].items():
                tracklet = camera.tracklets[number]
                if not camera.is_present(identity, tracklet) and self._can_be_here(identity, tracklet, update.camera):
                    table[row, identities.index(identity)] = score
        for row, column in assign(table, table > 0):
            yield self._settle(update, numbers[row], identities[column], float(table[row, column]))

    def _can_be_here(self, identity: int, tracklet: _Tracklet, here: str) -> bool:
        """Whether there was time enough to come from where the identity was seen last."""
        for name, camera in self._cameras.items():
            if self.reach is None or name == here or identity not in camera.last_us:
                continue
            way = self.reach(name, here)
            if way is not None and tracklet.start_us - camera.last_us[identity] < way[0]:
                return False
        return True

    def _gives_up(self, update: TrackletUpdate, number: int, alike: Iterable[int]) -> bool:
        """Whether a tracklet that matches nobody should become somebody new now."""
        camera = self._cameras[update.camera]
        if number in update.ended:
            return True
        if any(camera.holds(identity) for identity in alike):
            return False  # perhaps that one's tracklet was lost and is about to end
        return camera.tracklets[number].impatient

    def _score(self, update: TrackletUpdate, waiting: Sequence[_Tracklet]) -> list[dict[int, float]]:
        """Who is too much alike for chance, and by how many deviations above different people."""
        looks = np.stack([tracklet.direction for tracklet in waiting if tracklet.direction is not None])
        spans = self._spans(update)
        here = {update.camera: spans.pop(update.camera)} if update.camera in spans else {}
        selections = [(self._same_camera, self._gallery.select(here)), (self._across, self._gallery.select(spans))]
        self._compared = sum(len(selection) for _, selection in selections)
        scores: list[dict[int, float]] = [{} for _ in waiting]
        for scale, selection in selections:
            found = self._gallery.search(looks, selection, CANDIDATES, scale.similarity(self._least_score()))
            for query, identity, similarity in found:
                scores[query][identity] = max(scores[query].get(identity, 0.0), scale.score(similarity))
        return scores

    def _spans(self, update: TrackletUpdate) -> dict[str, Span]:
        """Where and when somebody who is in a camera now can have been before."""
        spans: dict[str, Span] = {}
        for camera in self._gallery.cameras():
            way = (0, update.time_us) if self.reach is None else self.reach(camera, update.camera)
            if way is not None:
                spans[camera] = update.time_us - way[1], update.time_us - way[0]
        return spans

    def _probability(self, score: float) -> float:
        """That nobody in question would look this much alike by chance, if likeness is normally distributed."""
        tail = 0.5 * math.erfc(score / math.sqrt(2))
        return float((1.0 - tail) ** max(self._compared, 1))

    def _least_score(self) -> float:
        """The score from which a match is no chance likeness."""
        return -NormalDist().inv_cdf(1.0 - MIN_PROBABILITY ** (1.0 / max(self._compared, 1)))

    def take_number(self) -> int:
        """A number for a new identity."""
        self.next_identity += 1
        return self.next_identity - 1

    def _settle(self, update: TrackletUpdate, number: int, identity: int, score: float | None) -> Decision:
        """Gives a tracklet its identity: a new one where there is no score."""
        camera = self._cameras[update.camera]
        tracklet = camera.tracklets[number]
        tracklet.identity = identity
        camera.see(identity, update.time_us)
        if tracklet.look is not None:
            self._note(identity, tracklet.look, tracklet.quality)
        key = (update.camera, number)
        evidence = {"views": tracklet.views, "people": self._compared}
        if score is None:
            return Decision(EventType.OPEN, key, identity, None, evidence)
        probability = round(self._probability(score), 6)
        return Decision(EventType.ASSIGN, key, identity, probability, {**evidence, "score": round(score, 3)})

    def _add_view(self, tracklet: _Tracklet, embedding: Look, quality: float) -> None:
        weighted = weigh_view(embedding, quality)
        tracklet.look = weighted if tracklet.look is None else tracklet.look + weighted
        direction: Look = tracklet.look / np.linalg.norm(tracklet.look)
        tracklet.direction = direction
        tracklet.quality = max(tracklet.quality, quality)
        tracklet.views += 1
        if tracklet.identity is not None:
            self._note(tracklet.identity, weighted, quality)

    def _learn_differences(self, name: str, numbers: Iterable[int]) -> None:
        """Learns from the tracklets of a camera that have new views."""
        tracklets = self._cameras[name].tracklets
        mine = [tracklets[number] for number in sorted(numbers)]
        if not mine:
            return
        looks = np.stack([tracklet.direction for tracklet in mine if tracklet.direction is not None])
        others = [tracklet for tracklet in tracklets.values() if tracklet.direction is not None]
        similarities = looks @ np.stack([other.direction for other in others if other.direction is not None]).T
        self._same_camera.learn_all(similarities[_together(mine, others)])  # one that is lost may be this one
        strangers = dict(self._strangers.compare(looks, [tracklet.identity for tracklet in mine]))
        self._same_camera.learn_all(strangers.pop(name, np.empty(0, np.float32)))
        self._across.learn_all(np.concatenate([np.empty(0, np.float32), *strangers.values()]))

    def _note(self, identity: int, weighted: Look, quality: float) -> None:
        """Takes in a view, or a sum of views, of an identity in the camera of this update."""
        total, best = self._noted.get(identity, (np.zeros_like(weighted), 0.0))
        self._noted[identity] = total + weighted, max(quality, best)

    def _remember(self, camera: str, time_us: int) -> None:
        """Keeps what was noted."""
        if not self._noted:
            return
        looks, qualities = zip(*self._noted.values(), strict=True)
        views = Prototypes(np.array(list(self._noted)), np.stack(looks), np.array(qualities, np.float32))
        self._gallery.put(camera, time_us, views)
        self._strangers.add(camera, list(self._noted), views.totals)
        self._noted = {}

    def _forget(self, time_us: int) -> None:
        if self._gallery.is_overfull(time_us):
            there = {
                (tracklet.identity, name)
                for name, camera in self._cameras.items()
                for tracklet in camera.tracklets.values()
                if tracklet.identity is not None
            }
            self._gallery.forget(time_us, there)


def _together(some: Sequence[_Tracklet], others: Sequence[_Tracklet]) -> NDArray[np.bool_]:
    """Which of some tracklets ``(N,)`` were seen in one frame with which of the others ``(M,)``."""
    first, last = np.array([(each.first_frame, each.last_frame) for each in some]).T[:, :, None]
    other_first, other_last = np.array([(each.first_frame, each.last_frame) for each in others]).T
    same = np.array([id(each) for each in some])[:, None] == np.array([id(each) for each in others])
    together: NDArray[np.bool_] = (first <= other_last) & (other_first <= last) & ~same
    return together
