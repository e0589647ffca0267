"""Whom an erasure is about, and all that there is of them: looked at before anything goes, and noted when it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select
from sqlalchemy.orm import Session

from reid_pipeline.storage.audit_log import AuditLog
from reid_pipeline.storage.cases import is_clip_held, is_held
from reid_pipeline.storage.clips import ClipFiles
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.erasure_clips import clip_exports, showing
from reid_pipeline.storage.erasure_files import ErasedTracklet
from reid_pipeline.storage.errors import ErasureRefused
from reid_pipeline.storage.schema import Camera, Clip, Crop, Embedding, Identity, Tracklet
from reid_pipeline.storage.schema_governance import Erasure
from reid_pipeline.storage.schema_learning import CorpusItem, CorpusOrigin, CorpusTracklet
from reid_pipeline.storage.settlement import survivor_of

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

    @property
    def refusal(self) -> str | None:
        """Why it cannot be erased; None where it can."""
        if self.held:
            return f"{self.held} of {len(self.tracklets)} tracklets are held by an open case: close it first"
        if self.held_clips:
            return f"{self.held_clips} of {self.clips} clips that show them are held by an open case: close it first"
        if not self.tracklets and not self.corpus and not self.clips:
            return "there is nothing of them: see `reid-pipeline identity list`"
        return None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to go, as it was noted."""

    raw: dict[str, Any]
    rows: list[int]
    tracklets: tuple[ErasedTracklet, ...]
    corpus: list[int]
    embeddings: list[int]
    emptied: list[int]
    first_us: int

    @classmethod
    def read(cls, database: Database, number: int) -> Plan:
        """Of an erasure that has begun."""
        with database.session_scope() as session:
            raw = session.get_one(Erasure, number).plan
        tracklets = tuple(ErasedTracklet(*row[1:6]) for row in raw["tracklets"])
        rows = [row[0] for row in raw["tracklets"]]
        return cls(raw, rows, tracklets, raw["corpus"], raw["embeddings"], raw["emptied"], raw["first_us"])


def preview(session: Session, target: Target) -> ErasurePreview:
    """What would go.

    Raises:
        UnknownRecord: There is no such identity.
        ErasureRefused: There is no such tracklet.
    """
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


def note_plan(
    session: Session, data_dir: Path, audit: AuditLog, target: Target, found: ErasurePreview
) -> dict[str, Any]:
    """What is to go, ready for JSON, so that it can be ended whatever happens; see `Plan`."""
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
    return {
        "tracklets": [list(row) for row in rows],
        "corpus": list(corpus),
        "embeddings": list(session.scalars(_embeddings_of(session, target))),
        "clips": [list(row) for row in clips],
        "clip_parts": ClipFiles(data_dir).parts(cameras),
        "exports": clip_exports(audit, session, _wanted(session, target), _seen(target)),
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
