"""Erasing people: everything that a site keeps of some tracklets goes, and a signed report says so.

What is to go is noted first, then it goes step by step, then the note is emptied and the report is signed. Each step
can be done again: whatever dies in between, `Erasures.recover` ends it. No run and nothing that learns may go on beside
it, as they hold in memory what is to be forgotten.

    begin -> corpus -> logs -> rows -> clips -> vector indices -> files (`erasure_files`) -> report

What stays: the numbers of identities, which are never given again; counts; and that the site's later models were
trained when the pictures were there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, exists, insert, or_, select, update
from sqlalchemy.orm import Session

from reid_pipeline.storage.audit_log import Action, AuditLog, canonical
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.encryption import shred_keys
from reid_pipeline.storage.erasure_clips import erase_clips
from reid_pipeline.storage.erasure_files import erase_from_files
from reid_pipeline.storage.erasure_plan import ErasurePreview, Plan, Target, note_plan, preview
from reid_pipeline.storage.errors import ErasureRefused, SiteBusy
from reid_pipeline.storage.permissions import Access, Permission
from reid_pipeline.storage.removal import AT_ONCE, remove_tracklet_rows
from reid_pipeline.storage.schema import IdentityLogEntry, Source, Tracklet
from reid_pipeline.storage.schema_governance import AuditEntry, ErasedContent, ErasedSource, Erasure
from reid_pipeline.storage.schema_learning import CorpusItem, LearningRun
from reid_pipeline.storage.signing import open_signing_key
from reid_pipeline.storage.vector_index_sync import purge_indices
from reid_pipeline.storage.watch_lists import forget_watched


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What went.

    Attributes:
        id: Number of the erasure.
        report: What is signed, ready for JSON.
        signature: Ed25519, hexadecimal.
        public_key: What it can be checked with, hexadecimal.
    """

    id: int
    report: Mapping[str, object]
    signature: str
    public_key: str

    @property
    def fields(self) -> Mapping[str, object]:
        """The report with what proves it, ready for JSON."""
        return {**self.report, "signature": self.signature, "public_key": self.public_key}


class Erasures:
    """Erases in one site. `erase` under `Database.lock_for_all`, `recover` under those for runs and learning.

    Args:
        database: Of the site.
        access: Of who erases.
        now_us: The wall clock.

    Raises:
        NotAllowed: They may not.
    """

    def __init__(
        self, database: Database, access: Access, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        access.require_all_cameras(Permission.ERASE)
        self._database = database
        self._actor = access.name
        self._now_us = now_us
        self._audit = AuditLog(database, now_us)
        self._key = open_signing_key(database.data_dir)

    def preview(self, target: Target) -> ErasurePreview:
        """What `erase` would remove.

        Raises:
            UnknownRecord: There is no such identity.
        """
        with self._database.session_scope() as session:
            return preview(session, target)

    def erase(self, target: Target, reason: str) -> ErasureReport:
        """Erases for good.

        Args:
            target: Whom.
            reason: Why, for the report; without names of people.

        Raises:
            ErasureRefused: There is nothing of them, or an open case holds some of it; or nobody says why.
            UnknownRecord: There is no such identity.
            SiteBusy: Somebody reads for long what is to be forgotten; the next call of anything here ends it.
        """
        if not reason.strip():
            raise ErasureRefused("expected a reason: an erasure has to be accounted for")
        with self._database.session_scope(write=True) as session:
            found = preview(session, target)
            if found.refusal is not None:
                raise ErasureRefused(found.refusal)
            number = self._begin(session, target, found, reason)
        return self._go_on(number)

    @staticmethod
    def are_broken_off(database: Database) -> bool:
        """Whether `recover` has anything to do."""
        with database.session_scope() as session:
            return bool(session.scalar(select(exists().where(~Erasure.finished))))

    def recover(self) -> list[ErasureReport]:
        """Ends erasures that were broken off."""
        with self._database.session_scope() as session:
            begun = session.scalars(select(Erasure.id).where(~Erasure.finished).order_by(Erasure.id)).all()
        return [self._go_on(number) for number in begun]

    def read(self) -> tuple[ErasureReport, ...]:
        """All that were ended, oldest first."""
        with self._database.session_scope() as session:
            rows = session.scalars(select(Erasure).where(Erasure.finished).order_by(Erasure.id))
            return tuple(self._report(row.id, row.report, row.signature or b"") for row in rows)

    def _begin(self, session: Session, target: Target, found: ErasurePreview, reason: str) -> int:
        plan = note_plan(session, self._database.data_dir, self._audit, target, found) | {"reason": reason}
        erasure = Erasure(at_us=self._now_us(), actor=self._actor, finished=False, plan=plan, report={}, signature=None)
        session.add(erasure)
        session.flush()
        _bar_sources(session.connection(), [row[0] for row in plan["tracklets"]], erasure.id)
        return erasure.id

    def _go_on(self, number: int) -> ErasureReport:
        plan = Plan.read(self._database, number)
        self._erase_corpus(number, plan)
        blanked = self._erase_from_logs(number, plan)
        self._erase_rows(plan)
        erase_clips(self._database, plan.raw.get("clips", []), plan.raw.get("clip_parts", []))
        purge_indices(self._database, np.array(plan.embeddings, np.int64))
        files = erase_from_files(self._database.data_dir, plan.tracklets, plan.emptied, plan.first_us, blanked.exports)
        with self._database.session_scope(write=True) as session:
            shred_keys(session)
        if not self._database.forget_writes():
            raise SiteBusy(f"erasure {number}: somebody reads the database for long: end that, and erase again")
        return self._finish(number, plan, blanked.entries, files)

    def _erase_corpus(self, number: int, plan: Plan) -> None:
        for some in _in_parts(plan.corpus):
            with self._database.session_scope(write=True) as session:
                items = CorpusItem.tracklet_id.in_(some) & CorpusItem.digest.is_not(None)
                known = select(ErasedContent.digest)
                digests = set(session.scalars(select(CorpusItem.digest).where(items, CorpusItem.digest.not_in(known))))
                if digests:
                    rows = [{"digest": digest, "erasure_id": number} for digest in digests]
                    session.execute(insert(ErasedContent), rows)
        CorpusStore(self._database).remove(plan.corpus)

    def _erase_from_logs(self, number: int, plan: Plan) -> _Blanked:
        with self._database.session_scope(write=True) as session:
            connection = session.connection()
            named = or_(IdentityLogEntry.identity.in_(plan.emptied), IdentityLogEntry.other.in_(plan.emptied))
            for about in (named, *(IdentityLogEntry.tracklet_id.in_(some) for some in _in_parts(plan.rows))):
                session.execute(
                    update(IdentityLogEntry).where(about).values(evidence={"erasure": number}, probability=None)
                )
            blanked = _entries_about(self._audit, connection, plan.emptied)
            self._audit.blank_in(connection, [entry["id"] for entry in blanked.entries], number)
            kept = {**plan.raw, "blanked": plan.raw.get("blanked", []) + blanked.entries}
            kept["exports"] = plan.raw.get("exports", []) + list(blanked.exports)
            connection.execute(update(Erasure).where(Erasure.id == number).values(plan=kept))
        return _Blanked(kept["blanked"], tuple(kept["exports"]))

    def _erase_rows(self, plan: Plan) -> None:
        crops = CropStore(self._database.data_dir)
        for some in _in_parts(plan.rows):
            with self._database.session_scope(write=True) as session:
                forget_watched(session.connection(), some, plan.emptied, self._actor, self._now_us())
                remove_tracklet_rows(session, crops, some)

    def _finish(
        self, number: int, plan: Plan, blanked: Sequence[Mapping[str, object]], files: Sequence[str]
    ) -> ErasureReport:
        with self._database.session_scope(write=True) as session:
            row = session.get_one(Erasure, number)
            report = {
                "erasure": number,
                "begun": _iso(row.at_us),
                "ended": _iso(self._now_us()),
                "actor": row.actor,
                "reason": plan.raw["reason"],
                **plan.raw["counts"],
                "corpus_crops": plan.raw["corpus_crops"],
                "identities": plan.emptied,
                "audit_entries": list(blanked),
                "files": list(files),
                "models_trained_since": _models_since(session, plan.first_us),
            }
            row.report, row.plan, row.finished = report, {}, True
            row.signature = self._key.sign(canonical(report))
            subject = {"erasure": number, **plan.raw["counts"]}
            self._audit.note_in(session.connection(), row.actor, Action.ERASE, plan.raw["reason"], subject)
            return self._report(number, report, row.signature)

    def _report(self, number: int, report: Mapping[str, object], signature: bytes) -> ErasureReport:
        return ErasureReport(number, report, signature.hex(), self._key.public)


@dataclass(frozen=True, slots=True)
class _Blanked:
    """Entries of the audit log whose contents went: their numbers, actors, actions; and folders that they exported."""

    entries: list[dict[str, Any]]
    exports: tuple[str, ...]


def _bar_sources(connection: Connection, rows: Sequence[int], erasure: int) -> None:
    """Notes the recordings that show them: `run --again` refuses these."""
    for some in _in_parts(rows):
        shown = select(Tracklet.source_id).where(Tracklet.id.in_(some))
        query = select(Source.id).where(Source.id.in_(shown), ~Source.live)
        fresh = query.where(Source.id.not_in(select(ErasedSource.source_id)))
        values = [{"source_id": row, "erasure_id": erasure} for row in connection.scalars(fresh)]
        if values:
            connection.execute(insert(ErasedSource), values)


def _entries_about(audit: AuditLog, connection: Connection, identities: Sequence[int]) -> _Blanked:
    """The entries that name one of the identities, as `AuditRecord.subject` does."""
    found: list[dict[str, Any]] = []
    exports = []
    for number in identities:
        like = AuditEntry.content.like(f'%"identity":{number}%')
        for record in audit.read_in(connection, like):
            if record.subject.get("identity") == number:
                found.append({"id": record.id, "actor": record.actor, "action": record.action})
                exports += [str(record.subject["folder"])] if "folder" in record.subject else []
    return _Blanked(found, tuple(exports))


def _models_since(session: Session, first_us: int) -> list[str]:
    """Models that were trained since they were first seen: nobody can say what they remember."""
    query = select(LearningRun.model).where(LearningRun.started_us >= first_us, LearningRun.model.is_not(None))
    return sorted({str(name) for name in session.scalars(query)})


def _in_parts(rows: Sequence[int]) -> Iterator[Sequence[int]]:
    for begin in range(0, len(rows), AT_ONCE):
        yield rows[begin : begin + AT_ONCE]


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1_000_000, UTC).isoformat(timespec="milliseconds")
