"""The audit log: who did what with people's data, when and why. Rows are only added, and any change is found.

Each entry holds the digest of its content, and a digest of that with the one before: a chain. Its end is signed, and so
is its beginning once the retention time has taken the oldest entries. What an erasure has to take out of an entry goes
without breaking the chain: the digest of the content stays, and the entry names the signed erasure.

    digest(n) = SHA-256(digest(n - 1) + n + time of n + SHA-256(content of n)); digest(0) is 32 zeros

An entry is written in the transaction of what it is about, or before its answer is given where that changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from reid_pipeline.storage.database import Database
from reid_pipeline.storage.schema_governance import AuditEntry, AuditSeal, Erasure
from reid_pipeline.storage.signing import SigningKey, open_signing_key

BEGIN: Final = bytes(32)
_AT_ONCE: Final = 1_000


class Action(StrEnum):
    """What is accounted for."""

    SEARCH = "search"
    JOURNEY = "journey"
    EXPORT = "export"
    MERGE = "merge"
    SPLIT = "split"
    CONFIRM = "confirm"
    UNDO = "undo"
    ERASE = "erase"
    ACCESS = "access"
    RETENTION = "retention"
    CASE = "case"
    WATCH = "watch"
    USER = "user"
    LOGIN = "login"
    BACKUP = "backup"
    RESTORE = "restore"
    MODEL = "model"  # which encoder serves
    PLAN = "plan"  # of the site, and where its cameras are
    IMPORT = "import"
    AGAIN = "again"  # what a recording gave was removed, to read it anew
    MEND = "mend"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An entry.

    Attributes:
        id: Its number.
        at_us: Wall-clock time.
        actor: Who.
        action: What.
        reason: Why, in their words.
        subject: About what, ready for JSON: numbers and names of cameras, never pictures or vectors.
        erasure: Number of the erasure that took actor to subject, which are empty then.
    """

    id: int
    at_us: int
    actor: str
    action: str
    reason: str
    subject: Mapping[str, object]
    erasure: int | None = None


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What `AuditLog.verify` found.

    Attributes:
        entries: How many were looked at.
        erased: Of how many the content was taken by erasures.
        first: Number of the first entry there is; None where there is none.
        last: Number of the last one.
        digest: Of the end of the chain, hexadecimal: note it elsewhere, and a later check can be held against it.
        faults: What is wrong, one line each; empty where all is as it was written.
    """

    entries: int
    erased: int
    first: int | None
    last: int | None
    digest: str
    faults: tuple[str, ...]


class AuditLog:
    """The log of one site.

    Args:
        database: Of the site.
        now_us: The wall clock.
    """

    def __init__(self, database: Database, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._database = database
        self._now_us = now_us
        self._key = open_signing_key(database.data_dir)

    @property
    def public_key(self) -> str:
        """Of the site, hexadecimal."""
        return self._key.public

    def note(self, actor: str, action: Action, reason: str, subject: Mapping[str, object]) -> int:
        """Adds an entry in a transaction of its own and returns its number; see `AuditRecord`."""
        with self._database.session_scope(write=True) as session:
            return self.note_in(session.connection(), actor, action, reason, subject)

    def note_in(
        self, connection: Connection, actor: str, action: Action, reason: str, subject: Mapping[str, object]
    ) -> int:
        """As `note`, in a write transaction of the caller."""
        content = canonical({"actor": actor, "action": action.value, "reason": reason, "subject": dict(subject)})
        last, before = _end(connection)
        number, at_us, inner = last + 1, self._now_us(), hashlib.sha256(content).digest()
        digest = _link(before, number, at_us, inner)
        row = {"id": number, "at_us": at_us, "content": content.decode(), "content_digest": inner, "digest": digest}
        connection.execute(insert(AuditEntry), [row])
        _seal(connection, self._key, "end", number, digest)
        return number

    def read(self, since_us: int | None = None, until_us: int | None = None) -> Iterator[AuditRecord]:
        """The entries with ``since_us <= at_us < until_us``, oldest first."""
        query = select(AuditEntry).order_by(AuditEntry.id)
        if since_us is not None:
            query = query.where(AuditEntry.at_us >= since_us)
        if until_us is not None:
            query = query.where(AuditEntry.at_us < until_us)
        with self._database.session_scope() as session:
            for row in session.scalars(query.execution_options(yield_per=_AT_ONCE)):
                yield _record(row.id, row.at_us, row.content, row.erasure_id)

    def read_in(self, connection: Connection, condition: ColumnElement[bool]) -> list[AuditRecord]:
        """The entries that fulfil a condition, oldest first, in a transaction of the caller."""
        entry = AuditEntry
        query = select(entry.id, entry.at_us, entry.content, entry.erasure_id).where(condition).order_by(entry.id)
        return [_record(*row) for row in connection.execute(query)]

    def verify(self) -> AuditCheck:
        """Goes through the whole chain from its signed beginning to its signed end."""
        with self._database.session_scope() as session:
            return _Verification(session.connection(), self._key).run()

    def blank_in(self, connection: Connection, entries: Sequence[int], erasure: int) -> None:
        """Takes the contents of entries for an erasure, in its transaction; the chain holds."""
        for begin in range(0, len(entries), _AT_ONCE):
            some = AuditEntry.id.in_(entries[begin : begin + _AT_ONCE])
            connection.execute(update(AuditEntry).where(some).values(content=None, erasure_id=erasure))

    def expire(self, before_us: int) -> int:
        """Removes entries from before a time and signs where the chain begins now; returns how many.

        The last entry stays in any case.
        """
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            kept = select(func.min(AuditEntry.id)).where(AuditEntry.at_us >= before_us)
            last, _ = _end(connection)
            first = connection.scalar(kept) or last
            gone = connection.execute(
                select(AuditEntry.id, AuditEntry.digest)
                .where(AuditEntry.id < first)
                .order_by(AuditEntry.id.desc())
                .limit(1)
            ).one_or_none()
            if gone is None:
                return 0
            _seal(connection, self._key, "begin", gone.id, gone.digest)
            return connection.execute(delete(AuditEntry).where(AuditEntry.id <= gone.id)).rowcount


class _Verification:
    """One walk through the log."""

    def __init__(self, connection: Connection, key: SigningKey) -> None:
        self._connection = connection
        self._key = key
        self._faults: list[str] = []

    def run(self) -> AuditCheck:
        begin, digest = self._seal("begin")
        first, entries, erased, number = None, 0, 0, begin
        erasures = self._erasures()
        rows = self._connection.execute(select(AuditEntry.__table__).order_by(AuditEntry.id))
        for row in rows.yield_per(_AT_ONCE):
            first = row.id if first is None else first
            if row.id != number + 1:
                self._faults.append(f"entries {number + 1} to {row.id - 1} are missing")
            self._check(row.id, row.content, row.content_digest, row.erasure_id, erasures)
            number, digest = row.id, _link(digest, row.id, row.at_us, row.content_digest)
            if digest != row.digest:
                self._faults.append(f"entry {row.id}: does not follow from the one before it")
                digest = row.digest
            entries, erased = entries + 1, erased + (row.content is None)
        self._check_end(number, digest)
        return AuditCheck(entries, erased, first, number if entries else None, digest.hex(), tuple(self._faults))

    def _check(self, number: int, content: str | None, digest: bytes, erasure: int | None, erasures: set[int]) -> None:
        if content is None:
            if erasure not in erasures:
                self._faults.append(f"entry {number}: its content is gone, and no signed erasure took it")
        elif hashlib.sha256(content.encode()).digest() != digest:
            self._faults.append(f"entry {number}: its content was changed")

    def _check_end(self, number: int, digest: bytes) -> None:
        last, signed = self._seal("end")
        if number < last:
            self._faults.append(f"entries {number + 1} to {last} are missing at the end")
        elif number > last or digest != signed:
            self._faults.append(f"entry {number}: the end of the log is not the one that was signed")

    def _seal(self, name: str) -> tuple[int, bytes]:
        row = self._connection.execute(
            select(AuditSeal.entry_id, AuditSeal.digest, AuditSeal.signature).where(AuditSeal.name == name)
        ).one_or_none()
        if row is None:
            return 0, BEGIN
        if not self._key.verifies(row.signature, _sealed(name, row.entry_id, row.digest)):
            self._faults.append(f"the {name} of the log was not signed by this site's key")
        return row.entry_id, row.digest

    def _erasures(self) -> set[int]:
        """Those whose report is signed."""
        rows = self._connection.execute(select(Erasure.id, Erasure.report, Erasure.signature))
        return {row.id for row in rows if self._key.verifies(row.signature, canonical(row.report))}


def canonical(report: Mapping[str, object]) -> bytes:
    """The bytes of a report that are signed."""
    return json.dumps(report, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _link(before: bytes, number: int, at_us: int, content_digest: bytes) -> bytes:
    return hashlib.sha256(before + _eight_bytes(number) + _eight_bytes(at_us) + content_digest).digest()


def _end(connection: Connection) -> tuple[int, bytes]:
    row = connection.execute(select(AuditSeal.entry_id, AuditSeal.digest).where(AuditSeal.name == "end")).one_or_none()
    return (0, BEGIN) if row is None else (row.entry_id, row.digest)


def _seal(connection: Connection, key: SigningKey, name: str, number: int, digest: bytes) -> None:
    values = {"entry_id": number, "digest": digest, "signature": key.sign(_sealed(name, number, digest))}
    if not connection.execute(update(AuditSeal).where(AuditSeal.name == name).values(values)).rowcount:
        connection.execute(insert(AuditSeal).values(name=name, **values))


def _sealed(name: str, number: int, digest: bytes) -> bytes:
    return name.encode() + _eight_bytes(number) + digest


def _eight_bytes(number: int) -> bytes:
    return number.to_bytes(8, "big", signed=True)


def _record(number: int, at_us: int, content: str | None, erasure: int | None) -> AuditRecord:
    if content is None:
        return AuditRecord(number, at_us, "", "", "", {}, erasure)
    found = json.loads(content)
    return AuditRecord(number, at_us, found["actor"], found["action"], found["reason"], found["subject"])
