"""The log of learning: one row for each adaptation, pre-training and night, with all that tells how it was made."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import select, update

from reid_pipeline.storage.database import Database
from reid_pipeline.storage.schema_learning import LearningRun as Row


class LearningKind(StrEnum):
    """What learns."""

    ADAPT = "adapt"
    PRETRAIN = "pretrain"
    NIGHTLY = "nightly"


class LearningStatus(StrEnum):
    """How it stands. One that died without a word is `RUNNING` until `LearningRuns.close_dead`."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    BROKEN_OFF = "broken off"


@dataclass(frozen=True, slots=True)
class LearningStart:
    """What is known when it begins.

    Attributes:
        kind: What learns.
        parent: Hash of the encoder that it began from; None for random weights, or where it is not known yet.
        seed: Of everything random.
        settings: All that it was told, ready for JSON.
        code: Version of the program: a Git commit, or the package's version.
    """

    kind: LearningKind
    parent: str | None
    seed: int
    settings: Mapping[str, object]
    code: str


@dataclass(frozen=True, slots=True)
class LearningEnd:
    """What came of it.

    Attributes:
        status: How it ended.
        model: Name of what was made, if anything was.
        promoted: Whether that serves now.
        reason: Why or why not, or what went wrong.
        figures: What was measured, ready for JSON.
    """

    status: LearningStatus
    model: str | None = None
    promoted: bool = False
    reason: str | None = None
    figures: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LearningRun:
    """A row; times in microseconds since 1970 UTC, `ended_us` None while it is running."""

    id: int
    start: LearningStart
    end: LearningEnd
    started_us: int
    ended_us: int | None


class LearningRuns:
    """The log of one site.

    Args:
        database: Of the site.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, start: LearningStart) -> int:
        """Notes that something begins to learn now; returns its row."""
        row = Row(
            kind=start.kind,
            status=LearningStatus.RUNNING,
            started_us=time.time_ns() // 1000,
            parent=start.parent,
            promoted=False,
            seed=start.seed,
            settings=dict(start.settings),
            figures={},
            code=start.code,
        )
        with self._database.session_scope(write=True) as session:
            session.add(row)
            session.flush()
            return row.id

    def finish(self, run: int, end: LearningEnd) -> None:
        """Notes what came of a row, now."""
        values = {
            "status": end.status,
            "ended_us": time.time_ns() // 1000,
            "model": end.model,
            "promoted": end.promoted,
            "reason": end.reason,
            "figures": dict(end.figures),
        }
        with self._database.session_scope(write=True) as session:
            session.execute(update(Row).where(Row.id == run).values(values))

    def close_dead(self) -> int:
        """Marks what is running as broken off; returns how many. Call it under `Database.lock_for_learning`."""
        values = {"status": LearningStatus.BROKEN_OFF, "ended_us": time.time_ns() // 1000, "reason": "killed"}
        with self._database.session_scope(write=True) as session:
            rows = session.scalars(select(Row.id).where(Row.status == LearningStatus.RUNNING)).all()
            session.execute(update(Row).where(Row.id.in_(rows)).values(values))
        return len(rows)

    def read(self, kind: LearningKind | None = None) -> list[LearningRun]:
        """All rows, or those of one kind, newest first."""
        query = select(Row).order_by(Row.id.desc())
        if kind is not None:
            query = query.where(Row.kind == kind)
        with self._database.session_scope() as session:
            return [_run(row) for row in session.scalars(query)]


def _run(row: Row) -> LearningRun:
    start = LearningStart(LearningKind(row.kind), row.parent, row.seed, row.settings, row.code)
    end = LearningEnd(LearningStatus(row.status), row.model, row.promoted, row.reason, row.figures)
    return LearningRun(row.id, start, end, row.started_us, row.ended_us)
