"""What is asked of the corpus: tracklets and crops in order of time, and what there is of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import BigInteger, ColumnElement, Select, case, cast, func, select
from sqlalchemy.orm import Session

from reid_pipeline.storage.corpus_records import (
    CameraCorpus,
    CorpusFilter,
    CorpusItem,
    CorpusStats,
    CorpusTracklet,
)
from reid_pipeline.storage.index_hints import off_index
from reid_pipeline.storage.schema import Camera
from reid_pipeline.storage.schema_learning import CorpusItem as Item
from reid_pipeline.storage.schema_learning import CorpusOrigin, CorpusShard
from reid_pipeline.storage.schema_learning import CorpusTracklet as Tracklet

WIDTH_STEP: Final = 16
HEIGHT_STEP: Final = 32
DAY_US: Final = 86_400_000_000
_ROWS_AT_ONCE: Final = 5_000
# Without the indices of these SQLite goes through the tracklets by time, and so never has to sort.
_ORIGIN: Final = off_index(Tracklet.origin_id)
_SHARD: Final = off_index(Item.shard_id)
_TRACKLET: Final = off_index(Tracklet.id)
_QUALITY_STEPS: Final = 10


def read_tracklets(session: Session, wanted: CorpusFilter) -> Iterator[CorpusTracklet]:
    """See `CorpusStore.tracklets`."""
    query = (
        select(Tracklet.id, Camera.name, Tracklet.origin_id, Tracklet.number, Tracklet.first_us, Tracklet.last_us)
        .select_from(Tracklet)
        .join(CorpusOrigin, CorpusOrigin.id == _ORIGIN)
        .join(Camera, Camera.id == CorpusOrigin.camera_id)
        .where(*_conditions(wanted))
        .order_by(Tracklet.first_us, Tracklet.id)
    )
    with session.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)) as rows:
        for row in rows:
            yield CorpusTracklet(*row)


def read_items(session: Session, wanted: CorpusFilter) -> Iterator[CorpusItem]:
    """See `CorpusStore.items`."""
    query = (
        select(
            Item.tracklet_id,
            Item.time_us,
            Item.shard_id,
            CorpusShard.day,
            Item.offset,
            Item.length,
            Item.width,
            Item.height,
            Item.quality,
            Camera.name,
        )
        .select_from(Tracklet)
        .join(Item, Item.tracklet_id == _TRACKLET)
        .join(CorpusShard, CorpusShard.id == _SHARD)
        .join(CorpusOrigin, CorpusOrigin.id == _ORIGIN)
        .join(Camera, Camera.id == CorpusOrigin.camera_id)
        .where(*_conditions(wanted))
        .order_by(Tracklet.first_us, Tracklet.id, Item.time_us)
    )
    with session.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)) as rows:
        for *place, quality, camera in rows:
            tracklet, time_us, shard, day, offset, length, width, height = place
            yield CorpusItem(tracklet, time_us, shard, day, offset, length, width, height, quality, camera)


def read_stats(session: Session, wanted: CorpusFilter) -> CorpusStats:
    """See `CorpusStore.stats`."""
    crops, tracklets, size, first_us, last_us = session.execute(
        _of_items(
            wanted,
            func.count(Item.id),
            func.count(Item.tracklet_id.distinct()),
            func.coalesce(func.sum(Item.length), 0),
            func.min(Item.time_us),
            func.max(Item.time_us),
        )
    ).one()
    return CorpusStats(
        crops,
        tracklets,
        size,
        disk_bytes=disk_bytes(session),
        first_us=first_us,
        last_us=last_us,
        cameras=tuple(_read_cameras(session, wanted)),
        days=_histogram(session, wanted, Item.time_us // DAY_US),
        crops_per_tracklet=_crops_per_tracklet(session, wanted),
        widths=_histogram(session, wanted, Item.width // WIDTH_STEP * WIDTH_STEP),
        heights=_histogram(session, wanted, Item.height // HEIGHT_STEP * HEIGHT_STEP),
        qualities=_histogram(session, wanted, _quality_step()),
    )


def disk_bytes(session: Session) -> int:
    """Of all shards."""
    total = cast(func.sum(CorpusShard.bytes), BigInteger)  # PostgreSQL's sum of these has decimal places
    return session.scalar(select(total)) or 0


def _quality_step() -> ColumnElement[int]:
    """0 to 9: which tenth of the qualities from 0 to 1."""
    tenths = range(_QUALITY_STEPS - 1)
    return case(*((Item.quality < (tenth + 1) / _QUALITY_STEPS, tenth) for tenth in tenths), else_=_QUALITY_STEPS - 1)


def _conditions(wanted: CorpusFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.cameras:
        seen_by = select(CorpusOrigin.id).join(Camera, Camera.id == CorpusOrigin.camera_id)
        yield _ORIGIN.in_(seen_by.where(Camera.name.in_(wanted.cameras)))
    if wanted.since_us is not None:
        yield Tracklet.last_us >= wanted.since_us
    if wanted.until_us is not None:
        yield Tracklet.first_us < wanted.until_us


def _of_items(wanted: CorpusFilter, *columns: ColumnElement[int]) -> Select[*tuple[int, ...]]:
    query = select(*columns).select_from(Item)
    conditions = list(_conditions(wanted))
    return query.join(Tracklet, Tracklet.id == Item.tracklet_id).where(*conditions) if conditions else query


def _read_cameras(session: Session, wanted: CorpusFilter) -> Iterator[CameraCorpus]:
    query = (
        select(Camera.name, func.count(Tracklet.id.distinct()), func.count(Item.id), func.sum(Item.length))
        .select_from(Item)
        .join(Tracklet, Tracklet.id == Item.tracklet_id)
        .join(CorpusOrigin, CorpusOrigin.id == Tracklet.origin_id)
        .join(Camera, Camera.id == CorpusOrigin.camera_id)
        .where(*_conditions(wanted))
        .group_by(Camera.name)
        .order_by(Camera.name)
    )
    for row in session.execute(query):
        yield CameraCorpus(*row)


def _histogram(session: Session, wanted: CorpusFilter, lower: ColumnElement[int]) -> tuple[tuple[int, int], ...]:
    query = _of_items(wanted, lower, func.count()).group_by(lower).order_by(lower)
    return tuple((int(bound), int(count)) for bound, count in session.execute(query))


def _crops_per_tracklet(session: Session, wanted: CorpusFilter) -> tuple[tuple[int, int], ...]:
    sizes = _of_items(wanted, func.count().label("crops")).group_by(Item.tracklet_id).subquery()
    query = select(sizes.c.crops, func.count()).group_by(sizes.c.crops).order_by(sizes.c.crops)
    return tuple((int(crops), int(count)) for crops, count in session.execute(query))
