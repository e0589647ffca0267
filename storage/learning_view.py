"""What learning did on a site, for people to look at: the corpus, the nights and their reports, what serves.

Reports show people of all cameras, and so all of it is only for those who see all cameras.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from reid_pipeline.storage.corpus_queries import disk_bytes
from reid_pipeline.storage.corpus_records import CorpusStats
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.learning_runs import LearningRun, LearningRuns
from reid_pipeline.storage.model_registry import is_model_name
from reid_pipeline.storage.permissions import Access, Permission
from reid_pipeline.storage.promotions import Promotion, PromotionLog, Promotions
from reid_pipeline.storage.schema_learning import CorpusItem, CorpusTracklet
from reid_pipeline.storage.site_files import REPORTS

PAGE_NAME: Final = "report.html"


@dataclass(frozen=True, slots=True)
class CorpusSize:
    """How many crops of how many tracklets there are to learn from, and the bytes of their files."""

    crops: int
    tracklets: int
    bytes: int


class LearningView:
    """Reads, and takes promotions back, for one person.

    Args:
        database: Of the site.
        access: Of who looks.

    Raises:
        NotAllowed: They may not see all cameras.
    """

    def __init__(self, database: Database, access: Access) -> None:
        access.require_all_cameras(Permission.SEE)
        self._database = database
        self._access = access

    def size(self) -> CorpusSize:
        """Of the corpus; quick, however large it is."""
        with self._database.session_scope() as session:
            crops, tracklets = (
                session.scalar(select(func.count()).select_from(table)) or 0 for table in (CorpusItem, CorpusTracklet)
            )
            return CorpusSize(crops, tracklets, disk_bytes(session))

    def stats(self) -> CorpusStats:
        """All about the corpus; takes seconds where there are millions of crops."""
        return CorpusStore(self._database).stats()

    def runs(self, limit: int) -> tuple[LearningRun, ...]:
        """What learnt here, newest first."""
        return tuple(LearningRuns(self._database).read()[:limit])

    def promoted(self, base: str | None) -> tuple[Promotion, ...]:
        """The promotions in force for the configured encoder, oldest first: the last of them serves."""
        return () if base is None else tuple(PromotionLog(self._database.data_dir).promoted(base))

    def report_of(self, model: str | None) -> str | None:
        """The name of the report on a model that was made here; None where there is none any more."""
        folder = self._database.data_dir / REPORTS
        if model is None or not folder.is_dir():
            return None
        names = sorted(path.parent.name for path in folder.glob(f"*/{PAGE_NAME}"))
        return next((name for name in reversed(names) if model == name or model.startswith(f"{name}-")), None)

    def read_report(self, name: str) -> bytes | None:
        """The page of a report as HTML; None where there is none of this name."""
        path = self._database.data_dir / REPORTS / name / PAGE_NAME
        return path.read_bytes() if is_model_name(name) and path.is_file() else None

    def roll_back(self, base: str, reason: str) -> Promotion:
        """Takes the last promotion back: from the next run on what served before serves again.

        Raises:
            NotAllowed: They may not.
            ModelError: The configured encoder itself serves.
        """
        return Promotions(self._database, self._access).roll_back(base, reason)
