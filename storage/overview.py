"""What a site has seen lately, read for pages that people look at: each question takes milliseconds among millions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from reid_pipeline.storage.database import Database
from reid_pipeline.storage.index_hints import off_index
from reid_pipeline.storage.permissions import Access, Permission
from reid_pipeline.storage.schema import Camera, Crop, Tracklet

_AT_ONCE: Final = 200  # tracklets, in search of the newest people


@dataclass(frozen=True, slots=True)
class Before:
    """Where somebody was seen before: the camera, and when they left it."""

    camera: str
    last_us: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """A tracklet as people see it.

    Attributes:
        camera: Name of the camera.
        number: Number of the tracklet.
        identity: Who it is, after all merges; None where nobody has decided.
        first_us: When it began.
        last_us: When its last box so far was.
        open: Whether it may go on.
        crop: Path of its best picture that is still there.
        before: Where the same identity was seen before; None: nowhere.
    """

    camera: str
    number: int
    identity: int | None
    first_us: int
    last_us: int
    open: bool
    crop: str | None
    before: Before | None


@dataclass(frozen=True, slots=True)
class Person:
    """An identity and what was seen of it.

    Attributes:
        identity: Its number.
        cameras: By name.
        tracklets: How many.
        first_us: When the first began.
        last_us: When the last ended.
        dwell_us: How long the tracklets are together.
        crop: Path of the best picture of the newest tracklets.
        turn: Where it stands in the order of `Overview.people`.
    """

    identity: int
    cameras: tuple[str, ...]
    tracklets: int
    first_us: int
    last_us: int
    dwell_us: int
    crop: str | None
    turn: tuple[int, int] = (0, 0)


class Overview:
    """Reads for one person.

    Args:
        database: Of the site.
        access: Of who looks: only what their cameras saw is counted.

    Raises:
        NotAllowed: They may see nothing.
    """

    def __init__(self, database: Database, access: Access) -> None:
        access.require(Permission.SEE)
        self._database = database
        self._cameras = access.cameras

    def newest(self, limit: int, before_us: int | None = None, cameras: Collection[str] = ()) -> tuple[Sighting, ...]:
        """The tracklets that began last, the newest first.

        Args:
            limit: How many at most.
            before_us: Only those that began before then.
            cameras: Only those of these; all if none are named.
        """
        query = (
            select(Tracklet, Camera.name)
            .join(Camera, Camera.id == Tracklet.camera_id)
            .where(*self._seen(Tracklet.camera_id))
            .order_by(Tracklet.first_us.desc(), Tracklet.id.desc())
            .limit(limit)
        )
        if before_us is not None:
            query = query.where(Tracklet.first_us < before_us)
        if cameras:
            query = query.where(Tracklet.camera_id.in_(select(Camera.id).where(Camera.name.in_(cameras))))
        with self._database.session_scope() as session:
            rows = [(row[0], row[1]) for row in session.execute(query)]
            crops = _best_crops(session, [tracklet.id for tracklet, _ in rows])
            return tuple(self._sightings(session, rows, crops))

    def people(
        self,
        limit: int,
        since_us: int | None = None,
        until_us: int | None = None,
        cameras: Collection[str] = (),
        before: tuple[int, int] | None = None,
    ) -> tuple[Person, ...]:
        """The identities with a tracklet that began in a time, those first whose last such began last.

        What is told of each is about all that was seen of it, at any time.

        Args:
            limit: How many at most.
            since_us: None: from ever.
            until_us: None: for ever.
            cameras: Seen by one of these; by any if none are named.
            before: Go on after the last one of the page before: `Person.turn`.
        """
        chosen = [Tracklet.identity.is_not(None), *self._seen(off_index(Tracklet.camera_id))]
        first_page = before is None
        if until_us is not None:
            chosen.append(off_index(Tracklet.first_us) < until_us)
            before = min(before or (until_us, 0), (until_us, 0))  # to begin there, by the index
        if cameras:
            chosen.append(off_index(Tracklet.camera_id).in_(select(Camera.id).where(Camera.name.in_(cameras))))
        with self._database.session_scope() as session:
            turns = _latest(session, chosen, limit, since_us, before, first_page=first_page)
            found = self._describe(session, list(turns))
        return tuple(replace(found[number], turn=turn) for number, turn in turns.items() if number in found)

    def describe(self, identities: Sequence[int]) -> tuple[Person, ...]:
        """What was seen of some identities, in their order; those that were not seen are left out."""
        with self._database.session_scope() as session:
            found = self._describe(session, identities)
        return tuple(found[number] for number in identities if number in found)

    def pictures(self, keys: Collection[tuple[str, int]]) -> Mapping[tuple[str, int], str]:
        """The path of the best crop of each of some tracklets, by camera and number; those that have one."""
        with self._database.session_scope() as session:
            rows = self._rows(session, keys)
            crops = _best_crops(session, [row for row, _ in rows.values()])
        return {key: crops[row] for key, (row, _) in rows.items() if row in crops}

    def identities_of(self, keys: Collection[tuple[str, int]]) -> Mapping[tuple[str, int], int]:
        """Who each of some tracklets is, by camera and number; those of whom it is decided."""
        with self._database.session_scope() as session:
            rows = self._rows(session, keys)
        return {key: identity for key, (_, identity) in rows.items() if identity is not None}

    def count_tracklets(self, identities: Collection[int]) -> Mapping[int, int]:
        """How many tracklets each of some identities has, also in cameras that may not be seen."""
        query = select(Tracklet.identity, func.count()).where(Tracklet.identity.in_(identities))
        with self._database.session_scope() as session:
            counts = session.execute(query.group_by(Tracklet.identity)).all()
        return {identity: count for identity, count in counts if identity is not None}

    def count(self) -> int:
        """How many tracklets there are."""
        with self._database.session_scope() as session:
            query = select(func.count()).select_from(Tracklet).where(*self._seen(Tracklet.camera_id))
            return session.scalar(query) or 0

    def _rows(
        self, session: Session, keys: Collection[tuple[str, int]]
    ) -> dict[tuple[str, int], tuple[int, int | None]]:
        """Row and identity of tracklets that may be seen, by camera and number."""
        found: dict[tuple[str, int], tuple[int, int | None]] = {}
        for camera in {camera for camera, _ in keys}:
            numbers = [number for name, number in keys if name == camera]
            query = (
                select(Tracklet.number, Tracklet.id, Tracklet.identity)
                .join(Camera, Camera.id == Tracklet.camera_id)
                .where(Camera.name == camera, Tracklet.number.in_(numbers), *self._seen(Tracklet.camera_id))
            )
            found |= {(camera, number): (row, identity) for number, row, identity in session.execute(query)}
        return found

    def _seen(self, camera: InstrumentedAttribute[int] | ColumnElement[int]) -> list[ColumnElement[bool]]:
        """The condition on a column of cameras that only what may be seen is read."""
        if self._cameras is None:
            return []
        return [camera.in_(select(Camera.id).where(Camera.name.in_(self._cameras)))]

    def _sightings(
        self, session: Session, rows: Sequence[tuple[Tracklet, str]], crops: Mapping[int, str]
    ) -> list[Sighting]:
        """Oldest first, as each is where the next one of the same identity was before."""
        latest = self._latest_before(session, rows)
        found = []
        for tracklet, camera in reversed(rows):
            known = tracklet.identity is not None
            found.append(
                Sighting(
                    camera=camera,
                    number=tracklet.number,
                    identity=tracklet.identity,
                    first_us=tracklet.first_us,
                    last_us=tracklet.last_us,
                    open=not tracklet.closed,
                    crop=crops.get(tracklet.id),
                    before=latest.get(tracklet.identity) if tracklet.identity is not None else None,
                )
            )
            if known and tracklet.identity is not None:
                latest[tracklet.identity] = Before(camera, tracklet.last_us)
        return found[::-1]

    def _latest_before(self, session: Session, rows: Sequence[tuple[Tracklet, str]]) -> dict[int, Before]:
        """The last tracklet of each identity of these before all of these."""
        if not rows:
            return {}
        identities = {tracklet.identity for tracklet, _ in rows} - {None}
        earlier = (
            Tracklet.identity.in_(identities),
            off_index(Tracklet.first_us) < min(tracklet.first_us for tracklet, _ in rows),
            *self._seen(Tracklet.camera_id),
        )
        last = (
            select(Tracklet.identity, func.max(Tracklet.first_us).label("first_us"))
            .where(*earlier)
            .group_by(Tracklet.identity)
            .subquery()
        )
        other = aliased(Tracklet)
        query: Select[int | None, str, int] = (
            select(other.identity, Camera.name, other.last_us)
            .join(last, (other.identity == last.c.identity) & (off_index(other.first_us) == last.c.first_us))
            .join(Camera, Camera.id == other.camera_id)
            .where(*self._seen(other.camera_id))
        )
        return {number: Before(camera, last_us) for number, camera, last_us in session.execute(query) if number}

    def _describe(self, session: Session, identities: Sequence[int]) -> Mapping[int, Person]:
        query = (
            select(
                Tracklet.identity,
                Camera.name,
                func.count(),
                func.min(Tracklet.first_us),
                func.max(Tracklet.last_us),
                func.sum(Tracklet.last_us - Tracklet.first_us),
                func.max(Tracklet.id),
            )
            .join(Camera, Camera.id == Tracklet.camera_id)
            .where(Tracklet.identity.in_(identities), *self._seen(off_index(Tracklet.camera_id)))
            .group_by(Tracklet.identity, Camera.name)
            .order_by(Tracklet.identity, Camera.name)
        )
        parts: dict[int, list[_InCamera]] = {}
        for identity, camera, count, first_us, last_us, dwell_us, newest in session.execute(query):
            if identity is not None:
                parts.setdefault(identity, []).append(
                    _InCamera(camera, count, first_us, last_us, int(dwell_us), newest)
                )
        crops = _best_crops(session, [each.newest for part in parts.values() for each in part])
        return {identity: _person(identity, part, crops) for identity, part in parts.items()}


class _InCamera(NamedTuple):
    """What one camera saw of an identity; `newest` is the row of the last tracklet."""

    camera: str
    tracklets: int
    first_us: int
    last_us: int
    dwell_us: int
    newest: int


def _person(identity: int, parts: Sequence[_InCamera], crops: Mapping[int, str]) -> Person:
    newest = sorted(parts, key=lambda part: -part.newest)
    return Person(
        identity=identity,
        cameras=tuple(part.camera for part in parts),
        tracklets=sum(part.tracklets for part in parts),
        first_us=min(part.first_us for part in parts),
        last_us=max(part.last_us for part in parts),
        dwell_us=sum(part.dwell_us for part in parts),
        crop=next((crops[part.newest] for part in newest if part.newest in crops), None),
    )


def _latest(
    session: Session,
    chosen: Sequence[ColumnElement[bool]],
    limit: int,
    since_us: int | None,
    before: tuple[int, int] | None,
    *,
    first_page: bool,
) -> dict[int, tuple[int, int]]:
    """The identities of chosen tracklets and the beginning and row of the newest of each, the newest first.

    Goes back from the newest tracklet until enough are found, so that how many there are in all does not matter.
    """
    found: dict[int, tuple[int, int]] = {}
    fetched = _AT_ONCE
    while fetched == _AT_ONCE and len(found) < limit:
        query = select(Tracklet.first_us, Tracklet.id, Tracklet.identity).where(*chosen)
        if since_us is not None:
            query = query.where(Tracklet.first_us >= since_us)
        if before is not None:
            first_us, row = before
            earlier = (Tracklet.first_us < first_us) | (off_index(Tracklet.id) < row)
            query = query.where(Tracklet.first_us <= first_us, earlier)
        query = query.order_by(Tracklet.first_us.desc(), Tracklet.id.desc()).limit(_AT_ONCE)
        rows = [(first_us, row, number) for first_us, row, number in session.execute(query) if number is not None]
        if first_page:
            for first_us, row, number in rows:
                found.setdefault(number, (first_us, row))
        else:  # whoever was seen later than this was on a page before
            newest = _newest_of(session, chosen, {number for *_, number in rows} - found.keys())
            found |= {
                number: (first_us, row) for first_us, row, number in rows if newest.get(number) == (first_us, row)
            }
        fetched, before = len(rows), rows[-1][:2] if rows else None
    return dict(list(found.items())[:limit])


def _newest_of(
    session: Session, chosen: Sequence[ColumnElement[bool]], identities: Collection[int]
) -> dict[int, tuple[int, int]]:
    """The beginning and the row of the newest chosen tracklet of each identity."""
    last = (
        select(Tracklet.identity, func.max(Tracklet.first_us).label("first_us"))
        .where(Tracklet.identity.in_(identities), *chosen)
        .group_by(Tracklet.identity)
        .subquery()
    )
    query = (
        select(Tracklet.identity, Tracklet.first_us, func.max(Tracklet.id))
        .join(last, (Tracklet.identity == last.c.identity) & (off_index(Tracklet.first_us) == last.c.first_us))
        .where(*chosen)
        .group_by(Tracklet.identity, Tracklet.first_us)
    )
    return {number: (first_us, row) for number, first_us, row in session.execute(query) if number is not None}


def _best_crops(session: Session, tracklets: Collection[int]) -> Mapping[int, str]:
    """The path of the best crop of each tracklet that has one."""
    query = select(Crop.tracklet_id, Crop.path).where(Crop.tracklet_id.in_(tracklets)).order_by(Crop.quality)
    return dict(session.execute(query).all())
