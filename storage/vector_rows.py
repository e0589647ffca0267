"""The embeddings of one model in the database, as its vector index reads them, and the tracklets that they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

import numpy as np
from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from reid_pipeline.storage.database import Database
from reid_pipeline.storage.index_hints import off_index
from reid_pipeline.storage.schema import Camera, Embedding, Model, Tracklet
from reid_pipeline.storage.tracklet_views import ViewFilter
from reid_pipeline.storage.vector_bytes import VectorName, count_numbers, open_vectors
from reid_pipeline.storage.vector_index import Entries, Ids

PART: Final = 1 << 16  # ids that are compared as one
_IDS_AT_ONCE: Final = 1_000  # in one statement
_ROWS_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class TrackletRow:
    """A tracklet by its row, and what tells whether it can be who is searched for."""

    row: int
    camera: str
    number: int
    run_id: int
    identity: int | None
    first_us: int
    last_us: int


class VectorRows:
    """Reads the embeddings of one model.

    Args:
        database: Of the site.
        model_hash: Of the model; one that is not registered has none.
    """

    def __init__(self, database: Database, model_hash: str) -> None:
        self._database = database
        self._hash = model_hash
        self._model = select(Model.id).where(Model.hash == model_hash).scalar_subquery()

    def __len__(self) -> int:
        """How many there are."""
        with self._database.session_scope() as session:
            return session.scalar(select(func.count()).where(Embedding.model_id == self._model)) or 0

    def dim(self) -> int | None:
        """Numbers of a vector; None where there is none."""
        with self._database.session_scope() as session:
            vector = session.scalar(select(Embedding.vector).where(Embedding.model_id == self._model).limit(1))
        return None if vector is None else count_numbers(vector)

    def parts(self) -> Mapping[int, tuple[int, int]]:
        """How many ids there are in each part, and their sum. A part is told by the first id over `PART`."""
        part = (Embedding.id // PART).label("part")
        query = select(part, func.count(), func.sum(Embedding.id)).where(Embedding.model_id == self._model)
        with self._database.session_scope() as session:
            return {int(row[0]): (int(row[1]), int(row[2])) for row in session.execute(query.group_by(part))}

    def ids(self, part: int) -> Ids:
        """The ids of a part, in ascending order."""
        query = select(Embedding.id).where(*self._of_part(part)).order_by(Embedding.id)
        with self._database.session_scope() as session:
            return np.array(session.scalars(query).all(), np.int64)

    def entries(self, part: int, wanted: Ids) -> Iterator[Entries]:
        """Some of a part, as far as they are still there."""
        query = (
            select(Embedding.id, Tracklet.camera_id, Embedding.time_us, Embedding.vector, Camera.name, Tracklet.number)
            .join(Tracklet, Tracklet.id == Embedding.tracklet_id)
            .join(Camera, Camera.id == Tracklet.camera_id)
            .where(*self._of_part(part), Embedding.id >= int(wanted[0]), Embedding.id <= int(wanted[-1]))
            .order_by(Embedding.id)
        )
        with self._database.session_scope() as session:
            for rows in session.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)).partitions():
                ids, cameras, times, vectors, names, tracklets = zip(*rows, strict=True)
                of = map(VectorName, names, tracklets, times, repeat(self._hash))
                numbers = open_vectors(self._database.vault, session, zip(of, vectors, strict=False))
                found = Entries(
                    np.array(ids, np.int64), np.array(cameras, np.int32), np.array(times, np.int64), numbers
                )
                yield found.only(np.isin(found.ids, wanted))

    def _of_part(self, part: int) -> tuple[ColumnElement[bool], ...]:
        # SQLite would go through all of the model by its index.
        return (
            off_index(Embedding.model_id) == self._model,
            Embedding.id >= part * PART,
            Embedding.id < (part + 1) * PART,
        )


def read_camera_rows(database: Database) -> Mapping[str, int]:
    """The row of each camera by its name."""
    with database.session_scope() as session:
        return {row.name: row.id for row in session.execute(select(Camera.name, Camera.id))}


def read_model_hashes(database: Database) -> list[str]:
    """The hashes of all models that were ever in use."""
    with database.session_scope() as session:
        return list(session.scalars(select(Model.hash)))


def read_tracklets_of(database: Database, embeddings: Sequence[int]) -> list[TrackletRow]:
    """The tracklets of embeddings, each once; one that was removed has none."""
    found: dict[int, TrackletRow] = {}
    with database.session_scope() as session:
        for first in range(0, len(embeddings), _IDS_AT_ONCE):
            some = Embedding.id.in_(embeddings[first : first + _IDS_AT_ONCE])
            query = _tracklets().join(Embedding, Embedding.tracklet_id == Tracklet.id).where(some).distinct()
            found.update((each.row, each) for each in _read(session, query))
    return list(found.values())


def read_tracklets_at(database: Database, wanted: ViewFilter) -> list[TrackletRow]:
    """The tracklets that were there at the beginning or the end of a filter's time, in its cameras."""
    moments = [
        and_(Tracklet.first_us < moment, Tracklet.last_us >= moment)
        for moment in (wanted.since_us, wanted.until_us)
        if moment is not None
    ]
    if not moments:
        return []
    query = _tracklets().where(or_(*moments))
    if wanted.cameras:
        query = query.where(Camera.name.in_(wanted.cameras))
    with database.session_scope() as session:
        return list(_read(session, query))


def _tracklets() -> Select[int, str, int, int, int | None, int, int]:
    return select(
        Tracklet.id,
        Camera.name,
        Tracklet.number,
        Tracklet.run_id,
        Tracklet.identity,
        Tracklet.first_us,
        Tracklet.last_us,
    ).join(Camera, Camera.id == Tracklet.camera_id)


def _read(session: Session, query: Select[int, str, int, int, int | None, int, int]) -> Iterator[TrackletRow]:
    for row in session.execute(query):
        yield TrackletRow(*row)
