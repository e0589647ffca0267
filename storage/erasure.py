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
from sqlalchemy import ColumnElement, Connection, Select, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from reid_pipeline.storage.audit_log import Action, AuditLog, canonical
from reid_pipeline.storage.cases import is_clip_held, is_held
from reid_pipeline.storage.clips import ClipFiles
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.encryption import shred_keys
from reid_pipeline.storage.erasure_clips import clip_exports, erase_clips, showing
from reid_pipeline.storage.erasure_files import ErasedTracklet, erase_from_files
from reid_pipeline.storage.errors import ErasureRefused, SiteBusy
from reid_pipeline.storage.permissions import Access, Permission
from reid_pipeline.storage.removal import AT_ONCE, remove_tracklet_rows
from reid_pipeline.storage.schema import (
    Camera,
    Clip,
    CorpusItem,
    CorpusOrigin,
    CorpusTracklet,
    Crop,
    Embedding,
    Identity,
    IdentityLogEntry,
    LearningRun,
    Source,
    Tracklet,
)
from reid_pipeline.storage.schema_governance import AuditEntry, ErasedContent, ErasedSource, Erasure
from reid_pipeline.storage.settlement import survivor_of
from reid_pipeline.storage.signing import open_signing_key
from reid_pipeline.storage.vector_index_sync import purge_indices
from reid_pipeline.storage.watch_lists import forget_watched

TrackletKey = tuple[str, int]  # camera and number


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to erase; one of the three.

    Attributes:
        identity: All tracklets of an identity, and what the log says of it.
        tracklets: Tracklets by camera and number.
        camera: All that a camera saw with ``since_us <= time < until_us``, imported crops too.
        since_us: None: from ever.
        until_us: None: for ever.
    """

    identity: int | None = None
    tracklets: tuple[TrackletKey, ...] = ()
    camera: str | None = None
    since_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class ErasurePreview:
    """What would go.

    Attributes:
        tracklets: By camera and number.
        identities: Whose tracklets these are.
        emptied: Those of them that would have none left.
        crops: Number of pictures.
        embeddings: Number of vectors.
        corpus: Number of crops to learn from.
        clips: Number of clips that show them, with everybody else who is on them.
        held: Number of the tracklets that an open case holds: they have to be let go first.
        held_clips: Number of the clips that an open case holds.
    """

    tracklets: tuple[TrackletKey, ...]
    identities: tuple[int, ...]
    emptied: tuple[int, ...]
    crops: int
    embeddings: int
    corpus: int
    clips: int
    held: int
    held_clips: int


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
            return _preview(session, target)

    def erase(self, target: Target, reason: str) -> ErasureReport:
        """Erases for good.

        Args:
            target: Whom.
            reason: Why, for the report; without names of people.

        Raises:
            ErasureRefused: There is nothing of them, or an open case holds some of it.
            UnknownRecord: There is no such identity.
            SiteBusy: Somebody reads for long what is to be forgotten; the next call of anything here ends it.
        """
        with self._database.session_scope(write=True) as session:
            found = _preview(session, target)
            if found.held:
                raise ErasureRefused(
                    f"{found.held} of {len(found.tracklets)} tracklets are held by an open case: close it first"
                )
            if found.held_clips:
                raise ErasureRefused(
                    f"{found.held_clips} of {found.clips} clips that show them are held by an open case: close it first"
                )
            if not found.tracklets and not found.corpus and not found.clips:
                raise ErasureRefused("there is nothing of them: see `reid-pipeline identity list`")
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
        rows = session.execute(
            select(
                Tracklet.id,
                Camera.name,
                Tracklet.number,
                Tracklet.identity,
                Tracklet.first_frame,
                Tracklet.last_frame,
                Tracklet.first_us,
            )
            .join(Camera, Camera.id == Tracklet.camera_id)
            .where(_wanted(session, target))
        ).all()
        corpus = session.scalars(select(CorpusTracklet.id).where(_wanted_corpus(session, target))).all()
        clips_wanted = showing(_wanted(session, target), _seen(target))
        clips = session.execute(select(Clip.id, Clip.path).where(clips_wanted)).all()
        cameras = {row.name for row in rows} | ({target.camera} if target.camera is not None else set())
        plan = {
            "reason": reason,
            "tracklets": [list(row) for row in rows],
            "corpus": list(corpus),
            "embeddings": list(session.scalars(_embeddings_of(session, target))),
            "clips": [list(row) for row in clips],
            "clip_parts": ClipFiles(self._database.data_dir).parts(cameras),
            "exports": clip_exports(self._audit, session, _wanted(session, target), _seen(target)),
            "emptied": _members(session.connection(), found.emptied),
            "counts": {
                "tracklets": len(rows),
                "crops": found.crops,
                "embeddings": found.embeddings,
                "clips": found.clips,
            },
            "corpus_crops": found.corpus,
            "first_us": min((row.first_us for row in rows), default=0),
        }
        erasure = Erasure(at_us=self._now_us(), actor=self._actor, finished=False, plan=plan, report={}, signature=None)
        session.add(erasure)
        session.flush()
        _bar_sources(session.connection(), [row.id for row in rows], erasure.id)
        return erasure.id

    def _go_on(self, number: int) -> ErasureReport:
        plan = _Plan.read(self._database, number)
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

    def _erase_corpus(self, number: int, plan: _Plan) -> None:
        for some in _in_parts(plan.corpus):
            with self._database.session_scope(write=True) as session:
                items = CorpusItem.tracklet_id.in_(some) & CorpusItem.digest.is_not(None)
                known = select(ErasedContent.digest)
                digests = set(session.scalars(select(CorpusItem.digest).where(items, CorpusItem.digest.not_in(known))))
                if digests:
                    rows = [{"digest": digest, "erasure_id": number} for digest in digests]
                    session.execute(insert(ErasedContent), rows)
        CorpusStore(self._database).remove(plan.corpus)

    def _erase_from_logs(self, number: int, plan: _Plan) -> _Blanked:
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

    def _erase_rows(self, plan: _Plan) -> None:
        crops = CropStore(self._database.data_dir)
        for some in _in_parts(plan.rows):
            with self._database.session_scope(write=True) as session:
                forget_watched(session.connection(), some, plan.emptied, self._actor, self._now_us())
                remove_tracklet_rows(session, crops, some)

    def _finish(
        self, number: int, plan: _Plan, blanked: Sequence[Mapping[str, object]], files: Sequence[str]
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
class _Plan:
    """What is to go, as it was noted."""

    raw: dict[str, Any]
    rows: list[int]
    tracklets: tuple[ErasedTracklet, ...]
    corpus: list[int]
    embeddings: list[int]
    emptied: list[int]
    first_us: int

    @classmethod
    def read(cls, database: Database, number: int) -> _Plan:
        with database.session_scope() as session:
            raw = session.get_one(Erasure, number).plan
        tracklets = tuple(ErasedTracklet(*row[1:6]) for row in raw["tracklets"])
        rows = [row[0] for row in raw["tracklets"]]
        return cls(raw, rows, tracklets, raw["corpus"], raw["embeddings"], raw["emptied"], raw["first_us"])


@dataclass(frozen=True, slots=True)
class _Blanked:
    """Entries of the audit log whose contents went: their numbers, actors, actions; and folders that they exported."""

    entries: list[dict[str, Any]]
    exports: tuple[str, ...]


def _preview(session: Session, target: Target) -> ErasurePreview:
    wanted = _wanted(session, target)
    keys = session.execute(
        select(Camera.name, Tracklet.number)
        .join(Camera, Camera.id == Tracklet.camera_id)
        .where(wanted)
        .order_by(Camera.name, Tracklet.number)
    )
    rows = select(Tracklet.id).where(wanted)
    identities = session.scalars(select(Tracklet.identity).where(wanted, Tracklet.identity.is_not(None)).distinct())
    known = tuple(sorted(each for each in identities if each is not None))
    left = set(session.scalars(select(Tracklet.identity).where(Tracklet.identity.in_(known), ~wanted).distinct()))
    corpus = select(CorpusTracklet.id).where(_wanted_corpus(session, target))
    clips = showing(wanted, _seen(target))
    return ErasurePreview(
        tracklets=tuple((name, number) for name, number in keys),
        identities=known,
        emptied=tuple(each for each in known if each not in left),
        crops=_count(session, Crop.tracklet_id.in_(rows)),
        embeddings=_count(session, Embedding.tracklet_id.in_(rows)),
        corpus=_count(session, CorpusItem.tracklet_id.in_(corpus)),
        clips=_count(session, clips),
        held=_count(session, wanted & is_held()),
        held_clips=_count(session, clips & is_clip_held()),
    )


def _count(session: Session, condition: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).where(condition)) or 0


def _wanted(session: Session, target: Target) -> ColumnElement[bool]:
    """In a condition on `Tracklet`."""
    if target.identity is not None:
        return Tracklet.identity == survivor_of(session.connection(), target.identity)
    if target.camera is not None:
        camera = select(Camera.id).where(Camera.name == target.camera).scalar_subquery()
        since = Tracklet.last_us >= target.since_us if target.since_us is not None else True
        until = Tracklet.first_us < target.until_us if target.until_us is not None else True
        return (Tracklet.camera_id == camera) & since & until
    keys = [_row_of(session, key) for key in target.tracklets]
    return Tracklet.id.in_(keys)


def _row_of(session: Session, key: TrackletKey) -> int:
    query = select(Tracklet.id).join(Camera, Camera.id == Tracklet.camera_id)
    row = session.scalar(query.where(Camera.name == key[0], Tracklet.number == key[1]))
    if row is None:
        raise ErasureRefused(f"{key[0]}:{key[1]}: there is no such tracklet: see `reid-pipeline journey`")
    return row


def _wanted_corpus(session: Session, target: Target) -> ColumnElement[bool]:
    """In a condition on `CorpusTracklet`: those of the tracklets, and what was imported for a camera."""
    own = CorpusTracklet.tracklet_id.in_(select(Tracklet.id).where(_wanted(session, target)))
    if target.camera is None:
        return own
    origins = select(CorpusOrigin.id).join(Camera).where(Camera.name == target.camera)
    since = CorpusTracklet.last_us >= target.since_us if target.since_us is not None else True
    until = CorpusTracklet.first_us < target.until_us if target.until_us is not None else True
    return own | (CorpusTracklet.origin_id.in_(origins) & since & until)


def _seen(target: Target) -> tuple[str, int | None, int | None] | None:
    return None if target.camera is None else (target.camera, target.since_us, target.until_us)


def _embeddings_of(session: Session, target: Target) -> Select[int]:
    return select(Embedding.id).where(Embedding.tracklet_id.in_(select(Tracklet.id).where(_wanted(session, target))))


def _members(connection: Connection, survivors: Sequence[int]) -> list[int]:
    """Identities, and those that were merged into them."""
    query = select(Identity.id).where(or_(Identity.id.in_(survivors), Identity.merged_into.in_(survivors)))
    return list(connection.scalars(query.order_by(Identity.id)))


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
