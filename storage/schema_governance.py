"""The tables that account for what is done with people's data: audit, users, cases, erasures.

They stand beside `schema`, whose conventions hold here too.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from reid_pipeline.storage.schema import Base, Microseconds, RowId

_NEVER_REUSED = {"sqlite_autoincrement": True}


class AuditEntry(Base):
    """Who did what, when and why, chained as `audit_log` explains.

    ``content`` is the canonical JSON that ``content_digest`` is of; null where an erasure took it.
    """

    __tablename__ = "audit_log"
    __table_args__ = (_NEVER_REUSED,)

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
    """Somebody who uses the site, as in `users.UserRecord`; the password is hashed."""

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
    created_us: Mapped[int] = mapped_column(Microseconds)
    disabled: Mapped[bool]


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
