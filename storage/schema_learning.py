"""The tables of what a site learns from, and of what learnt there: the corpus of crops, the calls of learning commands.

They stand beside `schema`, whose conventions hold here too.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from reid_pipeline.storage.schema import Base, Microseconds, RowId

_NEVER_REUSED = {"sqlite_autoincrement": True}
_HAS_DIGEST = text("digest IS NOT NULL")


class CorpusOrigin(Base):
    """Where tracklets of the corpus come from, as in `corpus_records.CorpusOrigin`.

    The key tells a run and its camera, or the content that was imported; that says nothing about who is on it.
    """

    __tablename__ = "corpus_origins"
    __table_args__ = (
        UniqueConstraint("key"),  # is this in already?
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    camera_id: Mapped[int] = mapped_column(ForeignKey("cameras.id"))
    key: Mapped[str]
    start_us: Mapped[int] = mapped_column(Microseconds)
    frames: Mapped[int]
    finished: Mapped[bool]


class CorpusTracklet(Base):
    """A tracklet with crops in the corpus, of which it keeps what learning needs: it may outlive its `Tracklet`."""

    __tablename__ = "corpus_tracklets"
    __table_args__ = (
        UniqueConstraint("origin_id", "number"),  # more of an imported tracklet
        UniqueConstraint("tracklet_id"),  # the writer: more of a run's tracklet; open_source(again)
        Index("ix_corpus_tracklets_time", "first_us"),  # tracklets and items, in order of time
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    origin_id: Mapped[int] = mapped_column(ForeignKey("corpus_origins.id"))
    tracklet_id: Mapped[int | None] = mapped_column(ForeignKey("tracklets.id", ondelete="SET NULL"))
    number: Mapped[int]
    first_us: Mapped[int] = mapped_column(Microseconds)
    last_us: Mapped[int] = mapped_column(Microseconds)


class CorpusShard(Base):
    """A file of `corpus_shards`: its day since 1970 and how many of its bytes count.

    ``gaps`` marks one that has lost crops whose bytes may still be there.
    """

    __tablename__ = "corpus_shards"
    __table_args__ = (
        Index("ix_corpus_shards_day", "day"),  # the writer: the shard to append to; expire, shrink: the oldest
        _NEVER_REUSED,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger())
    gaps: Mapped[bool]


class CorpusItem(Base):
    """A crop of the corpus: bytes ``offset`` to ``offset + length`` of a shard."""

    __tablename__ = "corpus_items"
    __table_args__ = (
        Index("ix_corpus_items_tracklet", "tracklet_id", "time_us"),  # items of tracklets in order of time
        Index("ix_corpus_items_shard", "shard_id", "offset"),  # expire, shrink; the gaps of a shard
        # add: which of these are stored already?
        Index("ix_corpus_items_digest", "digest", sqlite_where=_HAS_DIGEST, postgresql_where=_HAS_DIGEST),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    tracklet_id: Mapped[int] = mapped_column(RowId, ForeignKey("corpus_tracklets.id", ondelete="CASCADE"))
    time_us: Mapped[int] = mapped_column(Microseconds)
    shard_id: Mapped[int] = mapped_column(ForeignKey("corpus_shards.id"))
    offset: Mapped[int] = mapped_column(BigInteger())
    length: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    quality: Mapped[float]
    digest: Mapped[int | None] = mapped_column(BigInteger())


class LearningRun(Base):
    """A call of a learning command, as in `learning_runs.LearningRun`."""

    __tablename__ = "learning_runs"
    __table_args__ = (_NEVER_REUSED,)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str]
    started_us: Mapped[int] = mapped_column(Microseconds)
    ended_us: Mapped[int | None] = mapped_column(Microseconds)
    parent: Mapped[str | None]
    model: Mapped[str | None]
    promoted: Mapped[bool]
    reason: Mapped[str | None]
    seed: Mapped[int] = mapped_column(BigInteger())
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    figures: Mapped[dict[str, Any]] = mapped_column(JSON)
    code: Mapped[str]
