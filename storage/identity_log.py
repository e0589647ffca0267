"""Decisions about identities: how each changes the tables, the log of all, and its reading.

The log says what was decided and in which order; `Tracklet.identity` and `Identity.merged_into` are its result, kept so
that no query has to follow chains. What the machine decides against an operator's word is dropped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, bindparam, exists, insert, or_, select, update
from sqlalchemy.orm import Session

from reid_pipeline.storage.operator_words import OperatorWords, keep_word
from reid_pipeline.storage.records import MACHINE, EventType, IdentityEvent, IdentityLogRecord
from reid_pipeline.storage.row_ids import RowIds
from reid_pipeline.storage.schema import Camera, Identity, IdentityLogEntry, Site, Tracklet, UndoneDecision
from reid_pipeline.storage.settlement import IS_UNDONE, settle, survivor_of, tracklets_of

logger = logging.getLogger(__name__)

# From here on count the identities that operators make beside a run, which itself counts the others.
BESIDE_A_RUN: Final = 1_000_000_000

# Made once: to put a statement together takes longer than SQLite does to execute it.
_ADD_IDENTITY: Final = insert(Identity)
_ADD_ENTRY: Final = insert(IdentityLogEntry)
_ASSIGN: Final = update(Tracklet).where(Tracklet.id == bindparam("row")).values(identity=bindparam("survivor"))


class IdentityLog:
    """Applies decisions inside transactions of the caller.

    It remembers operators' words between calls: after a transaction that was rolled back, make a new one.
    """

    def __init__(self, rows: RowIds) -> None:
        self._rows = rows
        self._words = OperatorWords()

    def apply(self, connection: Connection, events: Iterable[IdentityEvent]) -> tuple[int, ...]:
        """Changes the tables by decisions, in their order, and logs them.

        Of the machine's MERGE, ASSIGN and SPLIT those are dropped with a warning that an operator's word speaks
        against; a SPLIT still opens its identity, which later decisions may name.

        Returns:
            Ids in the log, of operators' decisions at least; a dropped one has none.

        Raises:
            UnknownRecord: A tracklet or an identity that should exist does not.
        """
        self._words.refresh(connection)
        logged: list[int] = []
        for plain, some in groupby(events, partial(self._is_plain, connection)):
            if plain:
                self._apply_plain(connection, list(some))
            else:
                each_logged = [self._apply(connection, event) for event in some]
                logged += [log_id for log_id in each_logged if log_id is not None]
        return tuple(logged)

    def _is_plain(self, connection: Connection, event: IdentityEvent) -> bool:
        """Whether it is an OPEN or ASSIGN of the machine about which no operator has said anything: nearly all are."""
        if event.actor != MACHINE or event.type not in (EventType.OPEN, EventType.ASSIGN):
            return False
        return not self._words.are_about(self._row_of(connection, event))

    def _apply_plain(self, connection: Connection, events: Sequence[IdentityEvent]) -> None:
        """As `_apply` one after the other, in a few statements for all."""
        opened = [event for event in events if event.type is EventType.OPEN]
        survivors = _survivors(connection, events)
        rows = [self._row_of(connection, event) for event in events]
        assigned = [
            {"row": row, "survivor": survivors[event.identity]}
            for event, row in zip(events, rows, strict=True)
            if event.type is EventType.ASSIGN
        ]
        if opened:
            connection.execute(
                _ADD_IDENTITY, [{"id": each.identity, "opened_us": each.time_us, "vacant": False} for each in opened]
            )
            _count_identities(connection, [each.identity for each in opened])
        if assigned:
            connection.execute(_ASSIGN, assigned)
        connection.execute(_ADD_ENTRY, [_entry(*each) for each in zip(events, rows, strict=True)])

    def _row_of(self, connection: Connection, event: IdentityEvent) -> int | None:
        if event.camera is None or event.number is None:
            return None
        return self._rows.tracklet(connection, event.camera, event.number)

    def _apply(self, connection: Connection, event: IdentityEvent) -> int | None:
        tracklet = self._row_of(connection, event)
        if event.actor != MACHINE:
            return _apply_word(connection, event, tracklet)
        objection = self._words.objection(connection, event, tracklet)
        if objection is None:
            _change(connection, event, tracklet)
            return _log(connection, event, tracklet)
        logger.warning("%s of identity %d was dropped, an operator decided: %s", event.type, event.identity, objection)
        if event.type is not EventType.SPLIT:
            return None
        opening = replace(event, type=EventType.OPEN, other=None, camera=None, number=None)
        _change(connection, opening, None)
        return _log(connection, opening, None)


def read_history(session: Session, identity: int) -> tuple[IdentityLogRecord, ...]:
    """The decisions that name an identity on either side, oldest first."""
    entry = IdentityLogEntry
    query = (
        select(entry, Camera.name, Tracklet.number, UndoneDecision.undo_id)
        .outerjoin(Tracklet, Tracklet.id == entry.tracklet_id)
        .outerjoin(Camera, Camera.id == Tracklet.camera_id)
        .outerjoin(UndoneDecision, UndoneDecision.log_id == entry.id)
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
            log_id=row.id,
            undone_by=undone_by,
        )
        for row, camera, number, undone_by in session.execute(query)
    )


def _apply_word(connection: Connection, event: IdentityEvent, tracklet: int | None) -> int:
    """Applies an operator's decision, and keeps which tracklets it was about."""
    if event.type is EventType.UNDO:
        return _undo(connection, event)
    left = connection.scalar(select(Tracklet.identity).where(Tracklet.id == tracklet))
    _change(connection, event, tracklet)
    log_id = _log(connection, event, tracklet)
    if event.type not in (EventType.OPEN, EventType.CONFIRM):  # whoever confirms keeps the word itself
        identity = survivor_of(connection, event.identity)
        others = tracklets_of(connection, left) if left not in (None, identity) else ()
        keep_word(connection, log_id, tracklets_of(connection, identity), others)
    return log_id


def _undo(connection: Connection, event: IdentityEvent) -> int:
    """Takes a decision back; of the machine's that is a word of its own, of an operator's it is the end of one."""
    undo_id, entry = _log(connection, event, None), IdentityLogEntry
    kind, actor = connection.execute(select(entry.type, entry.actor).where(entry.id == event.undoes)).one()
    split = kind == EventType.SPLIT.value
    undone = [event.undoes, *(_parts(connection, event.identity) if split else ())]
    connection.execute(insert(UndoneDecision), [{"undo_id": undo_id, "log_id": each} for each in undone])
    settle(connection, (event.identity, event.other))
    one, other = (survivor_of(connection, each) for each in (event.identity, event.other))
    if actor == MACHINE and (split or one != other):
        others = tracklets_of(connection, other) if one != other else ()
        keep_word(connection, undo_id, tracklets_of(connection, one), others)
    return undo_id


def _parts(connection: Connection, identity: int) -> Sequence[int]:
    """An operator's SPLIT of several tracklets is one SPLIT, which makes the identity, and an ASSIGN for each other."""
    entry = IdentityLogEntry
    assigned = (entry.identity == identity) & (entry.type == EventType.ASSIGN.value) & (entry.actor != MACHINE)
    return connection.scalars(select(entry.id).where(assigned, ~IS_UNDONE)).all()


def _change(connection: Connection, event: IdentityEvent, tracklet: int | None) -> None:
    match event.type:
        case EventType.OPEN:
            _open(connection, event)
        case EventType.ASSIGN:
            _assign(connection, tracklet, survivor_of(connection, event.identity))
        case EventType.SPLIT:
            _open(connection, event)
            _assign(connection, tracklet, event.identity)
        case EventType.MERGE:
            _merge(connection, survivor_of(connection, event.identity), survivor_of(connection, event.other))


def _open(connection: Connection, event: IdentityEvent) -> None:
    connection.execute(_ADD_IDENTITY, {"id": event.identity, "opened_us": event.time_us, "vacant": False})
    _count_identities(connection, [event.identity])


def _count_identities(connection: Connection, opened: Sequence[int]) -> None:
    """Remembers the number that the next identity of a run gets."""
    following = max((each for each in opened if each < BESIDE_A_RUN), default=0) + 1
    connection.execute(update(Site).where(Site.next_identity < following).values(next_identity=following))


def _survivors(connection: Connection, events: Sequence[IdentityEvent]) -> Mapping[int, int]:
    """Who each identity is that is opened here or that tracklets are given to.

    Raises:
        UnknownRecord: One of them was not opened before a tracklet is given to it.
    """
    survivors: dict[int, int] = {}
    for event in events:
        if event.type is EventType.OPEN:
            survivors[event.identity] = event.identity
        elif event.identity not in survivors:
            survivors[event.identity] = survivor_of(connection, event.identity)
    return survivors


def _assign(connection: Connection, tracklet: int | None, identity: int) -> None:
    connection.execute(_ASSIGN, {"row": tracklet, "survivor": identity})


def _merge(connection: Connection, one: int, other: int) -> None:
    """Makes one survivor of two, the older, also for all that redirect to the younger: chains never form."""
    older, younger = sorted((one, other))
    if older == younger:
        return
    redirected = or_(Identity.id == younger, Identity.merged_into == younger)
    connection.execute(update(Identity).where(redirected).values(merged_into=older))
    connection.execute(update(Tracklet).where(Tracklet.identity == younger).values(identity=older))
    has_tracklet = exists().where(Tracklet.identity == older)
    connection.execute(update(Identity).where(Identity.id == older, has_tracklet).values(vacant=False))


def _log(connection: Connection, event: IdentityEvent, tracklet: int | None) -> int:
    """Adds a decision to the log and returns its id."""
    return connection.execute(_ADD_ENTRY.returning(IdentityLogEntry.id), _entry(event, tracklet)).scalar_one()


def _entry(event: IdentityEvent, tracklet: int | None) -> dict[str, object]:
    return {
        "at_us": time.time_ns() // 1000,
        "time_us": event.time_us,
        "type": event.type.value,
        "identity": event.identity,
        "other": event.other,
        "tracklet_id": tracklet,
        "probability": event.probability,
        "evidence": dict(event.evidence),
        "actor": event.actor,
    }
