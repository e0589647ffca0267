"""Watch lists: whom a run looks out for, for a case, for a reason, for a time, once a second person has agreed.

    propose (investigator) -> approve (privacy officer, another person) -> active -> ended, expired or its case closed

Who it is: an identity, as whom a tracklet may be assigned, or examples of the looks, with which tracklets are compared.
How sure an alert has to be is given as the part of alerts that may be wrong: probabilities are calibrated, so of alerts
that each have at least ``1 - rate`` no more than that part is expected to be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.errors import UnknownRecord, WatchRefused
from reid_pipeline.storage.permissions import ALLOWED, Access, Permission
from reid_pipeline.storage.schema import Identity
from reid_pipeline.storage.schema_governance import Case, WatchAlert, WatchEntry, WatchExample
from reid_pipeline.storage.settlement import survivor_of
from reid_pipeline.storage.watch_vectors import Example, count_examples, read_examples, remove_examples, store_examples

LONGEST_US: Final = 30 * 86_400_000_000  # from the proposal to its end
MOST_WRONG: Final = 0.5  # of the alerts


class WatchState(StrEnum):
    """Where an entry stands; only an active one gives alerts."""

    PENDING = "pending"  # waits for a second person
    ACTIVE = "active"
    EXPIRED = "expired"
    ENDED = "ended"
    CASE_CLOSED = "case closed"


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """Whom to watch for.

    Attributes:
        case: Number of an open case.
        reason: Why.
        expires_us: Until when, wall clock.
        rate: The part of its alerts that may be wrong, above 0 and at most `MOST_WRONG`.
        label: What those who get the alerts are told.
        identity: Who it is,
        examples: or how they look.
    """

    case: int
    reason: str
    expires_us: int
    rate: float
    label: str = ""
    identity: int | None = None
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class WatchRecord:
    """An entry; times in microseconds since 1970 UTC.

    Attributes:
        id: Its number.
        case: Of which case.
        label: As in `Proposal`.
        reason: As in `Proposal`.
        identity: Who it is after all merges; None where that is told by examples.
        examples: How many there are of each model, by its hash.
        rate: As in `Proposal`.
        state: Where it stands.
        added: When it was proposed, and by whom.
        approved: When it was approved, and by whom.
        ended: When it was ended, and by whom.
        expires_us: When it ends in any case.
    """

    id: int
    case: int
    label: str
    reason: str
    identity: int | None
    examples: Mapping[str, int]
    rate: float
    state: WatchState
    added: tuple[int, str]
    approved: tuple[int, str] | None
    ended: tuple[int, str] | None
    expires_us: int


@dataclass(frozen=True, slots=True, eq=False)
class ActiveEntry:
    """What a run has to know of an active entry; `examples` ``(N, D)`` by model hash, `identity` after all merges."""

    id: int
    rate: float
    identity: int | None
    examples: Mapping[str, NDArray[np.float32]]


class WatchLists:
    """The watch lists of a site, for one person. Each change is one transaction with its entry in the audit log.

    Args:
        database: Of the site.
        access: Of who adds, approves and ends.
        now_us: The wall clock.
    """

    def __init__(
        self, database: Database, access: Access, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        self._database = database
        self._access = access
        self._now_us = now_us
        self._audit = AuditLog(database, now_us)

    def propose(self, proposal: Proposal) -> int:
        """Adds an entry, which does nothing before somebody else approves it; returns its number.

        Raises:
            NotAllowed: They may not.
            WatchRefused: There is no such open case or identity, or something of it cannot be so.
        """
        self._access.require_all_cameras(Permission.WATCH)
        self._check(proposal)
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            _check_case(connection, proposal.case)
            values = {
                "case_id": proposal.case,
                "identity": _identity(connection, proposal.identity),
                "label": proposal.label,
                "reason": proposal.reason,
                "rate": proposal.rate,
                "added_us": self._now_us(),
                "added_by": self._access.name,
                "expires_us": proposal.expires_us,
            }
            entry: int = connection.execute(insert(WatchEntry).values(values).returning(WatchEntry.id)).scalar_one()
            store_examples(connection, self._database.vault, entry, proposal.examples)
            about = {"case": proposal.case, "identity": values["identity"], "rate": proposal.rate}
            self._note(connection, proposal.reason, entry, "propose", **about)
            return entry

    def approve(self, entry: int, reason: str = "") -> None:
        """Makes an entry active.

        Raises:
            NotAllowed: They may not.
            WatchRefused: They have added it themselves, or it does not wait for that.
        """
        self._access.require_all_cameras(Permission.APPROVE)
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            row = _find(session, entry)
            state = self._state(row, _is_open(connection, row.case_id))
            if state is not WatchState.PENDING:
                raise WatchRefused(f"entry {entry}: is {state}: expected one that is pending: see `watch list`")
            if row.added_by == self._access.name:
                raise WatchRefused(
                    f"entry {entry}: {row.added_by} has added it: expected a second person to approve it"
                )
            row.approved_us, row.approved_by = self._now_us(), self._access.name
            self._note(connection, reason, entry, "approve")

    def end(self, entry: int, reason: str = "") -> None:
        """Ends an entry and removes its examples, their key too; its alerts stay as long as what they are about.

        Raises:
            NotAllowed: They may neither add nor approve.
            WatchRefused: There is no such entry, or it was ended before.
        """
        self._require_any()
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            if _find(session, entry).ended_us is not None:
                raise WatchRefused(f"entry {entry}: was ended before")
            removed = end_entries(connection, [entry], self._access.name, self._now_us())
            self._note(connection, reason, entry, "end")
        if removed:
            self._database.forget_writes()

    def read(self) -> tuple[WatchRecord, ...]:
        """All entries, by number.

        Raises:
            NotAllowed: They may neither add nor approve.
        """
        self._require_any()
        with self._database.session_scope() as session:
            connection = session.connection()
            examples = count_examples(connection)
            survivors = func.coalesce(Identity.merged_into, Identity.id)
            rows = session.execute(
                select(WatchEntry, Case.closed_us.is_(None), survivors)
                .join(Case, Case.id == WatchEntry.case_id)
                .outerjoin(Identity, Identity.id == WatchEntry.identity)
                .order_by(WatchEntry.id)
            ).all()
            return tuple(
                _record(row, self._state(row, open_case), identity, examples.get(row.id, {}))
                for row, open_case, identity in rows
            )

    def _require_any(self) -> None:
        mine = ALLOWED[self._access.role]
        self._access.require_all_cameras(Permission.APPROVE if Permission.APPROVE in mine else Permission.WATCH)

    def _check(self, proposal: Proposal) -> None:
        now_us = self._now_us()
        if not proposal.reason.strip():
            raise WatchRefused("expected a reason: to watch for somebody has to be accounted for")
        if (proposal.identity is None) != bool(proposal.examples):
            raise WatchRefused("expected either an identity or examples")
        if not now_us < proposal.expires_us <= now_us + LONGEST_US:
            raise WatchRefused(f"expected an end in the future and within {LONGEST_US // 86_400_000_000} days")
        if not 0 < proposal.rate <= MOST_WRONG:
            raise WatchRefused(f"rate {proposal.rate:g}: expected a part of the alerts above 0 and up to {MOST_WRONG}")

    def _state(self, row: WatchEntry, open_case: bool) -> WatchState:
        if row.ended_us is not None:
            return WatchState.ENDED
        if row.expires_us <= self._now_us():
            return WatchState.EXPIRED
        if not open_case:
            return WatchState.CASE_CLOSED
        return WatchState.PENDING if row.approved_us is None else WatchState.ACTIVE

    def _note(self, connection: Connection, reason: str, entry: int, what: str, **about: object) -> None:
        known = {key: value for key, value in about.items() if value is not None}
        subject = {"watch": entry, "what": what, **known}
        self._audit.note_in(connection, self._access.name, Action.WATCH, reason, subject)


def read_active(database: Database, now_us: int) -> tuple[ActiveEntry, ...]:
    """The entries that are active at a time, by number; for a run."""
    entry = WatchEntry
    survivor = func.coalesce(Identity.merged_into, Identity.id)
    open_cases = select(Case.id).where(Case.closed_us.is_(None))
    agreed = entry.approved_us.is_not(None) & entry.case_id.in_(open_cases)
    active = (entry.expires_us > now_us, entry.ended_us.is_(None), agreed)
    query = select(entry.id, entry.rate, survivor).outerjoin(Identity, Identity.id == entry.identity).where(*active)
    with database.session_scope() as session:
        rows = sorted(session.execute(query), key=itemgetter(0))
        return tuple(ActiveEntry(*row, read_examples(session, database.vault, row.id)) for row in rows)


def end_entries(connection: Connection, entries: Sequence[int], actor: str, now_us: int) -> int:
    """Ends entries that have not ended, and removes the examples of all of them; tells how many examples."""
    if not entries:
        return 0
    going = WatchEntry.id.in_(entries) & WatchEntry.ended_us.is_(None)
    connection.execute(update(WatchEntry).where(going).values(ended_us=now_us, ended_by=actor))
    return remove_examples(connection, entries)


def forget_watched(
    connection: Connection, tracklets: Sequence[int], identities: Sequence[int], actor: str, now_us: int
) -> None:
    """Ends what watches for people who are erased, removes its examples and alerts and blanks its words.

    Args:
        connection: Of a write transaction; the tracklets are still there.
        tracklets: Rows of tracklets that go: who has an example of one is watched for as well.
        identities: Whose tracklets all go.
        actor: Who erases.
        now_us: The wall clock.
    """
    shown = select(WatchExample.entry_id).where(WatchExample.tracklet_id.in_(tracklets))
    of_them = WatchEntry.identity.in_(identities) | WatchEntry.id.in_(shown)
    entries = connection.scalars(select(WatchEntry.id).where(of_them)).all()
    end_entries(connection, entries, actor, now_us)
    connection.execute(update(WatchEntry).where(WatchEntry.id.in_(entries)).values(label="", reason=""))
    connection.execute(delete(WatchAlert).where(WatchAlert.entry_id.in_(entries)))


def expire_watched(connection: Connection, now_us: int, before_us: int | None) -> int:
    """Removes the examples of entries that are over, and entries that were over before a time; tells how many rows."""
    closed = select(Case.id).where(Case.closed_us.is_not(None))
    over = or_(WatchEntry.ended_us.is_not(None), WatchEntry.expires_us <= now_us, WatchEntry.case_id.in_(closed))
    removed = remove_examples(connection, select(WatchEntry.id).where(over))
    if before_us is None:
        return removed
    long_over = over & (func.coalesce(WatchEntry.ended_us, WatchEntry.expires_us) < before_us)
    entries = select(WatchEntry.id).where(long_over)
    connection.execute(delete(WatchAlert).where(WatchAlert.entry_id.in_(entries)))
    return removed + connection.execute(delete(WatchEntry).where(long_over)).rowcount


def _record(row: WatchEntry, state: WatchState, identity: int | None, examples: Mapping[str, int]) -> WatchRecord:
    return WatchRecord(
        id=row.id,
        case=row.case_id,
        label=row.label,
        reason=row.reason,
        identity=identity,
        examples=examples,
        rate=row.rate,
        state=state,
        added=(row.added_us, row.added_by),
        approved=_when_and_who(row.approved_us, row.approved_by),
        ended=_when_and_who(row.ended_us, row.ended_by),
        expires_us=row.expires_us,
    )


def _when_and_who(at_us: int | None, name: str | None) -> tuple[int, str] | None:
    return None if at_us is None or name is None else (at_us, name)


def _find(session: Session, entry: int) -> WatchEntry:
    row = session.get(WatchEntry, entry)
    if row is None:
        raise WatchRefused(f"entry {entry}: there is none: see `reid-pipeline watch list`")
    return row


def _is_open(connection: Connection, case: int) -> bool:
    condition: ColumnElement[bool] = exists().where(Case.id == case, Case.closed_us.is_(None))
    return bool(connection.scalar(select(condition)))


def _check_case(connection: Connection, case: int) -> None:
    if not _is_open(connection, case):
        raise WatchRefused(f"case {case}: expected the number of an open case: see `reid-pipeline case list`")


def _identity(connection: Connection, identity: int | None) -> int | None:
    try:
        return None if identity is None else survivor_of(connection, identity)
    except UnknownRecord as error:
        raise WatchRefused(str(error)) from error
