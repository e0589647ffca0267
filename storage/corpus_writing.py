"""How crops get into the corpus and out of it: the statements of one transaction, and the bytes beside them.

In: bytes first, then the rows that name them; a transaction that fails leaves bytes beyond the shard's end, which the
next one overwrites. Out: rows first, and the shard is marked; `wipe_shard` then overwrites what no row names. Whatever
dies in between, each crop whose transaction was committed is there once, and `wipe_shard` can be done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, insert, select, update

from reid_pipeline.storage.corpus_records import Added, CollectedCrop, CorpusCrop, ImportedTracklet
from reid_pipeline.storage.corpus_shards import ShardFiles, ShardName
from reid_pipeline.storage.encryption import Kind, Place, Sealer, Vault
from reid_pipeline.storage.row_ids import RowIds
from reid_pipeline.storage.schema import Camera, Tracklet
from reid_pipeline.storage.schema_governance import ErasedContent
from reid_pipeline.storage.schema_learning import CorpusItem, CorpusOrigin, CorpusShard, CorpusTracklet

SHARD_BYTES: Final = 16 << 20  # some 5,000 crops: what is rewritten at most, and given up at once when space is short
DAY_US: Final = 86_400_000_000
_AT_ONCE: Final = 500  # values in a statement

_Placed = tuple[int, CorpusCrop]  # row of the tracklet


@dataclass(slots=True)
class _Tail:
    """The shard of a day that is written to, and how far it reaches."""

    name: ShardName
    bytes: int


class CorpusAppender:
    """Adds crops inside transactions of the caller; it remembers nothing between them."""

    def __init__(self, files: ShardFiles, vault: Vault, shard_bytes: int = SHARD_BYTES) -> None:
        self._files = files
        self._vault = vault
        self._shard_bytes = shard_bytes

    def collect(self, connection: Connection, rows: RowIds, crops: Sequence[CollectedCrop]) -> None:
        """Stores crops of a run's tracklets.

        Raises:
            UnknownRecord: A tracklet is not in the database.
            OSError: The disk is full.
        """
        placed: list[_Placed] = []
        for (camera, number), group in groupby(crops, key=lambda each: (each.camera, each.number)):
            tracklet = _collected_tracklet(connection, rows.tracklet(connection, camera, number))
            placed += [(tracklet, each.crop) for each in group]
        self._append(connection, placed)

    def add(self, connection: Connection, origin: int, tracklets: Sequence[ImportedTracklet]) -> Added:
        """Stores imported tracklets, or more of them; crops whose digest is known are left out."""
        known = _known_digests(connection, [crop.digest for each in tracklets for crop in each.crops])
        placed: list[_Placed] = []
        for each in tracklets:
            fresh = [crop for crop in each.crops if crop.digest is None or crop.digest not in known]
            known.update(crop.digest for crop in fresh if crop.digest is not None)
            row = _imported_tracklet(connection, origin, each, make=bool(fresh))
            placed += [(row, crop) for crop in fresh]
        self._append(connection, placed)
        return Added(len({row for row, _ in placed}), len(placed))

    def _append(self, connection: Connection, placed: Sequence[_Placed]) -> None:
        def day(one: _Placed) -> int:
            return one[1].time_us // DAY_US

        sealed = _seal(connection, self._vault.sealer(connection), placed) if self._vault.encrypts else placed
        for key, group in groupby(sorted(sealed, key=day), key=day):
            self._append_to_day(connection, key, list(group))

    def _append_to_day(self, connection: Connection, day: int, placed: list[_Placed]) -> None:
        tail = self._newest(connection, day)
        while placed:
            if tail is None or tail.bytes >= self._shard_bytes:
                tail = _new_shard(connection, day)
            count, end = 0, tail.bytes
            while count < len(placed) and end < self._shard_bytes:
                end += len(placed[count][1].jpeg)
                count += 1
            self._write(connection, tail, placed[:count])
            placed, tail = placed[count:], _Tail(tail.name, end)

    def _newest(self, connection: Connection, day: int) -> _Tail | None:
        """The last shard of a day; one that has lost bytes in a power cut is left as it is."""
        query = select(CorpusShard.id, CorpusShard.bytes).where(CorpusShard.day == day)
        row = connection.execute(query.order_by(CorpusShard.id.desc()).limit(1)).one_or_none()
        if row is None or self._files.length(ShardName(row.id, day)) < row.bytes:
            return None
        return _Tail(ShardName(row.id, day), row.bytes)

    def _write(self, connection: Connection, tail: _Tail, placed: Sequence[_Placed]) -> None:
        self._files.append(tail.name, tail.bytes, [crop.jpeg for _, crop in placed])
        offset = tail.bytes
        items = []
        for tracklet, crop in placed:
            items.append(_item(tracklet, crop, tail.name.id, offset))
            offset += len(crop.jpeg)
        connection.execute(insert(CorpusItem), items)
        connection.execute(update(CorpusShard).where(CorpusShard.id == tail.name.id).values(bytes=offset))


def item_place(camera: str, tracklet: int, time_us: int) -> tuple[Place, str]:
    """What a crop of a tracklet (``CorpusTracklet.id``) is sealed for, and under which name."""
    return Place.at(Kind.CORPUS, camera, time_us), f"{tracklet} {time_us}"


def extend_tracklets(connection: Connection, ends: Sequence[Mapping[str, object]]) -> None:
    """Notes when tracklets of a run (``row``, ``time_us``) were last seen, where the corpus has any of them."""
    statement = (
        update(CorpusTracklet)
        .where(CorpusTracklet.tracklet_id == bindparam("row"))
        .values(last_us=bindparam("time_us"))
    )
    connection.execute(statement, ends)


def remove_tracklets(connection: Connection, which: ColumnElement[bool]) -> int:
    """Removes tracklets with their crops, marks the shards, and returns how many crops they had."""
    rows = select(CorpusTracklet.id).where(which)
    shards = connection.scalars(select(CorpusItem.shard_id).where(CorpusItem.tracklet_id.in_(rows)).distinct()).all()
    removed = connection.execute(delete(CorpusItem).where(CorpusItem.tracklet_id.in_(rows))).rowcount
    connection.execute(delete(CorpusTracklet).where(which))
    _mark(connection, shards)
    return removed


def remove_from_shard(connection: Connection, shard: int, before_us: int | None = None) -> int:
    """Removes what a shard holds, or what of it is older, with tracklets that have nothing left; returns how many."""
    which = CorpusItem.shard_id == shard
    if before_us is not None:
        which &= CorpusItem.time_us < before_us
    tracklets = connection.scalars(delete(CorpusItem).where(which).returning(CorpusItem.tracklet_id)).all()
    has_crops = exists().where(CorpusItem.tracklet_id == CorpusTracklet.id)
    for some in _in_parts(sorted(set(tracklets))):
        connection.execute(delete(CorpusTracklet).where(CorpusTracklet.id.in_(some), ~has_crops))
    if tracklets:
        _mark(connection, [shard])
    return len(tracklets)


def wipe_shard(connection: Connection, files: ShardFiles, name: ShardName) -> bool:
    """Overwrites what no row names.

    Returns:
        Whether the shard is empty: its row is gone, and its file is to be deleted once that is committed.
    """
    end = connection.scalar(select(CorpusShard.bytes).where(CorpusShard.id == name.id)) or 0
    gaps = list(_gaps(connection, name.id, end))
    if gaps == [(0, end)]:
        connection.execute(delete(CorpusShard).where(CorpusShard.id == name.id))
        return True
    files.overwrite(name, gaps)
    connection.execute(update(CorpusShard).where(CorpusShard.id == name.id).values(gaps=False))
    return False


def _seal(connection: Connection, sealer: Sealer, placed: Sequence[_Placed]) -> list[_Placed]:
    """The same with sealed bytes."""
    cameras: dict[int, str] = {}
    for some in _in_parts(sorted({tracklet for tracklet, _ in placed})):
        query = select(CorpusTracklet.id, Camera.name).join(CorpusOrigin, CorpusOrigin.id == CorpusTracklet.origin_id)
        query = query.join(Camera, Camera.id == CorpusOrigin.camera_id).where(CorpusTracklet.id.in_(some))
        cameras.update((row.id, row.name) for row in connection.execute(query))
    return [
        (row, replace(crop, jpeg=sealer.seal(*item_place(cameras[row], row, crop.time_us), crop.jpeg)))
        for row, crop in placed
    ]


def _gaps(connection: Connection, shard: int, end: int) -> Iterator[tuple[int, int]]:
    items = select(CorpusItem.offset, CorpusItem.length).where(CorpusItem.shard_id == shard).order_by(CorpusItem.offset)
    place = 0
    for offset, length in connection.execute(items):
        if offset > place:
            yield place, offset
        place = offset + length
    if place < end:
        yield place, end


def _collected_tracklet(connection: Connection, tracklet: int) -> int:
    """The corpus's row of a run's tracklet; made where it is new."""
    known: int | None = connection.scalar(select(CorpusTracklet.id).where(CorpusTracklet.tracklet_id == tracklet))
    if known is not None:
        return known
    seen = connection.execute(
        select(Tracklet.camera_id, Tracklet.run_id, Tracklet.number, Tracklet.first_us, Tracklet.last_us).where(
            Tracklet.id == tracklet
        )
    ).one()
    key = f"run {seen.run_id} camera {seen.camera_id}"
    origin = connection.scalar(select(CorpusOrigin.id).where(CorpusOrigin.key == key))
    if origin is None:
        values = {"camera_id": seen.camera_id, "key": key, "start_us": seen.first_us, "frames": 0, "finished": False}
        origin = connection.scalars(insert(CorpusOrigin).values(values).returning(CorpusOrigin.id)).one()
    row = {"origin_id": origin, "tracklet_id": tracklet, "number": seen.number}
    times = {"first_us": seen.first_us, "last_us": seen.last_us}
    return connection.scalars(insert(CorpusTracklet).values(row | times).returning(CorpusTracklet.id)).one()


def _imported_tracklet(connection: Connection, origin: int, tracklet: ImportedTracklet, *, make: bool) -> int:
    """The row of an imported tracklet, which now lasts as long as is known; made where it is new, if wanted."""
    place = (CorpusTracklet.origin_id == origin) & (CorpusTracklet.number == tracklet.number)
    longer = update(CorpusTracklet).where(place).values(last_us=tracklet.last_us).returning(CorpusTracklet.id)
    row: int | None = connection.scalar(longer)
    if row is None and make:
        values = {"origin_id": origin, "tracklet_id": None, "number": tracklet.number}
        times = {"first_us": tracklet.first_us, "last_us": tracklet.last_us}
        row = connection.scalars(insert(CorpusTracklet).values(values | times).returning(CorpusTracklet.id)).one()
    return row or 0


def _new_shard(connection: Connection, day: int) -> _Tail:
    made = insert(CorpusShard).values(day=day, bytes=0, gaps=False).returning(CorpusShard.id)
    return _Tail(ShardName(connection.scalars(made).one(), day), 0)


def _item(tracklet: int, crop: CorpusCrop, shard: int, offset: int) -> dict[str, int | float | None]:
    return {
        "tracklet_id": tracklet,
        "time_us": crop.time_us,
        "shard_id": shard,
        "offset": offset,
        "length": len(crop.jpeg),
        "width": crop.width,
        "height": crop.height,
        "quality": crop.quality,
        "digest": crop.digest,
    }


def _known_digests(connection: Connection, digests: Iterable[int | None]) -> set[int]:
    """Those of pictures that are stored, or were erased."""
    asked = sorted({each for each in digests if each is not None})
    found: set[int] = set()
    for some in _in_parts(asked):
        stored = connection.scalars(select(CorpusItem.digest).where(CorpusItem.digest.in_(some)))
        found.update(each for each in stored if each is not None)
        found.update(connection.scalars(select(ErasedContent.digest).where(ErasedContent.digest.in_(some))))
    return found


def _mark(connection: Connection, shards: Iterable[int]) -> None:
    for shard in shards:
        connection.execute(update(CorpusShard).where(CorpusShard.id == shard).values(gaps=True))


def _in_parts(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
