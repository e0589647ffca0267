"""Decisions that turn the present identities into groups of tracklets; identities keep their numbers where they can."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from reid_pipeline.pipeline.likeness import Labels, Matrix
from reid_pipeline.pipeline.protocols import Decision
from reid_pipeline.pipeline.sightings import Known, Presence
from reid_pipeline.storage.records import EventType, JsonScalar

_SETTLED: Final = 1_000_000_000  # an operator's word counts as so many views


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Tracklets in groups, and what was learnt on the way.

    Attributes:
        labels: ``(N,)``, the group of each tracklet.
        probability: ``(N, N)``, by looks, that two are one person.
        shortest_us: How long it takes at least from one camera to another, as far as that is known.
    """

    labels: Labels
    probability: Matrix
    shortest_us: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def only(self, places: Sequence[int]) -> Grouping:
        """Some of the tracklets."""
        chosen = np.array(places, np.int64)
        return Grouping(self.labels[chosen], self.probability[np.ix_(chosen, chosen)], self.shortest_us)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What groups do not know of.

    Attributes:
        apart: Pairs of identities that operators have told apart, the older one first.
        beside: Where identities are by tracklets that are in no group, as by those that are still open.
    """

    apart: Collection[tuple[int, int]] = frozenset()
    beside: Mapping[int, Sequence[Presence]] = field(default_factory=dict)

    def of(self, identities: Iterable[int]) -> list[Presence]:
        """Where some identities are beside their groups."""
        return [presence for identity in identities for presence in self.beside.get(identity, ())]


def regroup(
    known: Sequence[Known], grouping: Grouping, take_number: Callable[[], int], bounds: Bounds | None = None
) -> Iterator[Decision]:
    """The decisions that turn the present identities into the groups.

    Each identity goes to the group that holds most of its views, or where an operator wants it. A group takes the
    oldest of those that come to it; the others are merged into it, tracklets of identities that went elsewhere are
    moved to it. A group to which none comes becomes somebody new, and so does a tracklet that was seen beside whom it
    should be moved to.

    Args:
        known: The tracklets, as they are now.
        grouping: Their groups. A settled one is with all settled ones of its identity, and with none told apart.
        take_number: Gives numbers of new identities.
        bounds: What the groups do not know of.
    """
    bounds = bounds or Bounds()
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for position, label in enumerate(grouping.labels.tolist()):
        groups[label].append(position)
    homes = _homes(known, groups)
    merged: list[Decision] = []
    for label, members in groups.items():
        arrived = sorted(identity for identity, home in homes.items() if home == label)
        yield from _move(known, grouping, members, arrived, (take_number, bounds))
        mergeable = _mergeable(known, members, arrived, bounds)
        merged += [_merge(known, grouping, members, each, arrived[0]) for each in mergeable]
    yield from merged  # last: what is moved away from an identity must be gone before it is merged


def _homes(known: Sequence[Known], groups: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """The group of each identity."""
    views: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for label, members in groups.items():
        for position in members:
            each = known[position]
            views[each.identity][label] += each.views + (_SETTLED if each.settled else 0)
    return {identity: min(count, key=lambda label: (-count[label], label)) for identity, count in views.items()}


def _move(
    known: Sequence[Known],
    grouping: Grouping,
    members: Sequence[int],
    arrived: Sequence[int],
    how: tuple[Callable[[], int], Bounds],
) -> Iterator[Decision]:
    """Gives those members to the group's identity that are taken for somebody who went elsewhere."""
    take_number, bounds = how
    strangers = [position for position in members if known[position].identity not in arrived]
    identity = arrived[0] if arrived else take_number()
    beside = bounds.of([identity])
    for position in strangers:
        rest = [other for other in members if other != position]
        alone = any(presence.meets(_presence(known[position])) for presence in beside)
        new = alone or (not arrived and position == members[0])
        yield Decision(
            EventType.SPLIT if new else EventType.ASSIGN,
            known[position].key,
            take_number() if alone else identity,
            None if alone else _mean_probability(grouping, [position], rest),
            _evidence(members),
            other=known[position].identity if new else None,
        )


def _mergeable(known: Sequence[Known], members: Sequence[int], arrived: Sequence[int], bounds: Bounds) -> Iterator[int]:
    """Those to be merged into the oldest, one after the other; none that cannot be one with those before it.

    Forgotten tracklets are not compared: those of two identities may be two people in one picture. So of identities
    that have some only one may be among them.
    """
    partial = {known[position].identity for position in members if not known[position].whole}
    inside = [_presence(known[position]) for position in members]
    taken = list(arrived[:1])
    for identity in arrived[1:]:
        forgotten = identity in partial and not partial.isdisjoint(taken)
        told_apart = any((min(each, identity), max(each, identity)) in bounds.apart for each in taken)
        if not forgotten and not told_apart and not _meet(inside, bounds.of([*taken, identity])):
            taken.append(identity)
            yield identity


def _meet(inside: Sequence[Presence], beside: Sequence[Presence]) -> bool:
    """Whether anybody beside a group meets somebody else beside it, or in it."""
    others = [*inside, *beside]
    return any(one.meets(other) for one in beside for other in others if one is not other)


def _presence(known: Known) -> Presence:
    return Presence(known.key[0], known.first_us, known.last_us, known.identity)


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
