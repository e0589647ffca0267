"""Cases: inquiries that people opened for a reason. What an open case holds outlives the retention time.

A case holds identities, or what a camera saw in a span of time: their tracklets with boxes, crops and embeddings,
and the clips that overlap them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, exists, func, insert, or_, select, update

from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.clips import that_show
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.errors import CaseRefused, UnknownRecord
from reid_pipeline.storage.permissions import Access, Permission
from reid_pipeline.storage.schema import Camera, Clip, Identity, Tracklet
from reid_pipeline.storage.schema_governance import Case, CaseHold
from reid_pipeline.storage.settlement import survivor_of


@dataclass(frozen=True, slots=True)
class Hold:
    """What is held: an identity, or what a camera saw with ``since_us <= time < until_us``.

    Attributes:
        identity: Its number.
        camera: Or the name of a camera.
        since_us: None: from ever.
        until_us: None: for ever.
    """

    identity: int | None = None
    camera: str | None = None
    since_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """A case; times in microseconds since 1970 UTC, ``closed_us`` None while it is open."""

    id: int
    title: str
    reason: str
    opened_us: int
    opened_by: str
    closed_us: int | None
    holds: tuple[Hold, ...]


class Cases:
    """The cases of a site, for one person. Each change is one transaction with its entry in the audit log.

    Args:
        database: Of the site.
        access: Of who opens, holds and closes.
        now_us: The wall clock.

    Raises:
        NotAllowed: They may not.
    """

    def __init__(
        self, database: Database, access: Access, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        access.require_all_cameras(Permission.HOLD)
        self._database = database
        self._actor = access.name
        self._now_us = now_us
        self._audit = AuditLog(database, now_us)

    def open(self, title: str, reason: str) -> int:
        """Opens a case and returns its number.

        Raises:
            CaseRefused: Title or reason are empty.
        """
        if not title.strip() or not reason.strip():
            raise CaseRefused("expected a title and a reason: a case has to be accounted for")
        with self._database.session_scope(write=True) as session:
            row = Case(title=title, reason=reason, opened_us=self._now_us(), opened_by=self._actor)
            session.add(row)
            session.flush()
            self._note(session.connection(), reason, row.id, "open")
            return row.id

    def hold(self, case: int, hold: Hold, reason: str = "") -> None:
        """Holds something for an open case.

        Raises:
            CaseRefused: There is no such open case, identity or camera.
        """
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            _check_open(connection, case)
            values = {"case_id": case, "identity": _identity(connection, hold), "camera_id": _camera(connection, hold)}
            connection.execute(insert(CaseHold).values(**values, since_us=hold.since_us, until_us=hold.until_us))
            about = {"identity": hold.identity, "camera": hold.camera, "since_us": hold.since_us}
            self._note(connection, reason, case, "hold", **about, until_us=hold.until_us)

    def close(self, case: int, reason: str = "") -> None:
        """Closes a case; what only it held goes with the next retention.

        Raises:
            CaseRefused: There is no such open case.
        """
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            _check_open(connection, case)
            connection.execute(update(Case).where(Case.id == case).values(closed_us=self._now_us()))
            self._note(connection, reason, case, "close")

    def read(self) -> tuple[CaseRecord, ...]:
        """All cases, by number."""
        with self._database.session_scope() as session:
            holds = session.execute(_holds_query()).all()
            return tuple(
                CaseRecord(
                    row.id,
                    row.title,
                    row.reason,
                    row.opened_us,
                    row.opened_by,
                    row.closed_us,
                    tuple(Hold(*hold[1:]) for hold in holds if hold.case_id == row.id),
                )
                for row in session.scalars(select(Case).order_by(Case.id))
            )

    def _note(self, connection: Connection, reason: str, case: int, what: str, **about: object) -> None:
        known = {key: value for key, value in about.items() if value is not None}
        self._audit.note_in(connection, self._actor, Action.CASE, reason, {"case": case, "what": what, **known})


def is_held() -> ColumnElement[bool]:
    """In a condition on `Tracklet`: whether an open case holds it."""
    return func.coalesce(Tracklet.identity.in_(_held_identities()), False) | _is_view_held(Tracklet)


def is_clip_held() -> ColumnElement[bool]:
    """In a condition on `Clip`: whether an open case holds what the camera saw then, or somebody whom it shows."""
    return that_show(Tracklet.identity.in_(_held_identities())) | _is_view_held(Clip)


def _held_identities() -> Select[int]:
    identity = func.coalesce(Identity.merged_into, Identity.id)
    return select(identity).join(CaseHold, CaseHold.identity == Identity.id).join(Case).where(_is_open())


def _is_view_held(seen: type[Tracklet | Clip]) -> ColumnElement[bool]:
    """Whether an open case holds what a camera saw at the time of a tracklet or clip."""
    return (
        exists()
        .where(CaseHold.case_id == Case.id, _is_open(), CaseHold.camera_id == seen.camera_id)
        .where(or_(CaseHold.since_us.is_(None), seen.last_us >= CaseHold.since_us))
        .where(or_(CaseHold.until_us.is_(None), seen.first_us < CaseHold.until_us))
    )


def _is_open() -> ColumnElement[bool]:
    return Case.closed_us.is_(None)


def _check_open(connection: Connection, case: int) -> None:
    if not connection.scalar(select(exists().where(Case.id == case, _is_open()))):
        raise CaseRefused(f"case {case}: expected the number of an open case: see `reid-pipeline case list`")


def _identity(connection: Connection, hold: Hold) -> int | None:
    if hold.identity is None:
        return None
    try:
        return survivor_of(connection, hold.identity)
    except UnknownRecord as error:
        raise CaseRefused(str(error)) from error


def _camera(connection: Connection, hold: Hold) -> int | None:
    if hold.camera is None:
        return None
    row: int | None = connection.scalar(select(Camera.id).where(Camera.name == hold.camera))
    if row is None:
        raise CaseRefused(f"{hold.camera}: expected the name of a camera of this site")
    return row


def _holds_query() -> Select[int, int | None, str | None, int | None, int | None]:
    return (
        select(CaseHold.case_id, CaseHold.identity, Camera.name, CaseHold.since_us, CaseHold.until_us)
        .outerjoin(Camera, Camera.id == CaseHold.camera_id)
        .order_by(CaseHold.id)
    )
