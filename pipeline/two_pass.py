"""Identities in two passes: at once while people walk by, and again and again over all closed tracklets.

The first pass knows only what was before; the second one sees all at once, learns from it what "alike" means here and
how long the ways between the cameras take, and which of them see the same floor (`likeness`, `transit`, `ground`), and
groups the tracklets anew (`clustering`). Where that says otherwise, it merges identities and moves tracklets
(`regrouping`), and the first pass goes on from there. What operators have said, both take as given.

A pass comes whenever the tracklets have become some more, and at the end of a run: that depends on nothing but the
tracklets and their times. Where cameras are live it is judged in a thread of its own, while the first
pass goes on.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from scipy.special import expit

from reid_pipeline.pipeline.association import PrototypeAssociator, Reach, Seen
from reid_pipeline.pipeline.clustering import cluster_tracklets
from reid_pipeline.pipeline.ground import judge_meetings
from reid_pipeline.pipeline.likeness import MIN_TRACKLETS, Labels, Mask, Matrix, find_apart, judge_few, judge_if_telling
from reid_pipeline.pipeline.protocols import Decision, TrackletKey, TrackletUpdate
from reid_pipeline.pipeline.regrouping import Bounds, Grouping, regroup
from reid_pipeline.pipeline.sightings import Known, Presence, Sightings
from reid_pipeline.pipeline.steady_time import SteadyTime
from reid_pipeline.pipeline.transit import find_separate, learn_shortest, learn_transit, measure_gaps
from reid_pipeline.storage.records import EventType, GalleryRow, OperatorNews

Operators = Callable[[int], OperatorNews | None]
"""What operators have decided after a decision in the log, see `Repository.operator_news`."""

FEWEST_TRACKLETS: Final = 10  # with fewer, the first pass stands
_LEAST_DOUBT: Final = 1e-5  # without any doubt nobody would be joined
_WORTH: Final = 250.0  # a join may be wrong with so many times the wanted rate: most joins are far from doubtful
_FIRST_PASS: Final = 3.0  # log-odds that it was right
_TOLD: Final = 1e3  # log-odds of what an operator has said: beyond all that looks and ways can say
_GROWTH: Final = (
    5  # a pass comes when one part more of so many has ended: all passes take some times what the last does
)
LONGEST_PERIOD_US: Final = 1_800_000_000  # capture time between two passes, where any tracklet has ended
_FOREVER_US: Final = 2**62
_LIKENESS_STEP: Final = 0.1  # of the cosine: so much more alike is e times as likely, about


@dataclass(frozen=True, slots=True)
class _Judging:
    """Tracklets on which a pass was begun, and the groups to come."""

    known: Sequence[Known]
    grouping: Future[Grouping | None]


def no_operators(_: int) -> OperatorNews | None:
    """Where nobody else decides."""
    return None


class TwoPassAssociator:
    """See `protocols.Associator`.

    Args:
        first: The first pass.
        memory_us: Tracklets that ended longer ago are not looked at again, microseconds.
        false_merge_rate: How many joins may be false, as a part of all, 0-1.
        topology: Whether to learn and use how long people take from camera to camera.
        operators: Who else decides about identities; asked before each pass.
        worker: Where passes during the run are judged, so that none holds it up; what is found then depends on the
            speed of the machine. None: at once.
    """

    def __init__(
        self,
        first: PrototypeAssociator,
        memory_us: int,
        false_merge_rate: float,
        *,
        topology: bool,
        operators: Operators = no_operators,
        worker: Executor | None = None,
    ) -> None:
        self._first = first
        self._sightings = Sightings(memory_us)
        self._doubt = min(max(_WORTH * false_merge_rate, _LEAST_DOUBT), 0.5)
        self._group = partial(group_tracklets, doubt=self._doubt, topology=topology)
        self._operators = operators
        self._heard = -1  # of the operators' decisions the last one that is known here
        self._worker = worker
        self._judging: _Judging | None = None
        self._time = SteadyTime()
        self._ended = 0  # tracklets since the last pass was begun
        self._last_us: int | None = None  # when that was

    @property
    def next_identity(self) -> int:
        """See `protocols.Associator`."""
        return self._first.next_identity

    def restore(self, rows: Iterable[GalleryRow]) -> None:
        """See `protocols.Associator`."""
        news = self._operators(self._heard)  # before the rows: what is said in between is heard again
        known = list(rows)
        self._first.restore(known)
        self._sightings.restore(known)
        if news is not None:
            self._heard = news.log_id
            self._sightings.heed(news)

    def take_over(self, update: TrackletUpdate, identities: Mapping[int, int], next_identity: int) -> None:
        """See `protocols.Associator`."""
        self._first.next_identity = max(self._first.next_identity, next_identity)
        update = self._time.steady(update)
        self._first.update(update)
        self._sightings.note(update)
        decisions = [
            Decision(EventType.ASSIGN, (update.camera, number), identity, None, {})
            for number, identity in identities.items()
        ]
        self._first.apply(decisions)
        self._sightings.decide(decisions)

    def update(self, update: TrackletUpdate) -> list[Decision]:
        """See `protocols.Associator`."""
        update = self._time.steady(update)
        decisions = self._first.update(update)
        self._sightings.note(update)
        self._sightings.decide(decisions)
        self._ended += len(update.ended)
        if self._judging is not None:
            return decisions + self._finish(self._judging)
        return decisions + self._begin() if self._is_due(update.time_us) else decisions

    def close(self) -> list[Decision]:
        """See `protocols.Associator`."""
        decisions = self._first.close()
        self._sightings.decide(decisions)
        self._judging = None  # all is judged once more
        return decisions + self._look_again()

    def _is_due(self, time_us: int) -> bool:
        enough = max(FEWEST_TRACKLETS, self._sightings.count_closed() // _GROWTH)
        self._last_us = time_us if self._last_us is None else self._last_us
        late = time_us - self._last_us >= LONGEST_PERIOD_US and self._ended > 0
        if self._ended < enough and not late:
            return False
        self._ended, self._last_us = 0, time_us
        return True

    def _begin(self) -> list[Decision]:
        """Does a pass, or has it done beside the run."""
        if self._worker is None:
            return self._look_again()
        self._heed_operators()
        known = self._sightings.known()
        grouping = self._worker.submit(self._group, known, told_apart=self._sightings.told_apart())
        self._judging = _Judging(known, grouping)
        return []

    def _finish(self, judging: _Judging) -> list[Decision]:
        """Takes up what a pass beside the run has found, if it is done; nothing where operators have spoken since."""
        if not judging.grouping.done():
            return []
        self._judging = None
        grouping = judging.grouping.result()
        if self._heed_operators() or grouping is None:
            return []
        now = {each.key: each for each in self._sightings.known()}
        places = [place for place, each in enumerate(judging.known) if each.key in now]
        return self._take_up([now[judging.known[place].key] for place in places], grouping.only(places))

    def _look_again(self) -> list[Decision]:
        self._heed_operators()
        known = self._sightings.known()
        grouping = self._group(known, told_apart=self._sightings.told_apart())
        return [] if grouping is None else self._take_up(known, grouping)

    def _take_up(self, known: Sequence[Known], grouping: Grouping) -> list[Decision]:
        """Decides what groups of tracklets say, as they are now."""
        bounds = Bounds(self._sightings.told_apart(), self._beside({each.key for each in known}))
        decisions = list(regroup(known, grouping, self._first.take_number, bounds))
        before = self._sightings.identities()
        self._sightings.decide(decisions)
        self._tell_first(decisions, before)
        if grouping.shortest_us:
            self._first.reach = _reach(grouping.shortest_us)
        return decisions

    def _beside(self, keys: set[TrackletKey]) -> dict[int, list[Presence]]:
        found: dict[int, list[Presence]] = {}
        for presence in self._sightings.beside(keys):
            found.setdefault(presence.identity, []).append(presence)
        return found

    def _heed_operators(self) -> bool:
        """Takes over what operators have decided; whether there was anything."""
        news = self._operators(self._heard)
        if news is None:
            return False
        self._heard = news.log_id
        before = self._sightings.identities()
        self._tell_first(self._sightings.heed(news), before)
        return True

    def _tell_first(self, decisions: Sequence[Decision], before: Mapping[TrackletKey, int]) -> None:
        """Has the first pass go on from what was decided here.

        Sums of views cannot be parted: whose tracklets have changed, his looks are put together anew. Where some of
        them are forgotten here, what is known there stays, and looks are added.
        """
        self._first.apply(decisions)
        now = self._sightings.identities()
        moved = {each.tracklet for each in decisions if each.tracklet is not None and each.tracklet in now}
        sides = [*(before[key] for key in moved if key in before), *(now[key] for key in moved)]
        for identity, sightings in self._sightings.of({self._sightings.survivor(each) for each in sides}).items():
            whole = self._sightings.is_whole(identity)
            seen = (
                Seen(each.key[0], each.last_us, each.look, each.quality)
                for each in sightings
                if each.look is not None and (whole or each.key in moved)
            )
            self._first.relearn(identity, seen, forget=whole)


def _reach(shortest_us: Mapping[tuple[str, str], int]) -> Reach:
    """Everybody can come from anywhere at any time, but for the ways of which the shortest time is known."""
    return lambda before, now: (shortest_us.get((before, now), -_FOREVER_US), _FOREVER_US)


def group_tracklets(
    known: Sequence[Known], doubt: float, *, topology: bool, told_apart: Collection[tuple[int, int]] = ()
) -> Grouping | None:
    """Groups tracklets by person; None where there is too little to learn from, or it does not fit together.

    Args:
        known: The tracklets.
        doubt: Probability with which a join may be wrong.
        topology: Whether gaps between sightings and meetings on a floor that two cameras see count.
        told_apart: Pairs of identities whose settled tracklets are two people.
    """
    if not known:
        return None
    first_us, last_us = (
        np.array(each, np.int64) for each in zip(*((k.first_us, k.last_us) for k in known), strict=True)
    )
    cameras = np.unique([each.key[0] for each in known], return_inverse=True)[1].astype(np.int64)
    looks = np.stack([each.look for each in known])
    one, two = _told(known, told_apart)
    apart = (find_apart(cameras, first_us, last_us) | two) & ~one
    judged = judge_if_telling(looks, cameras, apart)
    meetings = np.zeros(apart.shape)
    if topology:
        likeness = np.asarray(looks @ looks.T, np.float64) / _LIKENESS_STEP
        floors = [each.floor for each in known]
        meetings = judge_meetings([each.walk for each in known], cameras, likeness, floors)
    few = judged is None and FEWEST_TRACKLETS <= len(known) < MIN_TRACKLETS
    if judged is None and not few and not meetings.any():
        return None
    odds = (judge_few(looks, apart) if few else _odds_of_first_pass(known)) if judged is None else judged.log_odds
    odds = np.where(one, _TOLD, odds)
    probability = np.where(apart, 0.0, expit(odds + meetings))
    transit = np.zeros_like(odds)
    if topology and judged is not None:
        gaps_s = measure_gaps(first_us / 1e6, last_us / 1e6)
        apart |= find_separate(gaps_s, cameras, probability) & ~one
        probability[apart] = 0.0
        transit = learn_transit(gaps_s, first_us / 1e6, cameras, probability)
    least = math.log((1.0 - doubt) / doubt)
    labels = cluster_tracklets(odds, transit, apart, first_us / 1e6, least, meetings)
    return Grouping(labels, probability, _learn_ways(known, labels) if topology else {})


def _told(known: Sequence[Known], apart: Collection[tuple[int, int]]) -> tuple[Mask, Mask]:
    """Pairs ``(N, N)`` that stay one person, and pairs that are two, as operators have said."""
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, each in enumerate(known):
        if each.settled:
            places[each.identity].append(place)
    one, two = np.zeros((2, len(known), len(known)), np.bool_)
    for mine in places.values():
        one[np.ix_(mine, mine)] = True
    np.fill_diagonal(one, False)
    for pair in apart:
        some, others = (places.get(identity, []) for identity in pair)
        two[np.ix_(some, others)] = two[np.ix_(others, some)] = True
    return one, two


def _learn_ways(known: Sequence[Known], labels: Labels) -> dict[tuple[str, str], int]:
    """See `Grouping.shortest_us`."""
    names, cameras = np.unique([each.key[0] for each in known], return_inverse=True)
    starts_s, ends_s = (np.array(each) / 1e6 for each in zip(*((k.first_us, k.last_us) for k in known), strict=True))
    shortest_s = learn_shortest(starts_s, ends_s, cameras.astype(np.int64), labels)
    return {(str(names[one]), str(names[other])): round(way * 1e6) for (one, other), way in shortest_s.items()}


def _odds_of_first_pass(known: Sequence[Known]) -> Matrix:
    """What the first pass said, as log-odds ``(N, N)`` that a meeting outweighs."""
    identities = np.array([each.identity for each in known])
    return np.where(identities[:, None] == identities[None], _FIRST_PASS, -_FIRST_PASS)
