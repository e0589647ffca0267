"""Decisions about identities: how each changes the tables, the log of all, and its reading.

The log says what was decided and in which order; `Tracklet.identity` and `Identity.merged_into` are its result, kept so
that no query has to follow chains.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, func, insert, or_, select, update
from sqlalchemy.orm import Session

from reid_pipeline.storage.errors import UnknownRecord
from reid_pipeline.storage.records import EventType, IdentityEvent, IdentityLogRecord
from reid_pipeline.storage.row_ids import RowIds
from reid_pipeline.storage.schema import Camera, Identity, IdentityLogEntry, Site, Tracklet


def apply_event(connection: Connection, event: IdentityEvent, rows: RowIds) -> None:
    """Changes the tables by one decision and logs it.

    Raises:
        UnknownRecord: The tracklet or an identity that should exist does not.
    """
    tracklet = None
    if event.camera is not None and event.number is not None:
        tracklet = rows.tracklet(connection, event.camera, event.number)
    match event.type:
        case EventType.OPEN:
            _open(connection, event)
        case EventType.ASSIGN:
            _assign(connection, tracklet, _survivor(connection, event.identity))
        case EventType.SPLIT:
            _open(connection, event)
            _assign(connection, tracklet, event.identity)
        case EventType.MERGE:
            _merge(connection, _survivor(connection, event.identity), _survivor(connection, event.other))
    _log(connection, event, tracklet)


def read_history(session: Session, identity: int) -> tuple[IdentityLogRecord, ...]:
    """The decisions that name an identity on either side, oldest first."""
    entry = IdentityLogEntry
    query = (
        select(entry, Camera.name, Tracklet.number)
        .outerjoin(Tracklet, Tracklet.id == entry.tracklet_id)
        .outerjoin(Camera, Camera.id == Tracklet.camera_id)
        .where(or_(entry.identity == identity, entry.other == identity))
        .order_by(entry.id)
    )
    return tuple(
        IdentityLogRecord(
            at_us=row.at_us,
            type=EventType(row.type),
            time_us=row.time_us,
            identity=row.identity,
            other=row.other,
            camera=camera,
            number=number,
            probability=row.probability,
            evidence=row.evidence,
            actor=row.actor,
        )
        for row, camera, number in session.execute(query)
    )


def _open(connection: Connection, event: IdentityEvent) -> None:
    connection.execute(insert(Identity).values(id=event.identity, opened_us=event.time_us, vacant=False))
    following = event.identity + 1
    connection.execute(update(Site).where(Site.next_identity < following).values(next_identity=following))


def _assign(connection: Connection, tracklet: int | None, identity: int) -> None:
    connection.execute(update(Tracklet).where(Tracklet.id == tracklet).values(identity=identity))


def _merge(connection: Connection, one: int, other: int) -> None:
    """Makes one survivor of two, the older, also for all that redirect to the younger: chains never form."""
    older, younger = sorted((one, other))
    if older == younger:
        return
    redirected = or_(Identity.id == younger, Identity.merged_into == younger)
    connection.execute(update(Identity).where(redirected).values(merged_into=older))
    connection.execute(update(Tracklet).where(Tracklet.identity == younger).values(identity=older))


def _survivor(connection: Connection, identity: int | None) -> int:
    query = select(func.coalesce(Identity.merged_into, Identity.id)).where(Identity.id == identity)
    survivor: int | None = connection.scalar(query)
    if survivor is None:
        raise UnknownRecord(f"identity {identity} is not in the database; it was never opened")
    return survivor


def _log(connection: Connection, event: IdentityEvent, tracklet: int | None) -> None:
    connection.execute(
        insert(IdentityLogEntry).values(
            at_us=time.time_ns() // 1000,
            time_us=event.time_us,
            type=event.type.value,
            identity=event.identity,
            other=event.other,
            tracklet_id=tracklet,
            probability=event.probability,
            evidence=dict(event.evidence),
            actor=event.actor,
        )
    )
