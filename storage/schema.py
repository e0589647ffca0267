"""The tables of a site: its cameras, what they saw, and who that was.

Times are integer microseconds since 1970 UTC (``*_us``). Numbers of tracklets and identities come from counters that
only grow (`Camera.next_number`, `Site.next_identity`), so a number is never given twice, whatever was deleted. Row ids
that other parts may keep (an index, a report) are ``AUTOINCREMENT`` for the same reason, or come from sequences.

Those of learning are in `schema_learning`, those that account for people's data in `schema_governance`.

These classes stay inside this package; the values that leave it are in `records`.

A change here needs a new file in `migrations` and a new `SCHEMA_REVISION`; a test compares the two.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine

SCHEMA_REVISION = "0006"

# SQLite counts rows only in a column that is exactly INTEGER; elsewhere 32 bits would be used up in two years.
RowId = BigInteger().with_variant(Integer(), "sqlite")
Microseconds = BigInteger()
# The order of names is that of their code points, as in Python, whatever the language of a server is.
Name = String().with_variant(String(collation="C"), "postgresql")
_NEVER_REUSED = {"sqlite_autoincrement": True}  # PostgreSQL counts by sequences, which never go back


class Base(DeclarativeBase):
    """Base of all tables; names every constraint, so that a migration can name what it changes."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    # SQLAlchemy 2.0 and 2.1 would choose different types for float.
    type_annotation_map: ClassVar[dict[type, TypeEngine[Any]]] = {float: Double()}


class Site(Base):
    """One row: what belongs to the site as a whole."""

    __tablename__ = "site"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    next_identity: Mapped[int]


class Camera(Base):
    """A camera by its name in cameras.yaml, and the number its next tracklet gets."""

    __tablename__ = "cameras"
    __table_args__ = (
        UniqueConstraint("name"),  # every method that is given a camera's name
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    next_number: Mapped[int]


class Run(Base):
    """One call of `reid-pipeline run`; status as in `records.RunStatus`."""

    __tablename__ = "runs"
    __table_args__ = (_NEVER_REUSED,)

    id: Mapped[int] = mapped_column(primary_key=True)
    started_us: Mapped[int] = mapped_column(Microseconds)
    ended_us: Mapped[int | None] = mapped_column(Microseconds)
    status: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    models: Mapped[dict[str, Any]] = mapped_column(JSON)


class Source(Base):
    """A file or stream that a camera was read from, and how far it is stored."""

    __tablename__ = "sources"
    __table_args__ = (
        UniqueConstraint("camera_id", "fingerprint"),  # open_source: is this file known?
        # tracklet_boxes: the current source of a camera; unique, so there can be only one.
        Index(
            "ix_sources_current",
            "camera_id",
            unique=True,
            sqlite_where=text("current = 1"),
            postgresql_where=text("current"),
        ),
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    camera_id: Mapped[int] = mapped_column(ForeignKey("cameras.id"))
    location: Mapped[str]
    fingerprint: Mapped[str]
    live: Mapped[bool]
    start_us: Mapped[int] = mapped_column(Microseconds)
    frames_committed: Mapped[int]
    finished: Mapped[bool]
    current: Mapped[bool]


class Model(Base):
    """A model that was in use, so that every embedding names what made it."""

    __tablename__ = "models"
    __table_args__ = (
        UniqueConstraint("hash"),  # register_model; gallery
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str]
    name: Mapped[str]
    task: Mapped[str]
    licence: Mapped[str]


class Identity(Base):
    """A person; `id` is the number that people see.

    ``merged_into`` always names a survivor, never another merged identity: one look leads to the end. ``vacant`` marks
    an identity whose tracklets were all removed.
    """

    __tablename__ = "identities"
    __table_args__ = (
        Index("ix_identities_merged_into", "merged_into"),  # merge: those that already redirect to the one that goes
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    opened_us: Mapped[int] = mapped_column(Microseconds)
    merged_into: Mapped[int | None] = mapped_column(ForeignKey("identities.id"))
    vacant: Mapped[bool]


class Tracklet(Base):
    """One unbroken stretch of one person in one camera in one run; `identity` is always a survivor."""

    __tablename__ = "tracklets"
    __table_args__ = (
        # The writer: the row of a camera's number. tracklet_boxes_between, which skips by time the tracklets that it
        # does not need: an index on the time would cost a change a commit, and the order by number a sort of all boxes.
        UniqueConstraint("camera_id", "number"),
        Index("ix_tracklets_source", "source_id", "number"),  # tracklet_boxes; open_source(again): what a source gave
        Index("ix_tracklets_identity", "identity"),  # merge; is an identity vacant?
        Index("ix_tracklets_run", "run_id"),  # totals of one run
        Index("ix_tracklets_first", "first_us"),  # retention: the oldest
        # close_stale_tracklets
        Index("ix_tracklets_open", "id", sqlite_where=text("closed = 0"), postgresql_where=text("NOT closed")),
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    camera_id: Mapped[int] = mapped_column(ForeignKey("cameras.id"))
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"))
    number: Mapped[int]
    first_frame: Mapped[int]
    last_frame: Mapped[int]
    first_us: Mapped[int] = mapped_column(Microseconds)
    last_us: Mapped[int] = mapped_column(Microseconds)
    closed: Mapped[bool]
    identity: Mapped[int | None] = mapped_column(ForeignKey("identities.id"))


class Segment(Base):
    """The boxes that one commit added to a tracklet, packed by `box_codec`."""

    __tablename__ = "segments"
    __table_args__ = (
        Index("ix_segments_tracklet", "tracklet_id", "first_frame"),  # tracklet_boxes: a tracklet's boxes in order
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    tracklet_id: Mapped[int] = mapped_column(ForeignKey("tracklets.id", ondelete="CASCADE"))
    first_frame: Mapped[int]
    last_frame: Mapped[int]
    first_us: Mapped[int] = mapped_column(Microseconds)
    last_us: Mapped[int] = mapped_column(Microseconds)
    data: Mapped[bytes]


class Crop(Base):
    """One of the best views of a tracklet; its picture is the file `path` under the data folder."""

    __tablename__ = "crops"
    __table_args__ = (
        UniqueConstraint("tracklet_id", "frame"),  # a better view replaces the one of a frame; what a source gave
        Index("ix_crops_time", "time_us"),  # retention: the oldest
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    tracklet_id: Mapped[int] = mapped_column(ForeignKey("tracklets.id", ondelete="CASCADE"))
    frame: Mapped[int]
    time_us: Mapped[int] = mapped_column(Microseconds)
    quality: Mapped[float]
    x1: Mapped[float]
    y1: Mapped[float]
    x2: Mapped[float]
    y2: Mapped[float]
    path: Mapped[str]
    bytes: Mapped[int]


class Clip(Base):
    """A stretch of a camera's stream as it was sent; its file is `path` under the data folder."""

    __tablename__ = "clips"
    __table_args__ = (
        Index("ix_clips_camera", "camera_id", "first_us"),  # what a camera recorded in a span of time
        Index("ix_clips_first", "first_us"),  # retention: the oldest
        UniqueConstraint("path"),  # a recorder that goes on after it was killed
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    camera_id: Mapped[int] = mapped_column(ForeignKey("cameras.id"))
    first_us: Mapped[int] = mapped_column(Microseconds)
    last_us: Mapped[int] = mapped_column(Microseconds)
    path: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger())


class DataKey(Base):
    """The key of one kind of what a camera gave on a day (since 1970, UTC), encrypted by the site's master key.

    `encryption.Place` says what else a row may be about.
    """

    __tablename__ = "data_keys"

    camera_id: Mapped[int] = mapped_column(ForeignKey("cameras.id"), primary_key=True, autoincrement=False)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(primary_key=True)  # as in `encryption.Kind`: each has its own retention time
    wrapped: Mapped[bytes]


class Embedding(Base):
    """The vector of a view by one model, ``float32`` little endian; it may outlive its crop."""

    __tablename__ = "embeddings"
    __table_args__ = (
        Index("ix_embeddings_model_time", "model_id", "time_us"),  # gallery: one model's vectors since a time
        Index("ix_embeddings_tracklet", "tracklet_id"),  # removal with its tracklet
        Index("ix_embeddings_crop", "crop_id"),  # removal with its crop
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    tracklet_id: Mapped[int] = mapped_column(ForeignKey("tracklets.id", ondelete="CASCADE"))
    crop_id: Mapped[int | None] = mapped_column(ForeignKey("crops.id", ondelete="SET NULL"))
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    quality: Mapped[float]
    time_us: Mapped[int] = mapped_column(Microseconds)
    vector: Mapped[bytes]


class Calibration(Base):
    """What similarities by one model mean between two cameras, as in `calibrations.CalibrationRecord`.

    Without cameras it is about all pairs of different cameras, or those within any one.
    """

    __tablename__ = "calibrations"
    __table_args__ = (
        UniqueConstraint("model_id", "first_camera_id", "second_camera_id"),  # calibrations: those of one model
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    first_camera_id: Mapped[int | None] = mapped_column(ForeignKey("cameras.id"))
    second_camera_id: Mapped[int | None] = mapped_column(ForeignKey("cameras.id"))
    one_camera: Mapped[bool]
    intercept: Mapped[float]
    slope: Mapped[float]
    share: Mapped[float]
    tracklets: Mapped[int]
    pairs: Mapped[int]
    fitted_us: Mapped[int] = mapped_column(Microseconds)


class IdentityLogEntry(Base):
    """What was decided about identities, in order; rows are only added.

    ``at_us`` is the wall clock, ``time_us`` the capture time of the decision.
    """

    __tablename__ = "identity_log"
    __table_args__ = (
        Index("ix_identity_log_identity", "identity"),  # identity_history
        Index("ix_identity_log_other", "other"),  # identity_history: what was merged into it or split from it
        Index("ix_identity_log_tracklet", "tracklet_id"),  # a removed tracklet leaves its entries
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at_us: Mapped[int] = mapped_column(Microseconds)
    time_us: Mapped[int] = mapped_column(Microseconds)
    type: Mapped[str]
    identity: Mapped[int] = mapped_column(ForeignKey("identities.id"))
    other: Mapped[int | None] = mapped_column(ForeignKey("identities.id"))
    tracklet_id: Mapped[int | None] = mapped_column(ForeignKey("tracklets.id", ondelete="SET NULL"))
    probability: Mapped[float | None]
    evidence: Mapped[dict[str, Any]] = mapped_column(JSON)
    actor: Mapped[str]


class UndoneDecision(Base):
    """A decision of the log that a later UNDO took back; one decision is taken back once."""

    __tablename__ = "undone_decisions"
    __table_args__ = (
        UniqueConstraint("log_id"),  # settle: was a decision undone?
    )

    # In this order: the writer asks for the newest UNDO before each commit with decisions.
    undo_id: Mapped[int] = mapped_column(RowId, ForeignKey("identity_log.id"), primary_key=True, autoincrement=False)
    log_id: Mapped[int] = mapped_column(RowId, ForeignKey("identity_log.id"), primary_key=True, autoincrement=False)


class DecisionTracklet(Base):
    """A tracklet that an operator's decision was about, as `operator_words` explains."""

    __tablename__ = "decision_tracklets"
    __table_args__ = (
        Index("ix_decision_tracklets_tracklet", "tracklet_id"),  # removal with its tracklet
    )

    log_id: Mapped[int] = mapped_column(RowId, ForeignKey("identity_log.id"), primary_key=True, autoincrement=False)
    tracklet_id: Mapped[int] = mapped_column(
        ForeignKey("tracklets.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    same: Mapped[bool]
