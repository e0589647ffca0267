"""The operator's corrections: merge, split, confirm, undo. Each is a short transaction, maybe beside a run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Select, exists, func, or_, select

from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.errors import CorrectionRefused, NotAllowed, UnknownRecord
from reid_pipeline.storage.identity_log import BESIDE_A_RUN, IdentityLog
from reid_pipeline.storage.operator_words import keep_word
from reid_pipeline.storage.permissions import Access, Permission
from reid_pipeline.storage.records import MACHINE, EventType, IdentityEvent, JsonScalar, RunStatus
from reid_pipeline.storage.row_ids import RowIds
from reid_pipeline.storage.schema import Camera, Identity, IdentityLogEntry, Run, Site, Tracklet
from reid_pipeline.storage.settlement import IS_UNDONE, survivor_of, tracklets_of
from reid_pipeline.storage.typed_numbers import has_number

TrackletKey = tuple[str, int]  # camera and number

_MOVING: Final = (EventType.MERGE, EventType.SPLIT)  # those that change who tracklets are
_UNDOABLE: Final = (*_MOVING, EventType.CONFIRM)


@dataclass(frozen=True, slots=True)
class Correction:
    """What an operator's correction did.

    Attributes:
        log_id: The decision in the log.
        type: MERGE, SPLIT, CONFIRM or UNDO.
        identity: The identity that was merged away, that a split made, that was confirmed, or the same of what was
            undone.
        other: The one that it was merged into, that the tracklets left, that was confirmed, or the same of what was
            undone.
        undone: Of an UNDO, what was undone: MERGE, SPLIT or CONFIRM.
    """

    log_id: int
    type: EventType
    identity: int
    other: int
    undone: EventType | None = None


class Corrections:
    """What one operator corrects in a site.

    The machine never overrules it: `IdentityLog` drops what would. A run that is going on takes it up before
    its next second pass.

    Args:
        database: Of the site.
        access: Of the operator, whose name goes into the log.
        reason: Why, for the log.

    Raises:
        CorrectionRefused: The name is empty, or that of the machine.
        NotAllowed: They may not correct anything.
    """

    def __init__(self, database: Database, access: Access, reason: str = "") -> None:
        if not access.name.strip() or access.name == MACHINE:
            raise CorrectionRefused(f"actor {access.name!r}: expected the name of an operator, other than {MACHINE!r}")
        access.require(Permission.CORRECT)
        self._database = database
        self._access = access
        self._actor = access.name
        self._reason = reason
        self._evidence: dict[str, JsonScalar] = {"reason": reason} if reason else {}
        self._audit = AuditLog(database)

    def merge(self, one: int, other: int) -> Correction:
        """Says that two identities are one person: the older one survives.

        Raises:
            CorrectionRefused: One of them does not exist, or they are one already.
        """
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            older, younger = sorted((_survivor(connection, one), _survivor(connection, other)))
            self._check_seen(connection, (older, younger))
            if older == younger:
                raise CorrectionRefused(f"identities {one} and {other}: are one already: expected two different people")
            time_us = _last_seen(connection, (older, younger))
            log_id = self._decide(connection, EventType.MERGE, time_us, (younger, older))
            self._note(connection, Action.MERGE, older, younger, log_id)
        return Correction(log_id, EventType.MERGE, younger, older)

    def split(self, identity: int, tracklets: Sequence[TrackletKey]) -> Correction:
        """Says that some tracklets of an identity are another person, who gets a new identity.

        Raises:
            CorrectionRefused: The identity does not exist, a tracklet is not one of its own, or no other would be left.
        """
        keys = tuple(dict.fromkeys(tracklets))
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            left = _survivor(connection, identity)
            self._check_seen(connection, (left,))
            _check_tracklets(connection, left, keys)
            number = _new_number(connection, left)
            time_us = _last_seen(connection, (left,))
            first, *others = keys
            log_id = self._decide(connection, EventType.SPLIT, time_us, (number, left), tracklet=first)
            for key in others:
                self._decide(connection, EventType.ASSIGN, time_us, (number, None), tracklet=key)
            self._note(connection, Action.SPLIT, left, number, log_id)
        return Correction(log_id, EventType.SPLIT, number, left)

    def confirm(self, identity: int, tracklets: Sequence[TrackletKey]) -> Correction:
        """Says that some tracklets of an identity are rightly one person; nothing else of it is said.

        Raises:
            CorrectionRefused: The identity does not exist, a tracklet is not one of its own, or there are not two.
        """
        keys = tuple(dict.fromkeys(tracklets))
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            survivor = _survivor(connection, identity)
            self._check_seen(connection, (survivor,))
            rows = _rows_of(connection, survivor, keys)
            if len(rows) < 2:
                raise CorrectionRefused(f"identity {identity}: expected at least two tracklets that are one person")
            time_us = _last_seen(connection, (survivor,))
            log_id = self._decide(connection, EventType.CONFIRM, time_us, (survivor, None), tracklet=keys[0])
            keep_word(connection, log_id, rows, ())
            self._note(connection, Action.CONFIRM, survivor, survivor, log_id)
        return Correction(log_id, EventType.CONFIRM, survivor, survivor)

    def undo(self, identity: int, *, machine: bool = False) -> Correction:
        """Takes back the last MERGE, SPLIT or CONFIRM about an identity that was not taken back yet.

        Everything is then as if it had never been decided; only the number that a SPLIT made is not free again: it
        redirects to the identity that it was split from.

        Args:
            identity: On either side of the decision.
            machine: Whether a decision of the machine is meant; else it is one of an operator.

        Raises:
            CorrectionRefused: There is none, or a later decision about what a SPLIT made has to be undone first.
        """
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            survivor = _survivor(connection, identity)
            found = connection.execute(_decisions_about(identity, machine=machine).limit(1)).first()
            if found is None:
                raise CorrectionRefused(_nothing_to_undo(identity, survivor, machine=machine))
            log_id, kind, made, other, time_us = found
            self._check_seen(connection, (survivor,))
            if kind == EventType.SPLIT.value:
                _check_nothing_followed(connection, log_id, made)
            log_id = self._decide(connection, EventType.UNDO, time_us, (made, other), undoes=log_id)
            self._note(connection, Action.UNDO, identity, made, log_id)
        return Correction(log_id, EventType.UNDO, made, other, EventType(kind))

    def _check_seen(self, connection: Connection, survivors: Sequence[int]) -> None:
        """Somebody who does not see all cameras corrects only whom no other camera saw.

        Raises:
            NotAllowed: Another camera saw one of them.
        """
        query = select(Camera.name).join(Tracklet, Tracklet.camera_id == Camera.id).distinct()
        cameras = connection.scalars(query.where(Tracklet.identity.in_(survivors))).all()
        if not all(self._access.sees(camera) for camera in cameras):
            raise NotAllowed(f"{self._actor}: a camera that you do not see saw them: expected somebody who sees it")

    def _note(self, connection: Connection, action: Action, identity: int, other: int, log_id: int) -> None:
        subject = {"identity": identity, "other": other, "log_id": log_id}
        self._audit.note_in(connection, self._actor, action, self._reason, subject)

    def _decide(
        self,
        connection: Connection,
        kind: EventType,
        time_us: int,
        identities: tuple[int, int | None],
        *,
        tracklet: TrackletKey | tuple[None, None] = (None, None),
        undoes: int | None = None,
    ) -> int:
        """Applies one decision and returns its id in the log."""
        (identity, other), (camera, number) = identities, tracklet
        event = IdentityEvent(
            kind, time_us, identity, other, camera, number, None, self._evidence, self._actor, undoes=undoes
        )
        (log_id,) = IdentityLog(RowIds()).apply(connection, (event,))
        return log_id


def _survivor(connection: Connection, identity: int) -> int:
    try:
        return survivor_of(connection, identity)
    except UnknownRecord as error:
        raise CorrectionRefused(f"identity {identity}: does not exist: expected one of `identity list`") from error


def _check_tracklets(connection: Connection, identity: int, keys: Sequence[TrackletKey]) -> None:
    """Refuses tracklets that are not of a survivor, and all of them together."""
    if not keys:
        raise CorrectionRefused(f"identity {identity}: no tracklet was named: expected at least one, as CAMERA:NUMBER")
    if len(tracklets_of(connection, identity)) == len(_rows_of(connection, identity, keys)):
        raise CorrectionRefused(f"identity {identity}: these are all its tracklets: expected to leave at least one")


def _rows_of(connection: Connection, identity: int, keys: Sequence[TrackletKey]) -> list[int]:
    """The rows of tracklets of a survivor."""
    own = select(Tracklet.id).join(Camera, Camera.id == Tracklet.camera_id).where(Tracklet.identity == identity)
    rows = []
    for camera, number in keys:
        row = connection.scalar(own.where(Camera.name == camera, has_number(Tracklet.number, number)))
        if row is None:
            raise CorrectionRefused(
                f"{camera}:{number}: no tracklet of identity {identity}: expected one of `journey {identity}`"
            )
        rows.append(row)
    return rows


def _new_number(connection: Connection, left: int) -> int:
    """The number of a split's identity.

    A run that is going on counts for itself, and its next numbers are not known here: beside one a split counts in a
    range of its own. A run is in the table before it asks for its first number.
    """
    running = connection.scalar(select(exists().where(Run.status == RunStatus.RUNNING.value)))
    if running or left > BESIDE_A_RUN:  # a split's identity is younger than the one that it comes from
        highest = connection.scalar(select(func.max(Identity.id))) or 0
        return max(highest, BESIDE_A_RUN) + 1
    return connection.execute(select(Site.next_identity)).scalar_one()


def _last_seen(connection: Connection, identities: Sequence[int]) -> int:
    seen = connection.scalar(select(func.max(Tracklet.last_us)).where(Tracklet.identity.in_(identities)))
    return (
        seen or connection.execute(select(func.max(Identity.opened_us)).where(Identity.id.in_(identities))).scalar_one()
    )


def _decisions_about(
    identity: int, kinds: Collection[EventType] = _UNDOABLE, *, machine: bool
) -> Select[int, str, int, int, int]:
    """The merges, splits and confirmations that name an identity and were not undone, newest first."""
    entry = IdentityLogEntry
    return (
        select(entry.id, entry.type, entry.identity, func.coalesce(entry.other, entry.identity), entry.time_us)
        .where(
            or_(entry.identity == identity, entry.other == identity),
            entry.type.in_([kind.value for kind in kinds]),
            (entry.actor == MACHINE) if machine else (entry.actor != MACHINE),
            ~IS_UNDONE,
        )
        .order_by(entry.id.desc())
    )


def _nothing_to_undo(identity: int, survivor: int, *, machine: bool) -> str:
    who, instead = ("the machine", "") if machine else ("an operator", ", or --machine for those of the machine")
    part = f" (it is part of {survivor} now)" if survivor != identity else ""
    return f"identity {identity}{part}: no merge or split by {who} to undo: expected an identity that has one{instead}"


def _check_nothing_followed(connection: Connection, log_id: int, made: int) -> None:
    """Else the identity that a split made would take with it whom it was merged with since."""
    for machine in (False, True):
        later = _decisions_about(made, _MOVING, machine=machine).where(IdentityLogEntry.id > log_id)
        if connection.execute(later.limit(1)).first() is not None:
            option = " --machine" if machine else ""
            raise CorrectionRefused(
                f"identity {made}: there are later decisions about it than its split: undo these first: "
                f"identity undo {made}{option}"
            )
