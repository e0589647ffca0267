"""Identities in two passes: at once while people walk by, and again over all closed tracklets at the end of a run.

The first pass knows only what was before; the second one sees all at once, learns from it what "alike" means here and
how long the ways between the cameras take, and which of them see the same floor (`likeness`, `transit`, `ground`), and
groups the tracklets anew (`clustering`). Where that says otherwise, it merges identities and moves tracklets;
identities keep their numbers as far as possible.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit

from reid_pipeline.pipeline.association import PrototypeAssociator
from reid_pipeline.pipeline.clustering import cluster_tracklets
from reid_pipeline.pipeline.ground import judge_meetings
from reid_pipeline.pipeline.likeness import MIN_TRACKLETS, Labels, Matrix, find_apart, judge_few, judge_if_telling
from reid_pipeline.pipeline.protocols import Decision, TrackletUpdate
from reid_pipeline.pipeline.sightings import Known, Sightings
from reid_pipeline.pipeline.transit import find_separate, learn_transit, measure_gaps
from reid_pipeline.storage.records import EventType, GalleryRow, JsonScalar

FEWEST_TRACKLETS: Final = 10  # with fewer, the first pass stands
_LEAST_DOUBT: Final = 1e-5  # without any doubt nobody would be joined
_WORTH: Final = 250.0  # a join may be wrong with so many times the wanted rate: most joins are far from doubtful
_FIRST_PASS: Final = 3.0  # log-odds that it was right
_LIKENESS_STEP: Final = 0.1  # of the cosine: so much more alike is e times as likely, about


@dataclass(frozen=True, slots=True)
class Grouping:
    """Tracklets ``(N,)`` in groups by label, and the probability by looks ``(N, N)`` that two are one person."""

    labels: Labels
    probability: Matrix


class TwoPassAssociator:
    """See `protocols.Associator`.

    Args:
        first: The first pass.
        memory_us: Tracklets that ended longer ago are not looked at again, microseconds.
        false_merge_rate: How many joins may be false, as a part of all, 0-1.
        topology: Whether to learn and use how long people take from camera to camera.
    """

    def __init__(self, first: PrototypeAssociator, memory_us: int, false_merge_rate: float, *, topology: bool) -> None:
        self._first = first
        self._sightings = Sightings(memory_us)
        self._doubt = min(max(_WORTH * false_merge_rate, _LEAST_DOUBT), 0.5)
        self._topology = topology

    def restore(self, rows: Iterable[GalleryRow]) -> None:
        """See `protocols.Associator`."""
        known = list(rows)
        self._first.restore(known)
        self._sightings.restore(known)

    def update(self, update: TrackletUpdate) -> list[Decision]:
        """See `protocols.Associator`."""
        decisions = self._first.update(update)
        self._sightings.note(update)
        self._sightings.decide(decisions)
        return decisions

    def close(self) -> list[Decision]:
        """See `protocols.Associator`."""
        decisions = self._first.close()
        self._sightings.decide(decisions)
        known = self._sightings.known()
        grouping = group_tracklets(known, self._doubt, topology=self._topology)
        if grouping is not None:
            decisions = decisions + list(regroup(known, grouping, self._first.take_number))
        return decisions


def group_tracklets(known: Sequence[Known], doubt: float, *, topology: bool) -> Grouping | None:
    """Groups tracklets by person; None where there is too little to learn from, or it does not fit together.

    Args:
        known: The tracklets.
        doubt: Probability with which a join may be wrong.
        topology: Whether gaps between sightings and meetings on a floor that two cameras see count.
    """
    if not known:
        return None
    first_us, last_us = (
        np.array(each, np.int64) for each in zip(*((k.first_us, k.last_us) for k in known), strict=True)
    )
    cameras = np.unique([each.key[0] for each in known], return_inverse=True)[1].astype(np.int64)
    looks = np.stack([each.look for each in known])
    apart = find_apart(cameras, first_us, last_us)
    judged = judge_if_telling(looks, cameras, apart)
    meetings = np.zeros(apart.shape)
    if topology:
        likeness = np.asarray(looks @ looks.T, np.float64) / _LIKENESS_STEP
        meetings = judge_meetings([each.walk for each in known], cameras, likeness)
    few = judged is None and FEWEST_TRACKLETS <= len(known) < MIN_TRACKLETS
    if judged is None and not few and not meetings.any():
        return None
    odds = (judge_few(looks, apart) if few else _odds_of_first_pass(known)) if judged is None else judged.log_odds
    probability = np.where(apart, 0.0, expit(odds + meetings))
    transit = np.zeros_like(odds)
    if topology and judged is not None:
        gaps_s = measure_gaps(first_us / 1e6, last_us / 1e6)
        apart |= find_separate(gaps_s, cameras, probability)
        probability[apart] = 0.0
        transit = learn_transit(gaps_s, first_us / 1e6, cameras, probability)
    least = math.log((1.0 - doubt) / doubt)
    return Grouping(cluster_tracklets(odds, transit, apart, first_us / 1e6, least, meetings), probability)


def _odds_of_first_pass(known: Sequence[Known]) -> Matrix:
    """What the first pass said, as log-odds ``(N, N)`` that a meeting outweighs."""
    identities = np.array([each.identity for each in known])
    return np.where(identities[:, None] == identities[None], _FIRST_PASS, -_FIRST_PASS)


def regroup(known: Sequence[Known], grouping: Grouping, take_number: Callable[[], int]) -> Iterator[Decision]:
    """The decisions that turn the present identities into the groups.

    Each identity goes to the group that holds most of its views. A group takes the oldest of those that come to it; the
    others are merged into it, tracklets of identities that went elsewhere are moved to it. A group to which none comes
    becomes somebody new.
    """
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for position, label in enumerate(grouping.labels.tolist()):
        groups[label].append(position)
    homes = _homes(known, groups)
    merged: list[Decision] = []
    for label, members in groups.items():
        arrived = sorted(identity for identity, home in homes.items() if home == label)
        yield from _move(known, grouping, members, arrived, take_number)
        merged += [_merge(known, grouping, members, each, arrived[0]) for each in _mergeable(known, members, arrived)]
    yield from merged  # last: what is moved away from an identity must be gone before it is merged


def _homes(known: Sequence[Known], groups: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """The group of each identity."""
    views: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for label, members in groups.items():
        for position in members:
            views[known[position].identity][label] += known[position].views
    return {identity: min(count, key=lambda label: (-count[label], label)) for identity, count in views.items()}


def _move(
    known: Sequence[Known],
    grouping: Grouping,
    members: Sequence[int],
    arrived: Sequence[int],
    take_number: Callable[[], int],
) -> Iterator[Decision]:
    """Gives those members to the group's identity that are taken for somebody who went elsewhere."""
    strangers = [position for position in members if known[position].identity not in arrived]
    identity = arrived[0] if arrived else take_number()
    for position in strangers:
        rest = [other for other in members if other != position]
        new = not arrived and position == members[0]
        yield Decision(
            EventType.SPLIT if new else EventType.ASSIGN,
            known[position].key,
            identity,
            _mean_probability(grouping, [position], rest),
            _evidence(members),
            other=known[position].identity if new else None,
        )


def _mergeable(known: Sequence[Known], members: Sequence[int], arrived: Sequence[int]) -> Iterator[int]:
    """Those to be merged into the oldest. Of identities that have forgotten tracklets only one may be among them.

    Forgotten tracklets are not compared: those of two identities may be two people in one picture.
    """
    partial = {known[position].identity for position in members if not known[position].whole}
    taken = bool(arrived) and arrived[0] in partial
    for identity in arrived[1:]:
        if identity in partial and taken:
            continue
        taken = taken or identity in partial
        yield identity


def _merge(known: Sequence[Known], grouping: Grouping, members: Sequence[int], younger: int, older: int) -> Decision:
    of_younger = [position for position in members if known[position].identity == younger]
    rest = [position for position in members if known[position].identity != younger]
    probability = _mean_probability(grouping, of_younger, rest)
    return Decision(EventType.MERGE, None, younger, probability, _evidence(members), other=older)


def _mean_probability(grouping: Grouping, some: Sequence[int], others: Sequence[int]) -> float | None:
    if not others:
        return None
    return round(float(grouping.probability[np.ix_(some, others)].mean()), 6)


def _evidence(members: Sequence[int]) -> dict[str, JsonScalar]:
    return {"pass": 2, "tracklets": len(members)}
