"""What the next retention will remove, class by class, counted no further than people need to know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from reid_pipeline.storage.cases import is_clip_held, is_held
from reid_pipeline.storage.corpus_queries import DAY_US
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.permissions import Access, Permission
from reid_pipeline.storage.retention import Limits, written_us
from reid_pipeline.storage.schema import Clip, Crop, Embedding, Model, Tracklet
from reid_pipeline.storage.schema_governance import AuditEntry
from reid_pipeline.storage.schema_learning import CorpusItem, CorpusShard, CorpusTracklet
from reid_pipeline.storage.site_files import BACKUPS, REPORTS

MOST: Final = 10_000
"""Of each class: beyond that, nobody counts."""

_Rows = Select[int] | Select[int | None]


@dataclass(frozen=True, slots=True)
class Due:
    """How one class stands.

    Attributes:
        oldest_us: Time of the oldest that there is; None where there is nothing.
        due: How many are past their time; up to `MOST`, which then means as many or more.
        held: How many of these stay, as an open case holds them.
    """

    oldest_us: int | None
    due: int
    held: int = 0


class RetentionDue:
    """Counts for one person.

    Args:
        database: Of the site.
        access: Of who asks.
        most: See `MOST`.

    Raises:
        NotAllowed: They may not see all cameras.
    """

    def __init__(self, database: Database, access: Access, most: int = MOST) -> None:
        access.require_all_cameras(Permission.SEE)
        self._database = database
        self._most = most

    def read(self, limits: Limits) -> Mapping[str, Due]:
        """Each class of `Limits` but the events, which go with the tracklets that they are about."""
        counts: Mapping[str, Callable[[Session, int], Due]] = {
            "crops": self._crops,
            "embeddings": self._embeddings,
            "clips": self._clips,
            "corpus": self._corpus,
            "tracks": self._tracks,
            "reports": lambda _, before_us: self._files(REPORTS, before_us),
            "backups": lambda _, before_us: self._files(BACKUPS, before_us),
            "audit": self._audit,
        }
        times: dict[str, int] = {each.name: getattr(limits, each.name) or 0 for each in fields(Limits)}
        with self._database.session_scope() as session:
            return {name: count(session, times[name]) for name, count in counts.items()}

    def _crops(self, session: Session, before_us: int) -> Due:
        old = select(Crop.tracklet_id).where(Crop.time_us < before_us).order_by(Crop.time_us)
        due, held = self._count_of_tracklets(session, old)
        return Due(session.scalar(select(func.min(Crop.time_us))), due, held)

    def _embeddings(self, session: Session, before_us: int) -> Due:
        oldest, due, held = [], 0, 0
        for model in session.scalars(select(Model.id)).all():
            of_model = Embedding.model_id == model
            oldest.append(session.scalar(select(func.min(Embedding.time_us)).where(of_model)))
            old = select(Embedding.tracklet_id).where(of_model, Embedding.time_us < before_us)
            found = self._count_of_tracklets(session, old.order_by(Embedding.time_us))
            due, held = min(due + found[0], self._most), held + found[1]
        return Due(min((each for each in oldest if each is not None), default=None), due, held)

    def _clips(self, session: Session, before_us: int) -> Due:
        old = (Clip.first_us < before_us, Clip.last_us < before_us)
        rows = select(Clip.id).where(*old).order_by(Clip.first_us).limit(self._most)
        due = _count(session, rows)
        held = self._held(session, Clip.id, rows, is_clip_held()) if due else 0
        return Due(session.scalar(select(func.min(Clip.first_us))), due, held)

    def _corpus(self, session: Session, before_us: int) -> Due:
        shards = select(CorpusShard.id).where(CorpusShard.day <= (before_us - 1) // DAY_US)
        rows = select(CorpusItem.id).where(CorpusItem.shard_id.in_(shards), CorpusItem.time_us < before_us)
        return Due(session.scalar(select(func.min(CorpusTracklet.first_us))), _count(session, rows.limit(self._most)))

    def _tracks(self, session: Session, before_us: int) -> Due:
        old = (Tracklet.first_us < before_us, Tracklet.last_us < before_us)
        due, held = self._count_of_tracklets(session, select(Tracklet.id).where(*old).order_by(Tracklet.first_us))
        return Due(session.scalar(select(func.min(Tracklet.first_us))), due, held)

    def _audit(self, session: Session, before_us: int) -> Due:
        rows = select(AuditEntry.id).where(AuditEntry.at_us < before_us).limit(self._most)
        return Due(session.scalar(select(func.min(AuditEntry.at_us))), _count(session, rows))

    def _files(self, folder: str, before_us: int) -> Due:
        times = sorted(_written(self._database.data_dir / folder))
        return Due(times[0] if times else None, min(sum(each < before_us for each in times), self._most))

    def _count_of_tracklets(self, session: Session, old: Select[int]) -> tuple[int, int]:
        """How many rows are due, given the tracklet of each; and of how many the tracklet is held."""
        rows = old.limit(self._most)
        due = _count(session, rows)
        return due, self._held(session, Tracklet.id, rows, is_held()) if due else 0

    def _held(
        self, session: Session, key: InstrumentedAttribute[int], rows: Select[int], held: ColumnElement[bool]
    ) -> int:
        due = rows.subquery()
        query = select(func.count()).select_from(due).join(key.class_, key == due.c[0]).where(held)
        return session.scalar(query) or 0


def _count(session: Session, rows: _Rows) -> int:
    return session.scalar(select(func.count()).select_from(rows.subquery())) or 0


def _written(folder: Path) -> Iterator[int]:
    if folder.is_dir():
        yield from (written_us(path) for path in folder.iterdir())
