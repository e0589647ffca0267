"""The corpus of a site: crops of people nobody has named, by tracklet, which the site's encoder learns from.

Crops lie in a few large files (`corpus_shards`), where and what they are in the database. A run adds to it through
`writer`, in the same transaction as its tracklets; everything else goes through `CorpusStore`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Final

from sqlalchemy import ColumnElement, select, update
from sqlalchemy import func as sql
from sqlalchemy.orm import Session

from reid_pipeline.storage.corpus_queries import DAY_US, disk_bytes, read_items, read_stats, read_tracklets
from reid_pipeline.storage.corpus_records import (
    Added,
    CorpusFilter,
    CorpusItem,
    CorpusOrigin,
    CorpusStats,
    CorpusTracklet,
    ImportedTracklet,
)
from reid_pipeline.storage.corpus_shards import ShardFiles, ShardName, ShardReader
from reid_pipeline.storage.corpus_writing import (
    SHARD_BYTES,
    CorpusAppender,
    item_place,
    remove_from_shard,
    remove_tracklets,
    wipe_shard,
)
from reid_pipeline.storage.database import Database
from reid_pipeline.storage.errors import KeyShredded
from reid_pipeline.storage.row_ids import find_or_add_camera
from reid_pipeline.storage.schema import Camera
from reid_pipeline.storage.schema_learning import CorpusOrigin as OriginRow
from reid_pipeline.storage.schema_learning import CorpusShard
from reid_pipeline.storage.schema_learning import CorpusTracklet as TrackletRow

EVERYTHING: Final = CorpusFilter()
_JPEG: Final = b"\xff\xd8"  # how each begins
_IDS_AT_ONCE: Final = 500


def digest_of(content: bytes) -> int:
    """A 64-bit number that tells one content from another, for `CorpusCrop.digest`."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big", signed=True)


class CorpusStore:
    """Adds, reads and removes crops; each method is one or a few short transactions.

    Any number of processes may read and add at a time. A crop that is removed while another process reads is left out
    there.
    """

    def __init__(self, database: Database, shard_bytes: int = SHARD_BYTES) -> None:
        """Opens nothing yet.

        Args:
            database: Of the site.
            shard_bytes: Size from which a file gets no more crops.
        """
        self._database = database
        self._files = ShardFiles(database.data_dir)
        self._appender = CorpusAppender(self._files, database.vault, shard_bytes)

    # In

    def find_origin(self, key: str) -> CorpusOrigin | None:
        """The origin of a key; None where it is new."""
        with self._database.session_scope() as session:
            return _find_origin(session, key)

    def open_origin(self, camera: str, key: str, start_us: int) -> CorpusOrigin:
        """The origin of a key, as it stands; made where it is new.

        Args:
            camera: Name of its camera, made where it is new; a known origin keeps its own.
            key: What tells the content from others. Not who is on it: it is stored.
            start_us: When it begins; a known origin keeps its own.
        """
        with self._database.session_scope(write=True) as session:
            if (known := _find_origin(session, key)) is not None:
                return known
            row = find_or_add_camera(session, camera)
            origin = OriginRow(camera_id=row, key=key, start_us=start_us, frames=0, finished=False)
            session.add(origin)
            session.flush()
            return CorpusOrigin(origin.id, camera, start_us, 0, finished=False, next_number=1)

    def add(
        self, origin: int, tracklets: Sequence[ImportedTracklet], *, frames: int | None = None, finished: bool = False
    ) -> Added:
        """Adds tracklets to an origin, or crops to its tracklets, all or nothing.

        Args:
            origin: Its id.
            tracklets: What to add; crops whose digest is stored are left out.
            frames: How far the origin is in with them; as before where it is left out.
            finished: Whether it is in to its end.
        """
        with self._database.session_scope(write=True) as session:
            added = self._appender.add(session.connection(), origin, tracklets)
            progress: dict[str, int | bool] = {"finished": finished} | ({} if frames is None else {"frames": frames})
            session.execute(update(OriginRow).where(OriginRow.id == origin).values(progress))
        return added

    # What there is

    def tracklets(self, wanted: CorpusFilter = EVERYTHING) -> Iterator[CorpusTracklet]:
        """Tracklets in order of their beginnings, one at a time."""
        with self._database.session_scope() as session:
            yield from read_tracklets(session, wanted)

    def items(self, wanted: CorpusFilter = EVERYTHING) -> Iterator[CorpusItem]:
        """The crops of the tracklets, all of one together in order of time; tracklets in the order of `tracklets`."""
        with self._database.session_scope() as session:
            yield from read_items(session, wanted)

    def read(self, items: Iterable[CorpusItem]) -> Iterator[tuple[CorpusItem, bytes]]:
        """The JPEG of each crop, in the order given; those that were removed since are left out.

        Raises:
            SealBroken: One was changed, or put in the place of another one.
        """
        with ShardReader(self._files) as reader:
            for item in items:
                stored = reader.read(ShardName(item.shard, item.day), item.offset, item.length)
                jpeg = self._open(item, stored) if len(stored) == item.length else b""
                if jpeg.startswith(_JPEG):
                    yield item, jpeg

    def stats(self, wanted: CorpusFilter = EVERYTHING) -> CorpusStats:
        """Counts and sizes of the tracklets' crops."""
        with self._database.session_scope() as session:
            return read_stats(session, wanted)

    # Out

    def recover(self) -> None:
        """Overwrites crops whose rows are gone, and removes what a process that died has left."""
        self._wipe()
        with self._database.session_scope(write=True) as session:
            rows = session.execute(select(CorpusShard.id, CorpusShard.day, CorpusShard.bytes))
            self._files.keep({ShardName(row.id, row.day): row.bytes for row in rows})

    def remove(self, tracklets: Sequence[int]) -> int:
        """Removes tracklets by their ids, their crops with all their bytes; returns how many crops."""
        removed = 0
        for start in range(0, len(tracklets), _IDS_AT_ONCE):
            some = tracklets[start : start + _IDS_AT_ONCE]
            with self._database.session_scope(write=True) as session:
                removed += remove_tracklets(session.connection(), TrackletRow.id.in_(some))
        self._wipe()
        return removed

    def expire(self, before_us: int, most_shards: int | None = None) -> int:
        """Removes crops that were taken before a time; returns how many.

        Args:
            before_us: The time.
            most_shards: How many files to go through at most, oldest first.
        """
        removed = 0
        for name in self._shards(CorpusShard.day <= (before_us - 1) // DAY_US, most_shards):
            removed += self._remove_from(name, before_us)
        return removed

    def shrink(self, max_bytes: int, most_shards: int | None = None) -> int:
        """Removes the oldest files until the corpus has no more bytes; returns how many crops went.

        Args:
            max_bytes: Of all files.
            most_shards: How many files to remove at most.
        """
        removed = 0
        for name in self._shards(None, most_shards):
            with self._database.session_scope() as session:
                if disk_bytes(session) <= max_bytes:
                    break
            removed += self._remove_from(name, None)
        return removed

    def _open(self, item: CorpusItem, stored: bytes) -> bytes:
        try:
            return self._database.vault.open(*item_place(item.camera, item.tracklet, item.time_us), stored)
        except KeyShredded:  # it was removed since
            return b""

    def _remove_from(self, name: ShardName, before_us: int | None) -> int:
        with self._database.session_scope(write=True) as session:
            removed = remove_from_shard(session.connection(), name.id, before_us)
        if removed:
            self._wipe()
        return removed

    def _shards(self, which: ColumnElement[bool] | None, most: int | None) -> list[ShardName]:
        query = select(CorpusShard.id, CorpusShard.day).order_by(CorpusShard.day, CorpusShard.id).limit(most)
        with self._database.session_scope() as session:
            rows = session.execute(query if which is None else query.where(which))
            return [ShardName(row.id, row.day) for row in rows]

    def _wipe(self) -> None:
        for name in self._shards(CorpusShard.gaps.is_(True), None):
            with self._database.session_scope(write=True) as session:
                empty = wipe_shard(session.connection(), self._files, name)
            if empty:
                self._files.delete(name)


def _find_origin(session: Session, key: str) -> CorpusOrigin | None:
    query = (
        select(OriginRow.id, Camera.name, OriginRow.start_us, OriginRow.frames, OriginRow.finished)
        .join(Camera, Camera.id == OriginRow.camera_id)
        .where(OriginRow.key == key)
    )
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    last = session.scalar(select(sql.max(TrackletRow.number)).where(TrackletRow.origin_id == row.id))
    return CorpusOrigin(*row, next_number=(last or 0) + 1)
