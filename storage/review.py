"""The links of the machine that may be wrong, for people to look at: the newest first.

Only links that still hold are shown, that no operator has said anything about, and of people whom no camera saw
that whoever looks may not see: they could not decide about others. The log is walked backwards, so much at a time, as
it has no index for this and millions of rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Row, Select, exists, func, select
from sqlalchemy.orm import Session

from reid_pipeline.storage.database import Database
from reid_pipeline.storage.permissions import Access, Permission
from reid_pipeline.storage.records import MACHINE, EventType
from reid_pipeline.storage.schema import Camera, Crop, DecisionTracklet, Identity, IdentityLogEntry, Tracklet
from reid_pipeline.storage.settlement import IS_UNDONE, assignments

LOWEST, HIGHEST = 0.5, 0.98
"""Below a link is more likely wrong, and the machine hardly makes it; above it is hardly ever wrong."""

_ENTRIES: Final = 50_000  # of the log that one question goes through
_LINKS: Final = 200  # that one question looks into
_COMPARED: Final = 60  # tracklets of a side whose pictures are looked for
_PICTURES: Final = 6  # shown of a side

_Entry = Row[int, str, int, int, int | None, int | None, float | None, int]


@dataclass(frozen=True, slots=True)
class SeenTracklet:
    """A tracklet with its best pictures, the best first."""

    camera: str
    number: int
    first_us: int
    last_us: int
    crops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UncertainLink:
    """A link of the machine that may be wrong.

    Attributes:
        log_id: The decision in the log.
        at_us: When it was made.
        type: ASSIGN of a tracklet, or MERGE of two identities.
        identity: Whom it led to, after all merges.
        probability: That it is right.
        one: What was linked: the tracklet, or those of the younger identity; some of them.
        other: The rest of the identity; some of it, those with the best pictures.
        leaving: All tracklets of the first side, by camera and number: they leave where the link is wrong.
    """

    log_id: int
    at_us: int
    type: EventType
    identity: int
    probability: float
    one: tuple[SeenTracklet, ...]
    other: tuple[SeenTracklet, ...]
    leaving: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """Links, the newest first; `further` is where an earlier part of the log begins, None at its beginning."""

    links: tuple[UncertainLink, ...]
    further: int | None


class Review:
    """Finds what may be wrong, for one person.

    Args:
        database: Of the site.
        access: Of who looks.

    Raises:
        NotAllowed: They may not correct anything.
    """

    def __init__(self, database: Database, access: Access) -> None:
        access.require(Permission.CORRECT)
        self._database = database
        self._cameras = access.cameras

    def uncertain(self, limit: int, before: int | None = None) -> ReviewPage:
        """The newest links that may be wrong.

        Args:
            limit: How many at most.
            before: `ReviewPage.further` of the page before; None: the end of the log.
        """
        found: list[UncertainLink] = []
        with self._database.session_scope() as session:
            newest = session.scalar(select(func.max(IdentityLogEntry.id))) or 0
            begin = newest + 1 if before is None else before
            end = max(begin - _ENTRIES, 1)
            entries = session.execute(_uncertain_entries(begin, end)).all()
            for entry in entries:
                link = self._link(session, entry)
                if link is not None:
                    found.append(link)
                if len(found) == limit:
                    return ReviewPage(tuple(found), entry.id)
        last = entries[-1].id if len(entries) == _LINKS else end
        return ReviewPage(tuple(found), last if last > 1 else None)

    def _link(self, session: Session, entry: _Entry) -> UncertainLink | None:
        """The link of an entry; None where nothing is left to be said about it, or others have to say it."""
        if not self._sees(session, entry.survivor):
            return None
        one, other = _sides(session, entry)
        if not one or not other or _is_said(session, one, other):
            return None
        leaving = _keys(session, one)
        shown = _shown(session, one), _shown(session, other)
        return UncertainLink(
            entry.id, entry.at_us, EventType(entry.type), entry.survivor, entry.probability or 0.0, *shown, leaving
        )

    def _sees(self, session: Session, identity: int) -> bool:
        """Whether no camera saw an identity that may not be seen."""
        if self._cameras is None:
            return True
        unseen = Tracklet.camera_id.not_in(select(Camera.id).where(Camera.name.in_(self._cameras)))
        return not session.scalar(select(exists().where(Tracklet.identity == identity, unseen)))


def _uncertain_entries(begin: int, end: int) -> Select[int, str, int, int, int | None, int | None, float | None, int]:
    """The links of a part of the log that still hold, as far as can be told from their rows."""
    entry = IdentityLogEntry
    survivor = func.coalesce(Identity.merged_into, Identity.id)
    query = select(
        entry.id,
        entry.type,
        entry.at_us,
        entry.identity,
        entry.other,
        entry.tracklet_id,
        entry.probability,
        survivor.label("survivor"),
    )
    assigned = (entry.type == EventType.ASSIGN.value) & entry.tracklet_id.is_not(None)
    return (
        query.join(Identity, Identity.id == entry.identity)
        .where(
            entry.id >= end,
            entry.id < begin,
            entry.actor == MACHINE,
            entry.probability >= LOWEST,
            entry.probability < HIGHEST,
            assigned | (entry.type == EventType.MERGE.value),
        )
        .order_by(entry.id.desc())
        .limit(_LINKS)
    )


def _sides(session: Session, entry: _Entry) -> tuple[list[int], list[int]]:
    """The rows of the tracklets that an entry linked, and the rest of the identity; the newest first."""
    if entry.type == EventType.MERGE.value:
        return _sides_of_merge(session, entry)
    own = select(Tracklet.id).where(Tracklet.identity == entry.survivor, Tracklet.id != entry.tracklet_id)
    other = session.scalars(own.order_by(Tracklet.id.desc()).limit(_COMPARED)).all()
    return ([entry.tracklet_id] if _is_last(session, entry) else []), list(other)


def _is_last(session: Session, entry: _Entry) -> bool:
    """Whether no later decision says who a tracklet is."""
    later = select(func.max(IdentityLogEntry.id)).where(
        IdentityLogEntry.tracklet_id == entry.tracklet_id,
        IdentityLogEntry.type.in_((EventType.ASSIGN.value, EventType.SPLIT.value)),
        ~IS_UNDONE,
    )
    return bool(session.scalar(later) == entry.id)


def _sides_of_merge(session: Session, entry: _Entry) -> tuple[list[int], list[int]]:
    """Those who would be the younger identity without this merge, and the others: nobody where other merges join them.

    Tracklets that a later decision has moved are of whom that said.
    """
    younger = _joined(session, entry)
    named = {row: name for row, name, _ in session.connection().execute(assignments(entry.survivor))}
    rows = sorted(named, reverse=True)
    return [row for row in rows if named[row] in younger], [row for row in rows if named[row] not in younger]


def _joined(session: Session, entry: _Entry) -> set[int]:
    """The identities that are one with the younger of a merge by other decisions than that."""
    log, members = IdentityLogEntry, select(Identity.id).where(Identity.merged_into == entry.survivor)
    split, merge = (log.type == EventType.SPLIT.value) & IS_UNDONE, (log.type == EventType.MERGE.value) & ~IS_UNDONE
    query = select(log.identity, log.other).where(log.identity.in_(members), log.id != entry.id, split | merge)
    near: defaultdict[int, set[int]] = defaultdict(set)
    for one, other in session.execute(query):
        if other is not None:
            near[one].add(other)
            near[other].add(one)
    found, reached = {entry.identity}, [entry.identity]
    while reached:
        fresh = near[reached.pop()] - found
        found |= fresh
        reached += fresh
    return found


def _is_said(session: Session, one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether an operator has said that some of both sides are one."""
    word = DecisionTracklet
    both = select(word.log_id).join(IdentityLogEntry, IdentityLogEntry.id == word.log_id).where(word.same, ~IS_UNDONE)
    said = (set(session.scalars(both.where(word.tracklet_id.in_(side[:_COMPARED])))) for side in (one, other))
    return not set.isdisjoint(*said)


def _keys(session: Session, rows: Sequence[int]) -> tuple[tuple[str, int], ...]:
    query = select(Camera.name, Tracklet.number).join(Camera, Camera.id == Tracklet.camera_id)
    return tuple((name, number) for name, number in session.execute(query.where(Tracklet.id.in_(rows))))


def _shown(session: Session, rows: Sequence[int]) -> tuple[SeenTracklet, ...]:
    """The tracklets with the best pictures among the newest of a side, in order of time; without any the newest one."""
    crops = _crops(session, rows[:_COMPARED])
    chosen = sorted(crops, key=lambda row: -crops[row][0][0])[: _PICTURES if len(rows) > 1 else 1] or [*rows[:1]]
    query = select(Tracklet, Camera.name).join(Camera, Camera.id == Tracklet.camera_id)
    found = session.execute(query.where(Tracklet.id.in_(chosen)).order_by(Tracklet.first_us, Tracklet.id))
    most = _PICTURES if len(chosen) == 1 else max(1, _PICTURES // len(chosen))
    return tuple(
        SeenTracklet(camera, each.number, each.first_us, each.last_us, tuple(_paths(crops.get(each.id, ()))[:most]))
        for each, camera in found
    )


def _crops(session: Session, rows: Collection[int]) -> dict[int, list[tuple[float, str]]]:
    """Quality and path of the pictures of tracklets, the best first."""
    query = select(Crop.tracklet_id, Crop.quality, Crop.path).where(Crop.tracklet_id.in_(rows))
    found: defaultdict[int, list[tuple[float, str]]] = defaultdict(list)
    for tracklet, quality, path in session.execute(query.order_by(Crop.quality.desc())):
        found[tracklet].append((quality, path))
    return found


def _paths(crops: Iterable[tuple[float, str]]) -> list[str]:
    return [path for _, path in crops]
