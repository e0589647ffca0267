"""Which tracklets of a large site are worth comparing with a query: those of its nearest embeddings in each camera.

What similarities mean differs from camera to camera, but in any one a higher similarity is a higher probability: the
best of all are among the best of each.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from reid_pipeline.pipeline.search import Query
from reid_pipeline.pipeline.tracklet_looks import SeenTracklet
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.tracklet_views import ViewFilter
from reid_pipeline.storage.vector_index import IndexFilter
from reid_pipeline.storage.vector_index_sync import SiteIndex
from reid_pipeline.storage.vector_rows import (
    TrackletRow,
    VectorRows,
    read_camera_rows,
    read_tracklets_at,
    read_tracklets_of,
)

logger = logging.getLogger(__name__)

LARGE: Final = 50_000  # embeddings from which an index is worth it: all of fewer are read in a second or two
_VIEWS: Final = 4  # embeddings looked for, for each tracklet that is asked for
_SPARE: Final = 64
_GROWTH: Final = 4
_ENOUGH: Final = 2  # times as many tracklets are compared as are asked for: a mean look differs from its views
_ROWS_AT_ONCE: Final = 2_000  # in one statement


class Candidates:
    """Narrows searches of one site by the vector indices of its models; these are as of their first use, or `refresh`.

    Args:
        database: Of the site.
        large: Embeddings of a model from which there is an index.
    """

    def __init__(self, database: Database, large: int = LARGE) -> None:
        self._database, self._large = database, large
        self._indices: dict[str, SiteIndex | None] = {}

    def refresh(self) -> None:
        """Takes in what was stored since; for who keeps this for more than one search.

        Raises:
            StorageError: FAISS is not installed.
        """
        self._indices = {model_hash: index for model_hash, index in self._indices.items() if index is not None}
        for index in self._indices.values():
            if index is not None:
                index.synchronise()

    def narrow(self, model_hash: str, query: Query, wanted: ViewFilter, top_k: int) -> Iterator[ViewFilter]:
        """Filters that together let in the tracklets worth comparing; `wanted` itself where the site is small.

        Raises:
            StorageError: FAISS is not installed.
        """
        index = self._index(model_hash)
        if index is None:
            yield wanted
            return
        found = {each.row for each in read_tracklets_at(self._database, wanted)}
        cameras = read_camera_rows(self._database)
        for name in wanted.cameras or cameras:
            if name in cameras:
                span = IndexFilter((cameras[name],), wanted.since_us, wanted.until_us)
                found |= {each.row for each in self._nearest(index, model_hash, query, span, top_k)}
        rows = sorted(found)
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            yield replace(wanted, rows=tuple(rows[first : first + _ROWS_AT_ONCE]))

    def _nearest(
        self, index: SiteIndex, model_hash: str, query: Query, span: IndexFilter, top_k: int
    ) -> Sequence[TrackletRow]:
        """Tracklets of the nearest embeddings, enough of which are not left out."""
        count = _VIEWS * top_k + _SPARE
        look = query.looks[model_hash][None]
        while True:
            [ids] = index.search(look, count, span)
            found = read_tracklets_of(self._database, ids)
            eligible = sum(not query.leaves_out(_seen(each)) for each in found)
            if eligible >= _ENOUGH * top_k or len(ids) < count:
                return found
            count *= _GROWTH

    def _index(self, model_hash: str) -> SiteIndex | None:
        if model_hash not in self._indices:
            large = len(VectorRows(self._database, model_hash)) >= self._large
            self._indices[model_hash] = _open(self._database, model_hash) if large else None
        return self._indices[model_hash]


def _open(database: Database, model_hash: str) -> SiteIndex:
    index = SiteIndex(database, model_hash)
    if index.synchronise(lambda count: logger.info("vector index: %d embeddings", count)):
        try:
            index.save()
        except OSError as error:  # a cache: without it the next search only takes longer
            logger.warning("the vector index cannot be stored: %s", error)
    return index


def _seen(row: TrackletRow) -> SeenTracklet:
    return SeenTracklet(row.camera, row.number, row.run_id, row.identity, row.first_us, row.last_us)
