"""How a site stands as a whole: its runs, the models in use, the room on its disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from reid_pipeline.storage.database import Database
from reid_pipeline.storage.permissions import Access, Permission
from reid_pipeline.storage.records import RunStatus
from reid_pipeline.storage.schema import Embedding, Model, Run, Tracklet
from reid_pipeline.storage.site_check import SiteSizes, measure_site


@dataclass(frozen=True, slots=True)
class RunModel:
    """A model of a run: what for, its name, and the runtime that it was computed by, where that is known."""

    task: str
    name: str
    hash: str
    runtime: str | None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A call of `run`; one that was killed is `RUNNING` until the next begins."""

    id: int
    started_us: int
    ended_us: int | None
    status: RunStatus
    models: tuple[RunModel, ...]
    tracklets: int


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that made something here; `searched` where vectors by it are still stored."""

    hash: str
    name: str
    task: str
    licence: str
    searched: bool


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Bytes of the disk that the data folder is on."""

    total: int
    free: int


class SiteStatus:
    """Reads for one person.

    Args:
        database: Of the site.
        access: Of who asks.

    Raises:
        NotAllowed: They may not see all cameras.
    """

    def __init__(self, database: Database, access: Access) -> None:
        access.require_all_cameras(Permission.SEE)
        self._database = database

    def runs(self, limit: int) -> tuple[RunRecord, ...]:
        """The last ones, newest first."""
        with self._database.session_scope() as session:
            rows = session.scalars(select(Run).order_by(Run.id.desc()).limit(limit)).all()
            tracklets = _count_tracklets(session, [row.id for row in rows])
            return tuple(
                RunRecord(
                    row.id,
                    row.started_us,
                    row.ended_us,
                    RunStatus(row.status),
                    tuple(_run_model(task, fields) for task, fields in row.models.items() if isinstance(fields, dict)),
                    tracklets.get(row.id, 0),
                )
                for row in rows
            )

    def models(self) -> tuple[KnownModel, ...]:
        """All that made something here, newest first."""
        searched = exists().where(Embedding.model_id == Model.id)
        query = select(Model.hash, Model.name, Model.task, Model.licence, searched).order_by(Model.id.desc())
        with self._database.session_scope() as session:
            return tuple(KnownModel(*row) for row in session.execute(query))

    def disk(self) -> DiskSpace:
        """How full it is."""
        usage = shutil.disk_usage(self._database.data_dir)
        return DiskSpace(usage.total, usage.free)

    def sizes(self) -> SiteSizes:
        """Rows of each table and bytes of each part; takes seconds where there are a million pictures."""
        return measure_site(self._database)


def _count_tracklets(session: Session, runs: list[int]) -> Mapping[int, int]:
    query = select(Tracklet.run_id, func.count()).where(Tracklet.run_id.in_(runs)).group_by(Tracklet.run_id)
    return dict(session.execute(query).all())


def _run_model(task: str, fields: Mapping[str, Any]) -> RunModel:
    runtime = fields.get("runtime")
    return RunModel(task, str(fields.get("name")), str(fields.get("hash")), None if runtime is None else str(runtime))
