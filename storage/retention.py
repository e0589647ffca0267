"""Removing what has been kept long enough, class by class, in batches so short that a run does not wait for them.

Pictures go before their rows: whatever dies in between, nothing is left that no row names, and the next call goes on.
What an open case holds stays (`cases`). Rows that SQLite deletes are overwritten (``secure_delete``), and its log of
writes, in which they were as well, is emptied in the end.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from reid_pipeline.storage.audit_log import Action, AuditLog
from reid_pipeline.storage.cases import is_clip_held, is_held
from reid_pipeline.storage.clips import ClipFiles, remove_clips
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.encryption import shred_keys
from reid_pipeline.storage.records import EventType, RunStatus
from reid_pipeline.storage.removal import AT_ONCE, remove_tracklet_rows
from reid_pipeline.storage.schema import (
    Base,
    Clip,
    Crop,
    DecisionTracklet,
    Embedding,
    Identity,
    IdentityLogEntry,
    Model,
    Run,
    Tracklet,
    UndoneDecision,
)
from reid_pipeline.storage.site_files import BACKUPS, REPORTS, RETENTION_DUE, TRACKS, VIDEOS
from reid_pipeline.storage.vector_index_sync import scrub_indices
from reid_pipeline.storage.watch_lists import expire_watched

_RUNNING: Final = RunStatus.RUNNING.value
_PART: Final = "*.part"  # half-written files of processes that died
_PART_US: Final = 86_400_000_000
_OWN: Final = secrets.token_hex(8)  # of this process, in the file that says what is not accounted for


@dataclass(frozen=True, slots=True)
class Limits:
    """Capture times in microseconds since 1970 UTC before which things go, by class; None: they stay.

    Attributes:
        crops: Pictures of tracklets.
        embeddings: Vectors.
        clips: Footage, by its last picture.
        corpus: Crops to learn from.
        tracks: Tracklets with their boxes, and with what is left of the classes above; ``tracks/`` and ``videos/``.
        events: Decisions about identities that nobody is left of.
        reports: Reports of learning, by the time they were written.
        backups: The same.
        audit: The audit log, by the time of its entries.
    """

    crops: int | None = None
    embeddings: int | None = None
    clips: int | None = None
    corpus: int | None = None
    tracks: int | None = None
    events: int | None = None
    reports: int | None = None
    backups: int | None = None
    audit: int | None = None


@dataclass(frozen=True, slots=True)
class Removed:
    """How many of each class went; of `tracks` the tracklets, of reports, backups and files the files and folders.

    Of `watch` the examples of entries that are over, and entries that have been so for as long as the audit log lasts.
    """

    crops: int = 0
    embeddings: int = 0
    clips: int = 0
    corpus: int = 0
    tracks: int = 0
    events: int = 0
    reports: int = 0
    backups: int = 0
    audit: int = 0
    watch: int = 0
    files: int = 0

    def __add__(self, other: Removed) -> Removed:
        """Both together."""
        return Removed(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def __bool__(self) -> bool:
        """Whether anything went."""
        return any(getattr(self, each.name) for each in fields(self))


class Retention:
    """Removes what is older than the limits.

    Args:
        database: Of the site.
        most: Transactions of a class in a call at most; None: until nothing is left to remove.
    """

    def __init__(self, database: Database, most: int | None = None) -> None:
        self._database = database
        self._folder = database.data_dir
        self._crops = CropStore(database.data_dir)
        self._clips = ClipFiles(database.data_dir)
        self._most = most
        self._due = database.data_dir / RETENTION_DUE

    def remove(self, limits: Limits) -> Removed:
        """Removes what is due.

        A file says that something may have gone which `account` has not heard of: it outlives a process that dies.
        """
        known = self._due.exists()
        if not known:
            self._due.write_text(_OWN, encoding="ascii")
        removed = self._remove_all(limits)
        if not removed and not known:
            self._due.unlink(missing_ok=True)
        return removed

    def account(self, removed: Removed, actor: str) -> None:
        """Adds what went to the audit log, takes it out of the vector indices and the database's log of writes.

        Of an encrypted site the keys go too of days of which nothing is left.

        Nothing where nothing went, and no process has died before it could account for what it removed.

        Args:
            removed: All that went since the last time.
            actor: Who or what asked for it.
        """
        broken_off = self._due.exists() and self._due.read_text(encoding="ascii") != _OWN
        if removed or broken_off:
            counts = {each.name: getattr(removed, each.name) for each in fields(removed)}
            gone: dict[str, object] = {name: count for name, count in counts.items() if count}
            gone |= {"broken_off": True} if broken_off else {}
            AuditLog(self._database).note(actor, Action.RETENTION, "retention", gone)
            if removed.embeddings or removed.tracks or broken_off:
                scrub_indices(self._database)
            with self._database.session_scope(write=True) as session:
                shred_keys(session)
            if self._database.forget_writes():
                self._due.unlink(missing_ok=True)

    def _remove_all(self, limits: Limits) -> Removed:
        return Removed(
            crops=self._remove(limits.crops, self._expire_crops),
            embeddings=self._remove(limits.embeddings, self._expire_embeddings),
            clips=self._remove(limits.clips, self._expire_clips),
            corpus=0 if limits.corpus is None else CorpusStore(self._database).expire(limits.corpus, self._most),
            tracks=self._remove(limits.tracks, self._expire_tracklets),
            events=self._remove(limits.events, self._expire_decisions),
            reports=_remove_files(self._folder / REPORTS, limits.reports),
            backups=_remove_files(self._folder / BACKUPS, limits.backups),
            watch=self._expire_watched(limits.audit),
            audit=0 if limits.audit is None else AuditLog(self._database).expire(limits.audit),
            files=self._remove_stray_files(limits.tracks),
        )

    def _remove(self, before_us: int | None, some: Callable[[Session, int], int]) -> int:
        """Calls `some`, each time in a transaction of its own, until it removes nothing."""
        removed = rounds = 0
        while before_us is not None and (self._most is None or rounds < self._most):
            with self._database.session_scope(write=True) as session:
                found = some(session, before_us)
            if not found:
                break
            removed, rounds = removed + found, rounds + 1
        return removed

    def _expire_crops(self, session: Session, before_us: int) -> int:
        query = select(Crop.id, Crop.path).join(Tracklet, Tracklet.id == Crop.tracklet_id)
        rows = session.execute(query.where(Crop.time_us < before_us, ~is_held()).limit(AT_ONCE)).all()
        self._crops.delete(row.path for row in rows)
        return _delete(session, Crop, Crop.id, [row.id for row in rows])

    def _expire_embeddings(self, session: Session, before_us: int) -> int:
        removed = 0
        for model in session.scalars(select(Model.id)).all():
            query = select(Embedding.id).join(Tracklet, Tracklet.id == Embedding.tracklet_id)
            old = query.where(Embedding.model_id == model, Embedding.time_us < before_us, ~is_held())
            removed += _delete(session, Embedding, Embedding.id, session.scalars(old.limit(AT_ONCE)).all())
        return removed

    def _expire_clips(self, session: Session, before_us: int) -> int:
        # By the first picture, which has an index; the last one comes at most an hour later.
        old = (Clip.first_us < before_us, Clip.last_us < before_us, ~is_clip_held())
        rows = session.execute(select(Clip.id, Clip.path).where(*old).limit(AT_ONCE)).all()
        return remove_clips(session, self._clips, [(row.id, row.path) for row in rows])

    def _expire_tracklets(self, session: Session, before_us: int) -> int:
        # What a run reads now from old recordings is wanted; one that was killed long ago is not to keep its own.
        wanted = exists().where(Run.id == Tracklet.run_id, Run.status == _RUNNING, Run.started_us >= before_us)
        old = (Tracklet.first_us < before_us, Tracklet.last_us < before_us, ~wanted, ~is_held())
        rows = session.execute(select(Tracklet.id, Tracklet.identity).where(*old).limit(AT_ONCE)).all()
        remove_tracklet_rows(session, self._crops, [row.id for row in rows])
        return len(rows)

    def _expire_decisions(self, session: Session, before_us: int) -> int:
        """Those that put tracklets somewhere which are gone, and all about identities that have none left."""
        entry = IdentityLogEntry
        pointless = (entry.type == EventType.ASSIGN.value) & entry.tracklet_id.is_(None)
        spoken = exists().where(DecisionTracklet.log_id == entry.id)  # by an operator, about tracklets that are left
        ended = _is_vacant(entry.identity) & (entry.other.is_(None) | _is_vacant(entry.other))
        query = select(entry.id).where(entry.time_us < before_us, ~spoken, pointless | ended)
        rows = session.scalars(query.limit(AT_ONCE)).all()
        session.execute(
            delete(UndoneDecision).where(UndoneDecision.log_id.in_(rows) | UndoneDecision.undo_id.in_(rows))
        )
        return _delete(session, entry, entry.id, rows)

    def _expire_watched(self, before_us: int | None) -> int:
        with self._database.session_scope(write=True) as session:
            return expire_watched(session.connection(), time.time_ns() // 1000, before_us)

    def _remove_stray_files(self, before_us: int | None) -> int:
        removed = sum(_remove_files(self._folder / name, before_us) for name in (TRACKS, VIDEOS))
        dead_us = time.time_ns() // 1000 - _PART_US
        for path in self._folder.rglob(_PART):
            if written_us(path) < dead_us:
                path.unlink(missing_ok=True)
                removed += 1
        return removed


def _delete(session: Session, table: type[Base], key: InstrumentedAttribute[int], rows: Sequence[int]) -> int:
    if rows:
        session.execute(delete(table).where(key.in_(rows)))
    return len(rows)


def _is_vacant(number: InstrumentedAttribute[int] | InstrumentedAttribute[int | None]) -> ColumnElement[bool]:
    """Whether whoever an identity is after all merges has no tracklet."""
    named, survivor = aliased(Identity), aliased(Identity)
    found = select(survivor.id).join(named, survivor.id == func.coalesce(named.merged_into, named.id))
    return found.where(named.id == number, survivor.vacant).exists()


def _remove_files(folder: Path, before_us: int | None) -> int:
    """Removes the files and folders in a folder that were last written before a time; returns how many."""
    removed = 0
    for path in folder.iterdir() if before_us is not None and folder.is_dir() else ():
        if before_us is not None and written_us(path) < before_us:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            removed += 1
    return removed


def written_us(path: Path) -> int:
    """When a file, or the newest in a folder, was last written; now for one that has just gone."""
    try:
        inside = (each.stat().st_mtime_ns for each in path.rglob("*")) if path.is_dir() else ()
        newest: int = max((path.stat().st_mtime_ns, *inside))
        return newest // 1000
    except FileNotFoundError:
        return time.time_ns() // 1000
