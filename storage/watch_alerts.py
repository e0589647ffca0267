"""The alerts of watch lists: a tracklet that may be who is watched for, told once an entry."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.errors import UnknownRecord, WatchRefused
from reid_pipeline.storage.permissions import Access, Permission
from reid_pipeline.storage.records import NewAlert
from reid_pipeline.storage.row_ids import RowIds
from reid_pipeline.storage.schema import Camera, Tracklet
from reid_pipeline.storage.schema_governance import WatchAlert, WatchEntry


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts: those from a time on, capture time; only those that nobody acknowledged; at most so many."""

    since_us: int | None = None
    unacknowledged: bool = False
    most: int = 100


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """An alert.

    Attributes:
        id: Its number.
        entry: Of which entry.
        case: Of which case.
        label: What the entry says to those who get its alerts.
        tracklet: Camera and number.
        identity: Who that is now; None where nobody has decided.
        time_us: When it was told, capture time.
        probability: That it is who is watched for; 1 where a person said who it is.
        acknowledged: When somebody acknowledged it, and who.
    """

    id: int
    entry: int
    case: int
    label: str
    tracklet: tuple[str, int]
    identity: int | None
    time_us: int
    probability: float
    acknowledged: tuple[int, str] | None


class WatchAlerts:
    """The alerts of a site, for one person.

    Args:
        database: Of the site.
        access: Of who looks: alerts of other cameras are not theirs.
        now_us: The wall clock.

    Raises:
        NotAllowed: They may not.
    """

    def __init__(
        self, database: Database, access: Access, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        access.require(Permission.ACKNOWLEDGE)
        self._database = database
        self._access = access
        self._now_us = now_us
        self._audit = AuditLog(database, now_us)

    def read(self, wanted: AlertFilter | None = None) -> tuple[AlertRecord, ...]:
        """Alerts, the newest first."""
        wanted = wanted or AlertFilter()
        alert = WatchAlert
        query = (
            select(alert, WatchEntry.case_id, WatchEntry.label, Camera.name, Tracklet.number, Tracklet.identity)
            .join(WatchEntry, WatchEntry.id == alert.entry_id)
            .join(Tracklet, Tracklet.id == alert.tracklet_id)
            .join(Camera, Camera.id == Tracklet.camera_id)
            .order_by(alert.time_us.desc(), alert.id.desc())
            .limit(wanted.most)
        )
        if self._access.cameras is not None:
            query = query.where(Camera.name.in_(sorted(self._access.cameras)))
        if wanted.since_us is not None:
            query = query.where(alert.time_us >= wanted.since_us)
        if wanted.unacknowledged:
            query = query.where(alert.acknowledged_us.is_(None))
        with self._database.session_scope() as session:
            return tuple(_record(*row) for row in session.execute(query).all())

    def acknowledge(self, alerts: Collection[int], reason: str = "") -> None:
        """Notes that somebody has seen alerts; one that was acknowledged before stays as it is.

        Raises:
            WatchRefused: There is no such alert in a camera that they see.
        """
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            for number in alerts:
                self._check(connection, number)
            going = WatchAlert.id.in_(alerts) & WatchAlert.acknowledged_us.is_(None)
            values = {"acknowledged_us": self._now_us(), "acknowledged_by": self._access.name}
            connection.execute(update(WatchAlert).where(going).values(values))
            subject = {"what": "acknowledge", "alerts": sorted(alerts)}
            self._audit.note_in(connection, self._access.name, Action.WATCH, reason, subject)

    def _check(self, connection: Connection, number: int) -> None:
        camera = select(Camera.name).join(Tracklet, Tracklet.camera_id == Camera.id)
        found = connection.scalar(
            camera.join(WatchAlert, WatchAlert.tracklet_id == Tracklet.id).where(WatchAlert.id == number)
        )
        if found is None or not self._access.sees(found):
            raise WatchRefused(f"alert {number}: there is none: see `reid-pipeline watch alerts`")


def store_alerts(connection: Connection, rows: RowIds, alerts: Collection[NewAlert]) -> None:
    """Stores what a run has noticed, in its transaction.

    What was told before is left out, and so is a tracklet whose time was up before it could be told.
    """
    for each in alerts:
        with suppress(UnknownRecord):
            tracklet = rows.tracklet(connection, each.camera, each.number)
            told = (WatchAlert.entry_id == each.entry) & (WatchAlert.tracklet_id == tracklet)
            if connection.scalar(select(WatchAlert.id).where(told)) is None:
                row = insert(WatchAlert).values(entry_id=each.entry, tracklet_id=tracklet)
                connection.execute(row.values(time_us=each.time_us, probability=each.probability))


def _record(row: WatchAlert, case: int, label: str, camera: str, number: int, identity: int | None) -> AlertRecord:
    told = None
    if row.acknowledged_us is not None and row.acknowledged_by is not None:
        told = row.acknowledged_us, row.acknowledged_by
    return AlertRecord(
        row.id, row.entry_id, case, label, (camera, number), identity, row.time_us, row.probability, told
    )
