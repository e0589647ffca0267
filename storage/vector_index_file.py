"""The files of a vector index: written so that a killed process leaves the old ones or the new ones, never a mixture.

Each save writes what is new under names of its own, then replaces the manifest, which names all that belongs together
and what it has to be like. Whatever it does not name is no part of the index and is removed. Of a segment, rows and
codes are mapped; only what says which row is which is checked when it is opened, because a wrong code can do no more
than to hide an embedding.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from reid_pipeline.storage.errors import IndexUnusable
from reid_pipeline.storage.vector_codes import fine_width
from reid_pipeline.storage.vector_index import Entries
from reid_pipeline.storage.vector_index_ivf import SegmentedIndex
from reid_pipeline.storage.vector_quick import read_quick
from reid_pipeline.storage.vector_segment import Segment, SegmentArrays

VERSION: Final = 1
MANIFEST: Final = "manifest.json"
LOCK: Final = "lock"
_ALIGNED: Final = 64
_TRIES: Final = 3  # another process may replace the files between two reads
_CHECKED: Final = 4  # arrays of a segment: all but the codes

Layout = Sequence[tuple[tuple[int, ...], DTypeLike]]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file's name, and the checksum (CRC-32) of what is checked of it."""

    name: str
    checksum: int


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment by its files, and what they hold; without quick codes or without embeddings left out, None."""

    rows: StoredFile
    quick: StoredFile | None
    gone: StoredFile | None
    count: int
    cameras: int
    left: int
    scale: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """What belongs together: `serial` counts saves, `newest` is the open part, of `newest_count` embeddings."""

    version: int
    serial: int
    model_hash: str
    dim: int
    segments: tuple[StoredSegment, ...]
    newest: StoredFile | None
    newest_count: int

    def names(self) -> set[str]:
        """All files that it names."""
        files = [self.newest, *(file for each in self.segments for file in (each.rows, each.quick, each.gone))]
        return {file.name for file in files if file is not None}


class IndexFiles:
    """The folder of one index.

    Several processes may have it open. Who saves first wins; the others go on with what they have in memory.

    Args:
        folder: Where the files are; it is made when something is saved.
        model_hash: Of whose vectors.
    """

    def __init__(self, folder: Path, model_hash: str) -> None:
        self._folder, self._model_hash = folder, model_hash
        self._serial = 0  # of the save that this one knows
        self._known: dict[str, StoredSegment] = {}

    def load(self) -> SegmentedIndex:
        """Opens what was saved last.

        Raises:
            IndexUnusable: It is missing, torn, of another version or of another model.
        """
        for _ in range(_TRIES):
            manifest = self._read_manifest()
            try:
                return self._open(manifest)
            except (OSError, ValueError, RuntimeError) as error:
                reason = error
            if self._read_manifest() == manifest:
                break
        raise IndexUnusable(f"{self._folder}: {reason}") from reason

    def save(self, index: SegmentedIndex) -> bool:
        """Replaces what is stored; False where another process has done so since this one read it.

        Not while another thread changes the index.

        Raises:
            OSError: The disk is full or the folder cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._lock():
            if self._serial_on_disk() != self._serial:
                return False
            serial = self._serial + 1
            segments = self._write_segments(index, serial)
            newest = self._write_newest(index, serial)
            manifest = Manifest(VERSION, serial, self._model_hash, index.dim, segments, newest, len(index.newest))
            self._replace_manifest(manifest)
            self._serial = serial
            self._known = {each.rows.name: each for each in segments}
            self._remove_others(manifest)
            return True

    def _write_segments(self, index: SegmentedIndex, serial: int) -> tuple[StoredSegment, ...]:
        return tuple(self._write_segment(each, f"{serial}-{place}") for place, each in enumerate(index.segments))

    def _write_segment(self, segment: Segment, stem: str) -> StoredSegment:
        known = None if segment.name is None else self._known.get(segment.name)
        if known is not None and not segment.purged:
            return self._write_gone(known, segment, stem)
        arrays = _arrays(segment.arrays)
        if known is None:
            rows = self._write(f"{stem}.rows", arrays, checked=_CHECKED)
            layout = _layout(segment.rows, len(segment.arrays.cameras), segment.arrays.coarse.shape[1])
            segment.arrays = SegmentArrays(*self._map(rows, layout, _CHECKED))  # a purge has to reach the file
        else:
            segment.flush()
            rows = StoredFile(known.rows.name, _checksum(arrays[:_CHECKED]))
        quick = None
        if segment.quick is not None:
            segment.quick.write(self._folder / f"{stem}.quick")
            quick = self._finish(f"{stem}.quick")
        segment.name, segment.purged = rows.name, False
        fresh = StoredSegment(rows, quick, None, segment.rows, len(segment.arrays.cameras), segment.rows, segment.scale)
        return self._write_gone(fresh, segment, stem)

    def _write_gone(self, stored: StoredSegment, segment: Segment, stem: str) -> StoredSegment:
        if len(segment) == stored.left:
            return stored
        gone = self._write(f"{stem}.gone", [segment.gone])
        return StoredSegment(stored.rows, stored.quick, gone, stored.count, stored.cameras, len(segment), stored.scale)

    def _write_newest(self, index: SegmentedIndex, serial: int) -> StoredFile | None:
        newest = index.newest
        arrays: list[NDArray[Any]] = [newest.ids, newest.cameras, newest.times_us, newest.vectors]
        return self._write(f"{serial}.newest", arrays) if len(newest) else None

    def _replace_manifest(self, manifest: Manifest) -> None:
        content = json.dumps(asdict(manifest))
        beside = self._folder / f"{MANIFEST}.part"
        beside.write_text(json.dumps({"checksum": zlib.crc32(content.encode()), "content": content}))
        _force(beside)
        beside.replace(self._folder / MANIFEST)
        _force(self._folder)

    def _remove_others(self, manifest: Manifest) -> None:
        kept = manifest.names() | {MANIFEST, LOCK}
        for path in self._folder.iterdir():
            if path.name not in kept:
                if path.suffix != ".rows":  # which another process may have mapped; what was purged is zeros in it
                    _overwrite(path)
                path.unlink(missing_ok=True)
        _force(self._folder)

    def _read_manifest(self) -> Manifest:
        try:
            outer = json.loads((self._folder / MANIFEST).read_bytes())
            if zlib.crc32(outer["content"].encode()) != outer["checksum"]:
                raise ValueError("its checksum is wrong")
            fields = json.loads(outer["content"])
            self._serial = int(fields["serial"])  # of another version or model too: its names are taken
            version, model_hash = fields["version"], str(fields["model_hash"])
            if (version, model_hash) == (VERSION, self._model_hash):
                return _parse(fields)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise IndexUnusable(f"{self._folder / MANIFEST}: {error}") from error
        raise IndexUnusable(f"{self._folder}: of version {version}, of model {model_hash[:12]}")

    def _serial_on_disk(self) -> int:
        known = self._serial
        try:
            return self._read_manifest().serial
        except IndexUnusable:  # whatever stands there is of no use to anybody
            return known
        finally:
            self._serial = known

    def _open(self, manifest: Manifest) -> SegmentedIndex:
        segments = [self._open_segment(each, manifest.dim) for each in manifest.segments]
        newest = None
        if manifest.newest is not None:
            count, dim = manifest.newest_count, manifest.dim
            layout: Layout = [((count,), np.int64), ((count,), np.int32), ((count,), np.int64), ((count, dim), "f4")]
            newest = Entries(*(each.copy() for each in self._read(manifest.newest, layout)))
        self._known = {each.rows.name: each for each in manifest.segments}
        return SegmentedIndex(manifest.dim, segments, newest)

    def _open_segment(self, stored: StoredSegment, dim: int) -> Segment:
        arrays = self._map(stored.rows, _layout(stored.count, stored.cameras, dim), _CHECKED)
        gone = None
        if stored.gone is not None:
            [gone] = self._read(stored.gone, [((stored.count,), np.bool_)])
        quick = None
        if stored.quick is not None:
            path = self._folder / stored.quick.name
            if zlib.crc32(path.read_bytes()) != stored.quick.checksum:
                raise ValueError(f"{stored.quick.name}: its checksum is wrong")
            quick = read_quick(path)
        gone = None if gone is None else gone.copy()
        return Segment(SegmentArrays(*arrays), stored.scale, quick, gone, stored.rows.name)

    def _read(self, file: StoredFile, layout: Layout) -> list[NDArray[Any]]:
        return self._map(file, layout, len(layout))

    def _map(self, file: StoredFile, layout: Layout, checked: int) -> list[NDArray[Any]]:
        path = self._folder / file.name
        sizes = [int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in layout]
        starts = np.cumsum([0, *(size + -size % _ALIGNED for size in sizes)]).tolist()
        if path.stat().st_size != starts[-1]:
            raise ValueError(f"{file.name}: expected {starts[-1]} bytes")
        mode: Literal["r", "r+"] = "r+" if os.access(path, os.W_OK) else "r"  # a purge writes into it
        content = np.memmap(path, np.uint8, mode).view(np.ndarray)  # whose slices are made more quickly
        arrays = [
            content[start : start + size].view(kind).reshape(shape)
            for start, size, (shape, kind) in zip(starts[:-1], sizes, layout, strict=True)
        ]
        if _checksum(arrays[:checked]) != file.checksum:
            raise ValueError(f"{file.name}: its checksum is wrong")
        return arrays

    def _write(self, name: str, arrays: Sequence[NDArray[Any]], checked: int | None = None) -> StoredFile:
        with (self._folder / name).open("wb") as file:
            for array in arrays:
                file.write(array.data)
                file.write(bytes(-array.nbytes % _ALIGNED))
            file.flush()
            os.fsync(file.fileno())
        return StoredFile(name, _checksum(arrays[:checked]))

    def _finish(self, name: str) -> StoredFile:
        path = self._folder / name
        _force(path)
        return StoredFile(name, zlib.crc32(path.read_bytes()))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self._folder / LOCK).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _arrays(arrays: SegmentArrays) -> list[NDArray[Any]]:
    return [np.ascontiguousarray(getattr(arrays, name)) for name in SegmentArrays.__slots__]


def _layout(rows: int, cameras: int, dim: int) -> Layout:
    """Shapes and types of `SegmentArrays`."""
    return [
        ((rows,), np.int64),
        ((rows,), np.int64),
        ((cameras + 1,), np.int64),
        ((cameras,), np.int32),
        ((rows, dim), np.uint8),
        ((rows, fine_width(dim)), np.uint8),
    ]


def _parse(fields: dict[str, object]) -> Manifest:
    segments = fields.pop("segments")
    newest = fields.pop("newest")
    if not isinstance(segments, list):
        raise TypeError("segments: expected a list")
    return Manifest(
        segments=tuple(_parse_segment(each) for each in segments),
        newest=None if newest is None else StoredFile(**newest),  # type: ignore[arg-type]  # checked by its sum
        **fields,  # type: ignore[arg-type]
    )


def _parse_segment(fields: dict[str, object]) -> StoredSegment:
    files = {
        name: None if fields[name] is None else StoredFile(**fields[name])  # type: ignore[arg-type]
        for name in ("rows", "quick", "gone")
    }
    return StoredSegment(**{**fields, **files})  # type: ignore[arg-type]


def _checksum(arrays: Sequence[NDArray[Any]]) -> int:
    total = 0
    for array in arrays:
        total = zlib.crc32(array.data, total)
    return total


def _overwrite(path: Path) -> None:
    """Writes zeros over a file that held vectors."""
    with path.open("r+b") as file:
        left = path.stat().st_size
        while left > 0:
            left -= file.write(bytes(min(left, 1 << 20)))
        file.flush()
        os.fsync(file.fileno())


def _force(path: Path) -> None:
    """Forces a file or the entries of a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
