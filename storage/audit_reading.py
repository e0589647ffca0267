"""The audit log as people read it: newest first, some at a time, and only for those who may."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Select, func, or_, select, tuple_

from reid_pipeline.storage.audit_log import Action, AuditCheck, AuditLog, AuditRecord
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.permissions import Access, Permission
from reid_pipeline.storage.schema_governance import AuditEntry

LOOKED_AT: Final = 50_000
"""Entries that one question looks at: the log of a year has a million, of which a filter may leave none."""
_AT_ONCE: Final = 1_000

Place = tuple[int, int]  # time and number of an entry


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; what is left out does not choose. Entries that an erasure emptied tell only their time.

    Attributes:
        actor: Who.
        action: What.
        since_us: From this wall-clock time on.
        until_us: Before this one.
    """

    actor: str | None = None
    action: Action | None = None
    since_us: int | None = None
    until_us: int | None = None


EVERYTHING: Final = AuditFilter()


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some entries, newest first, and where the next older ones begin; None where there are none."""

    entries: tuple[AuditRecord, ...]
    older: Place | None


class AuditReader:
    """Reads for one person.

    Args:
        database: Of the site.
        access: Of who reads.
        looked_at: Entries that `newest` looks at.

    Raises:
        NotAllowed: They may not.
    """

    def __init__(self, database: Database, access: Access, looked_at: int = LOOKED_AT) -> None:
        access.require_all_cameras(Permission.AUDIT)
        self._database = database
        self._access = access
        self._looked_at = looked_at
        self._log = AuditLog(database)

    @property
    def public_key(self) -> str:
        """Of the site, hexadecimal."""
        return self._log.public_key

    def newest(self, limit: int, wanted: AuditFilter = EVERYTHING, before: Place | None = None) -> AuditPage:
        """The newest entries that fit; fewer than the limit where many that do not fit lie between.

        Args:
            limit: How many at most.
            wanted: Which.
            before: Only older ones, as `AuditPage.older` says.
        """
        looked_at = _newest_first(wanted, before).limit(self._looked_at)
        some = looked_at.subquery()
        fitting = select(some.c.id).where(*_heads(wanted, some.c.content))
        query = fitting.order_by(some.c.at_us.desc(), some.c.id.desc()).limit(limit)
        with self._database.session_scope() as session:
            connection = session.connection()
            numbers = connection.scalars(query).all()
            found = self._log.read_in(connection, AuditEntry.id.in_(numbers))
            entries = tuple(sorted(found, key=_place, reverse=True))
            if len(entries) == limit:
                return AuditPage(entries, _place(entries[-1]))
            last = connection.execute(looked_at.offset(self._looked_at - 1).limit(1)).one_or_none()
            return AuditPage(entries, None if last is None else (last.at_us, last.id))

    def export(self, limit: int, wanted: AuditFilter = EVERYTHING) -> tuple[AuditRecord, ...]:
        """The newest entries that fit, for use elsewhere, which is accounted for first.

        Args:
            limit: How many at most.
            wanted: Which.
        """
        named = {"actor": wanted.actor, "action": wanted.action, "since_us": wanted.since_us}
        chosen = {key: value for key, value in (*named.items(), ("until_us", wanted.until_us)) if value is not None}
        self._log.note(self._access.name, Action.EXPORT, "", {"what": "audit log", **chosen})
        return tuple(each for _, each in zip(range(limit), self._walk(wanted), strict=False))

    def verify(self) -> AuditCheck:
        """Goes through the whole chain: see `AuditLog.verify`."""
        return self._log.verify()

    def _walk(self, wanted: AuditFilter) -> Iterator[AuditRecord]:
        page = self.newest(_AT_ONCE, wanted)
        yield from page.entries
        while page.older is not None:
            page = self.newest(_AT_ONCE, wanted, page.older)
            yield from page.entries


def _place(entry: AuditRecord) -> Place:
    return entry.at_us, entry.id


def _newest_first(wanted: AuditFilter, before: Place | None) -> Select[int, int, str | None]:
    entry = AuditEntry
    query = select(entry.id, entry.at_us, entry.content).order_by(entry.at_us.desc(), entry.id.desc())
    if wanted.since_us is not None:
        query = query.where(entry.at_us >= wanted.since_us)
    if wanted.until_us is not None:
        query = query.where(entry.at_us < wanted.until_us)
    return query if before is None else query.where(tuple_(entry.at_us, entry.id) < before)


def _heads(wanted: AuditFilter, content: ColumnElement[str | None]) -> list[ColumnElement[bool]]:
    """Conditions on the canonical JSON of an entry, which begins with what was done and who did it."""
    if wanted.actor is None and wanted.action is None:
        return []
    actions = tuple(Action) if wanted.action is None else (wanted.action,)
    heads = (_head(action, wanted.actor) for action in actions)
    return [or_(*(func.substr(content, 1, len(head)) == head for head in heads))]


def _head(action: Action, actor: str | None) -> str:
    head = f'{{"action":"{action}",'
    return head if actor is None else f'{head}"actor":{json.dumps(actor, ensure_ascii=False)},'
