"""What operators have said about tracklets: which are one person, and which are two. The machine never overrules it.

A word is an operator's decision with the tracklets that it was about, as they were at that time: those that it says are
one person (`same`), and those that it says are not that person. A later word outdoes an earlier one, a word that was
undone was never said, and a tracklet that is gone has nothing said about it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from sqlalchemy import CompoundSelect, Connection, func, insert, or_, select, union

from reid_pipeline.storage.records import MACHINE, EventType, IdentityEvent, OperatorLink, OperatorNews
from reid_pipeline.storage.schema import Camera, DecisionTracklet, Identity, IdentityLogEntry, Tracklet, UndoneDecision
from reid_pipeline.storage.settlement import IS_UNDONE, survivor_of, tracklets_of


@dataclass(frozen=True, slots=True)
class _Words:
    """All words together, by rows of tracklets: one group is one person; `apart` holds both directions."""

    groups: Mapping[int, int]
    apart: Mapping[int, Collection[int]]

    def mates(self, tracklet: int) -> frozenset[int]:
        group = self.groups.get(tracklet)
        return frozenset(each for each, theirs in self.groups.items() if theirs == group and each != tracklet)


class OperatorWords:
    """The words of a site, read again where there are new ones."""

    def __init__(self) -> None:
        self._read: tuple[int, int] = (0, 0)  # as of `_newest`
        self._words = _Words({}, {})

    def refresh(self, connection: Connection) -> None:
        """Takes in what operators have said since the last time."""
        newest = _newest(connection)
        if newest != self._read:
            self._words = _read_words(connection)
            self._read = newest

    def are_about(self, tracklet: int | None) -> bool:
        """Whether anything was said about a tracklet."""
        return tracklet in self._words.groups

    def objection(self, connection: Connection, event: IdentityEvent, tracklet: int | None) -> str | None:
        """Why an event of the machine would overrule an operator; None where it does not."""
        match event.type:
            case EventType.MERGE:
                return self._against_merge(connection, event)
            case EventType.ASSIGN:
                return self._against_move(connection, tracklet, survivor_of(connection, event.identity))
            case EventType.SPLIT:
                return self._against_move(connection, tracklet, None)
        return None

    def _against_merge(self, connection: Connection, event: IdentityEvent) -> str | None:
        if not self._words.apart:
            return None
        one, other = survivor_of(connection, event.identity), survivor_of(connection, event.other)
        others = tracklets_of(connection, other)
        if one != other and any(not others.isdisjoint(self._apart(each)) for each in tracklets_of(connection, one)):
            return f"{one} and {other} were told apart"
        return None

    def _against_move(self, connection: Connection, tracklet: int | None, goal: int | None) -> str | None:
        if tracklet is None or tracklet not in self._words.groups:
            return None
        identity = connection.scalar(select(Tracklet.identity).where(Tracklet.id == tracklet))
        if identity == goal:
            return None
        if self._words.mates(tracklet) & tracklets_of(connection, identity):
            return f"the tracklet was said to be one with others of {identity}"
        if goal is not None and not tracklets_of(connection, goal).isdisjoint(self._apart(tracklet)):
            return f"the tracklet was said not to be of {goal}"
        return None

    def _apart(self, tracklet: int) -> Collection[int]:
        return self._words.apart.get(tracklet, ())


def keep_word(connection: Connection, log_id: int, same: Iterable[int], others: Iterable[int]) -> None:
    """Stores which tracklets a logged decision of an operator was about."""
    rows = [(each, True) for each in same] + [(each, False) for each in others]
    values = [{"log_id": log_id, "tracklet_id": tracklet, "same": is_same} for tracklet, is_same in rows]
    if values:
        connection.execute(insert(DecisionTracklet), values)


def read_links(connection: Connection) -> tuple[OperatorLink, ...]:
    """The words as links, in the order of cameras and numbers; see `Repository.operator_links`."""
    words = _read_words(connection)
    query = (
        select(Tracklet.id, Tracklet.identity, Camera.name, Tracklet.number)
        .join(Camera, Camera.id == Tracklet.camera_id)
        .where(Tracklet.id.in_(select(DecisionTracklet.tracklet_id)))
        .order_by(Camera.name, Tracklet.number)
    )
    identities: dict[int, int | None] = {}
    keys: dict[int, tuple[str, int]] = {}
    first: dict[tuple[int, int | None], int] = {}  # of the group, in an identity
    leader: dict[int, int] = {}
    for row, identity, camera, number in connection.execute(query):
        if row in words.groups:
            identities[row], keys[row] = identity, (camera, number)
            leader[row] = first.setdefault((words.groups[row], identity), row)
    links = {OperatorLink(keys[lead], keys[row], same=True) for row, lead in leader.items() if lead != row}
    for row, lead in leader.items():
        for other in words.apart.get(row, ()):
            # A word may lag behind the state where a decision before it was undone.
            if other in leader and identities[row] != identities[other]:
                one, two = sorted((keys[lead], keys[leader[other]]))
                links.add(OperatorLink(one, two, same=False))
    return tuple(sorted(links, key=lambda link: (link.first, link.second)))


def read_news(connection: Connection, after: int) -> OperatorNews | None:
    """What operators have decided after a decision of theirs; see `Repository.operator_news`."""
    newest = max(_newest(connection))
    if newest <= after:
        return None
    named = _named_after(after)
    survivor = func.coalesce(Identity.merged_into, Identity.id)
    survivors = connection.execute(select(Identity.id, survivor).where(Identity.id.in_(named)))
    tracklets = (
        select(Camera.name, Tracklet.number, Tracklet.identity)
        .join(Camera, Camera.id == Tracklet.camera_id)
        .where(
            or_(
                Tracklet.id.in_(select(DecisionTracklet.tracklet_id)),
                Tracklet.identity.in_(select(survivor).where(Identity.id.in_(named))),
            )
        )
    )
    identities = {
        (name, number): is_now for name, number, is_now in connection.execute(tracklets) if is_now is not None
    }
    return OperatorNews(newest, read_links(connection), identities, {row[0]: row[1] for row in survivors})


def _named_after(after: int) -> CompoundSelect[int]:
    """The identities that operators' decisions name."""
    entry = IdentityLogEntry
    new = (entry.actor != MACHINE) & (entry.id > after)
    return union(select(entry.identity).where(new), select(entry.other).where(new, entry.other.is_not(None)))


def _newest(connection: Connection) -> tuple[int, int]:
    """The newest word and the newest undoing, by their ids in the log; 0 where there is none."""
    word, undo = (
        connection.scalar(select(func.max(column))) for column in (DecisionTracklet.log_id, UndoneDecision.undo_id)
    )
    return word or 0, undo or 0


def _read_words(connection: Connection) -> _Words:
    entry, about = IdentityLogEntry, DecisionTracklet
    query = (
        select(about.log_id, entry.type, about.tracklet_id, about.same)
        .join(entry, entry.id == about.log_id)
        .where(~IS_UNDONE)
        .order_by(about.log_id, about.tracklet_id)
    )
    groups: dict[int, int] = {}
    apart: defaultdict[int, set[int]] = defaultdict(set)
    for (_, kind), rows in groupby(connection.execute(query), key=itemgetter(0, 1)):
        told = [(tracklet, same) for _, _, tracklet, same in rows]
        same = {tracklet for tracklet, is_same in told if is_same}
        others = {tracklet for tracklet, is_same in told if not is_same}
        for tracklet, _ in told:
            groups.setdefault(tracklet, -tracklet)
        if others:
            _separate(groups, same)
        # Who undoes the machine's merge says that two are not one, and not that each of them is.
        if kind != EventType.UNDO.value or not others:
            _unite(groups, apart, same)
        for tracklet in same:
            apart[tracklet] |= others
        for tracklet in others:
            apart[tracklet] |= same
    return _Words(groups, apart)


def _separate(groups: dict[int, int], leaving: Collection[int]) -> None:
    """Takes tracklets out of their groups; those of one group stay together."""
    fresh: dict[int, int] = {}
    for tracklet in leaving:
        fresh.setdefault(groups[tracklet], max(0, *groups.values()) + 1 + len(fresh))
    for tracklet in leaving:
        groups[tracklet] = fresh[groups[tracklet]]


def _unite(groups: dict[int, int], apart: dict[int, set[int]], same: Collection[int]) -> None:
    """Makes one group of all that the tracklets are in, and forgets what held these apart."""
    joined = {groups[tracklet] for tracklet in same}
    members = {tracklet for tracklet, group in groups.items() if group in joined}
    groups.update(dict.fromkeys(members, min(joined, default=0)))
    for each in members & apart.keys():
        apart[each] -= apart[each] & members
