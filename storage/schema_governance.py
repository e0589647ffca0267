"""The tables that account for what is done with people's data: audit, users, cases, watch lists, erasures.

They stand beside `schema`, whose conventions hold here too.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from reid_pipeline.storage.schema import Base, Microseconds, RowId

_NEVER_REUSED = {"sqlite_autoincrement": True}


class AuditEntry(Base):
    """Who did what, when and why, chained as `audit_log` explains.

    ``content`` is the canonical JSON that ``content_digest`` is of; null where an erasure took it.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_time", "at_us", "id"),  # the newest of a time; retention: the oldest
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at_us: Mapped[int] = mapped_column(Microseconds)
    content: Mapped[str | None]
    content_digest: Mapped[bytes]
    digest: Mapped[bytes]
    erasure_id: Mapped[int | None] = mapped_column(ForeignKey("erasures.id"))


class AuditSeal(Base):
    """One row each: the signed end of the chain, and the signed place where it begins after retention."""

    __tablename__ = "audit_seals"
    __table_args__ = (CheckConstraint("name = 'begin' OR name = 'end'", name="known"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    entry_id: Mapped[int] = mapped_column(RowId)
    digest: Mapped[bytes]
    signature: Mapped[bytes]


class User(Base):
    """Somebody who uses the site, as in `users.UserRecord`; the password is hashed.

    Until ``one_time_until_us`` the password serves once, to choose another; null: it is their own.
    """

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("name"),  # who is this?
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    cameras: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    password: Mapped[str | None]
    one_time_until_us: Mapped[int | None] = mapped_column(Microseconds)
    created_us: Mapped[int] = mapped_column(Microseconds)
    disabled: Mapped[bool]


class LoginSession(Base):
    """Somebody who is logged in to the dashboard: the SHA-256 of what their browser shows, and when they last did."""

    __tablename__ = "login_sessions"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    created_us: Mapped[int] = mapped_column(Microseconds)
    seen_us: Mapped[int] = mapped_column(Microseconds)


class Case(Base):
    """An inquiry that people opened for a reason; what it holds outlives the retention time."""

    __tablename__ = "cases"
    __table_args__ = (_NEVER_REUSED,)

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    reason: Mapped[str]
    opened_us: Mapped[int] = mapped_column(Microseconds)
    opened_by: Mapped[str]
    closed_us: Mapped[int | None] = mapped_column(Microseconds)


class CaseHold(Base):
    """What a case holds: an identity, or what a camera saw in a span of time."""

    __tablename__ = "case_holds"
    __table_args__ = (_NEVER_REUSED,)

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"))
    identity: Mapped[int | None] = mapped_column(ForeignKey("identities.id"))
    camera_id: Mapped[int | None] = mapped_column(ForeignKey("cameras.id"))
    since_us: Mapped[int | None] = mapped_column(Microseconds)
    until_us: Mapped[int | None] = mapped_column(Microseconds)


class WatchEntry(Base):
    """Somebody who is watched for: for a case, for a reason, for a time, once a second person has agreed.

    Who it is: an identity, or the examples of `WatchExample`. ``rate`` is how many of its alerts may be wrong, 0 to 1.
    """

    __tablename__ = "watch_entries"
    __table_args__ = (
        Index("ix_watch_entries_expires", "expires_us"),  # those that are still watched for
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"))
    identity: Mapped[int | None] = mapped_column(ForeignKey("identities.id"))
    label: Mapped[str]
    reason: Mapped[str]
    rate: Mapped[float]
    added_us: Mapped[int] = mapped_column(Microseconds)
    added_by: Mapped[str]
    expires_us: Mapped[int] = mapped_column(Microseconds)
    approved_us: Mapped[int | None] = mapped_column(Microseconds)
    approved_by: Mapped[str | None]
    ended_us: Mapped[int | None] = mapped_column(Microseconds)
    ended_by: Mapped[str | None]


class WatchExample(Base):
    """A vector of who is watched for, by one model, as in `watch_vectors`. One of a tracklet goes with it."""

    __tablename__ = "watch_examples"
    __table_args__ = (
        Index("ix_watch_examples_entry", "entry_id", "model_id"),  # those of one entry
        Index("ix_watch_examples_tracklet", "tracklet_id"),  # removal with its tracklet
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    entry_id: Mapped[int] = mapped_column(ForeignKey("watch_entries.id"))
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    tracklet_id: Mapped[int | None] = mapped_column(ForeignKey("tracklets.id", ondelete="CASCADE"))
    vector: Mapped[bytes]


class WatchAlert(Base):
    """A tracklet that may be who is watched for, once an entry; somebody acknowledges that they saw it."""

    __tablename__ = "watch_alerts"
    __table_args__ = (
        UniqueConstraint("entry_id", "tracklet_id"),  # was this told already?
        Index("ix_watch_alerts_tracklet", "tracklet_id"),  # removal with its tracklet
        Index("ix_watch_alerts_time", "time_us"),  # the newest
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    entry_id: Mapped[int] = mapped_column(ForeignKey("watch_entries.id"))
    tracklet_id: Mapped[int] = mapped_column(ForeignKey("tracklets.id", ondelete="CASCADE"))
    time_us: Mapped[int] = mapped_column(Microseconds)
    probability: Mapped[float]
    acknowledged_us: Mapped[int | None] = mapped_column(Microseconds)
    acknowledged_by: Mapped[str | None]


class FloorPlan(Base):
    """One row: the picture of the site that the map is drawn on, as it was uploaded."""

    __tablename__ = "floor_plan"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    picture: Mapped[bytes]
    changed_us: Mapped[int] = mapped_column(Microseconds)


class CameraPlace(Base):
    """Where a camera stands on the plan: parts of its width and height, 0 to 1 from the top left."""

    __tablename__ = "camera_places"

    camera_id: Mapped[int] = mapped_column(ForeignKey("cameras.id"), primary_key=True, autoincrement=False)
    x: Mapped[float]
    y: Mapped[float]


class Erasure(Base):
    """Something that was erased: `plan` is what is to go, emptied once it is gone; `report` what went, signed."""

    __tablename__ = "erasures"
    __table_args__ = (_NEVER_REUSED,)

    id: Mapped[int] = mapped_column(primary_key=True)
    at_us: Mapped[int] = mapped_column(Microseconds)
    actor: Mapped[str]
    finished: Mapped[bool]
    plan: Mapped[dict[str, Any]] = mapped_column(JSON)
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
    signature: Mapped[bytes | None]


class ErasedSource(Base):
    """A recording that shows somebody who was erased: reading it again would bring them back."""

    __tablename__ = "erased_sources"

    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"), primary_key=True, autoincrement=False)
    erasure_id: Mapped[int] = mapped_column(ForeignKey("erasures.id"))


class ErasedContent(Base):
    """A digest, as in `corpus_records.CorpusCrop`, of a picture that was erased and is not to be imported again."""

    __tablename__ = "erased_contents"

    digest: Mapped[int] = mapped_column(BigInteger(), primary_key=True, autoincrement=False)
    erasure_id: Mapped[int] = mapped_column(ForeignKey("erasures.id"))
