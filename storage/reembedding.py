"""Stored crops that a model has not embedded yet, and embeddings that nobody needs any more once it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import and_, delete, exists, func, insert, select
from sqlalchemy.orm import aliased

from reid_pipeline.storage.database import Database
from reid_pipeline.storage.errors import UnknownRecord
from reid_pipeline.storage.schema import Camera, Crop, Embedding, Model, Tracklet
from reid_pipeline.storage.vector_bytes import VectorName, seal_vector

_ROWS_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class StoredCrop:
    """A crop by its row, and its file under the data folder."""

    id: int
    path: str


class Backlog:
    """The crops that a model still has to embed, newest first. A run may add more meanwhile.

    Args:
        database: Of the site.
        model_hash: Of the model, which is registered.

    Raises:
        UnknownRecord: It is not.
    """

    def __init__(self, database: Database, model_hash: str) -> None:
        self._database = database
        self._hash = model_hash
        with database.session_scope() as session:
            found = session.scalar(select(Model.id).where(Model.hash == model_hash))
        if found is None:
            raise UnknownRecord(f"model {model_hash!r} is not in the database; register it first")
        self._model_id = found
        self._missing = ~exists().where(and_(Embedding.crop_id == Crop.id, Embedding.model_id == found))

    def __len__(self) -> int:
        """How many crops are left."""
        with self._database.session_scope() as session:
            return session.scalar(select(func.count(Crop.id)).where(self._missing)) or 0

    def next(self, count: int, before: int | None = None) -> list[StoredCrop]:
        """The next ones.

        Args:
            count: How many at most.
            before: Only crops whose row is lesser, to go past those whose file is gone.
        """
        query = select(Crop.id, Crop.path).where(self._missing).order_by(Crop.id.desc()).limit(count)
        if before is not None:
            query = query.where(Crop.id < before)
        with self._database.session_scope() as session:
            return [StoredCrop(row.id, row.path) for row in session.execute(query)]

    def add(self, crops: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Stores the embeddings ``(N, D)`` of crops by their rows; one that was removed meanwhile gets none."""
        with self._database.session_scope(write=True) as session:
            rows = session.execute(
                select(Crop.id, Crop.tracklet_id, Crop.quality, Crop.time_us, Camera.name, Tracklet.number)
                .join(Tracklet, Tracklet.id == Crop.tracklet_id)
                .join(Camera, Camera.id == Tracklet.camera_id)
                .where(Crop.id.in_(crops), self._missing)
            )
            sealer = self._database.vault.sealer(session.connection())
            place = {crop: number for number, crop in enumerate(crops)}
            values = [
                {
                    "tracklet_id": row.tracklet_id,
                    "crop_id": row.id,
                    "model_id": self._model_id,
                    "quality": row.quality,
                    "time_us": row.time_us,
                    "vector": seal_vector(
                        sealer, VectorName(row.name, row.number, row.time_us, self._hash), vectors[place[row.id]]
                    ),
                }
                for row in rows
            ]
            if values:
                session.execute(insert(Embedding), values)


def drop_superseded(database: Database, old: str, by: str) -> int:
    """Removes the embeddings of a model of crops that another has embedded too; a run may go on beside it.

    Args:
        database: Of the site.
        old: Hash of the model that is to go.
        by: Hash of the one that serves.

    Returns:
        How many embeddings of the old one are left: their crops are gone, or not embedded anew yet.
    """
    ours, theirs, model = aliased(Embedding), aliased(Embedding), select(Model.id)
    old_id, by_id = (model.where(Model.hash == each).scalar_subquery() for each in (old, by))
    too = exists().where(and_(theirs.crop_id == ours.crop_id, theirs.model_id == by_id))
    some = select(ours.id).where(ours.model_id == old_id, too).limit(_ROWS_AT_ONCE)
    while True:
        with database.session_scope(write=True) as session:
            rows = session.scalars(some).all()
            session.execute(delete(Embedding).where(Embedding.id.in_(rows)))
        if len(rows) < _ROWS_AT_ONCE:
            break
    with database.session_scope() as session:
        return session.scalar(select(func.count(Embedding.id)).where(Embedding.model_id == old_id)) or 0
