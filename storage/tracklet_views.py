"""The embeddings of tracklets, read tracklet by tracklet: one model at a time, as vectors of two are never compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Row, Select, select
from sqlalchemy.orm import Session

from reid_pipeline.storage.encryption import Vault
from reid_pipeline.storage.index_hints import off_index
from reid_pipeline.storage.schema import Camera, Embedding, Model, Tracklet
from reid_pipeline.storage.typed_numbers import has_number
from reid_pipeline.storage.vector_bytes import VectorName, open_vectors

_ROWS_AT_ONCE = 2_000  # some megabytes of vectors


@dataclass(frozen=True, slots=True)
class ViewFilter:
    """Which tracklets; what is left out does not choose.

    Attributes:
        cameras: Those seen by any of these; an unknown one has seen nobody.
        since_us: Those that last at least until then.
        until_us: Those that begin before then.
        identity: Those of this identity, a survivor.
        tracklet: The one of this camera and number.
        newest: No more than so many that began last.
        rows: Those of these rows of the database, of which there are at most some thousands.
    """

    cameras: tuple[str, ...] = ()
    since_us: int | None = None
    until_us: int | None = None
    identity: int | None = None
    tracklet: tuple[str, int] | None = None
    newest: int | None = None
    rows: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TrackletViews:
    """A tracklet and its views by one model.

    Attributes:
        camera: Name of the camera.
        number: Number of the tracklet.
        run_id: Which run found it.
        identity: Who it is, after all merges; None where nobody has decided.
        first_us: When it began.
        last_us: When its last box so far was.
        qualities: ``(V,)``, of each view, as in `View`.
        vectors: ``(V, D) float32`` of norm 1.
    """

    camera: str
    number: int
    run_id: int
    identity: int | None
    first_us: int
    last_us: int
    qualities: NDArray[np.float64]
    vectors: NDArray[np.float32]


def read_views(session: Session, model_hash: str, wanted: ViewFilter, vault: Vault) -> Iterator[TrackletViews]:
    """See `Repository.tracklet_views`."""
    query = _query(model_hash).where(*_conditions(wanted))
    with session.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)) as rows:
        for _, views in groupby(rows, key=itemgetter(0, 1)):
            found = list(views)
            names = (VectorName(row.name, row.number, row.time_us, model_hash) for row in found)
            vectors = open_vectors(vault, session, zip(names, (row.vector for row in found), strict=True))
            yield _views(found, vectors)


def _query(model_hash: str) -> Select[str, int, int, int | None, int, int, float, int, bytes]:
    model = select(Model.id).where(Model.hash == model_hash).scalar_subquery()
    return (
        select(
            Camera.name,
            Tracklet.number,
            Tracklet.run_id,
            Tracklet.identity,
            Tracklet.first_us,
            Tracklet.last_us,
            Embedding.quality,
            Embedding.time_us,
            Embedding.vector,
        )
        .select_from(Embedding)
        .join(Tracklet, Tracklet.id == Embedding.tracklet_id)
        .join(Camera, Camera.id == Tracklet.camera_id)
        # Without the index by model SQLite goes through the tracklets, whose index has this order, and so never has to
        # sort vectors.
        .where(off_index(Embedding.model_id) == model)
        .order_by(Tracklet.camera_id, Tracklet.number)
    )


def _conditions(wanted: ViewFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.cameras:
        yield Tracklet.camera_id.in_(select(Camera.id).where(Camera.name.in_(wanted.cameras)))
    if wanted.since_us is not None:
        yield Tracklet.last_us >= wanted.since_us
    if wanted.until_us is not None:
        yield Tracklet.first_us < wanted.until_us
    if wanted.identity is not None:
        yield has_number(Tracklet.identity, wanted.identity)
    if wanted.tracklet is not None:
        yield Camera.name == wanted.tracklet[0]
        yield has_number(Tracklet.number, wanted.tracklet[1])
    if wanted.newest is not None:
        yield Tracklet.id.in_(select(Tracklet.id).order_by(Tracklet.id.desc()).limit(wanted.newest))
    if wanted.rows is not None:
        yield Tracklet.id.in_(wanted.rows)


def _views(
    rows: Sequence[Row[str, int, int, int | None, int, int, float, int, bytes]], vectors: NDArray[np.float32]
) -> TrackletViews:
    camera, number, run_id, identity, first_us, last_us, *_ = rows[0]
    return TrackletViews(
        camera,
        number,
        run_id,
        identity,
        first_us,
        last_us,
        np.array([row.quality for row in rows], np.float64),
        vectors,
    )
