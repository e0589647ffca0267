"""The files of the corpus: JPEGs one after the other, ``corpus/<day>/<shard>.jpegs`` under the data folder.

The database says how long a shard is: what lies beyond was written by a transaction that failed, and the next writer
writes over it. Writers call this inside a writing transaction of the database, so that there is one at a time.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

_FOLDER: Final = "corpus"
_EPOCH: Final = date(1970, 1, 1)
_OPEN_FILES: Final = 32
_ZEROS: Final = bytes(1 << 20)


@dataclass(frozen=True, slots=True)
class ShardName:
    """A file: its row, which is never given again, and its day as days since 1970."""

    id: int
    day: int


class ShardFiles:
    """Writes, reads and removes the shards of one site."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / _FOLDER

    def path(self, name: ShardName) -> Path:
        """Where a shard lies."""
        return self._folder / (_EPOCH + timedelta(days=name.day)).isoformat() / f"{name.id}.jpegs"

    def length(self, name: ShardName) -> int:
        """How many bytes a shard has; 0 where it is missing."""
        try:
            return self.path(name).stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, name: ShardName, start: int, parts: Sequence[bytes]) -> None:
        """Writes parts from a byte on and cuts off what was there; they have left this process afterwards.

        They are not forced to the disk: a killed process loses none, a power cut may lose the last seconds.

        Raises:
            OSError: The disk is full or the folder cannot be written.
        """
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
            file.truncate(start)
            file.seek(start)
            file.write(b"".join(parts))

    def overwrite(self, name: ShardName, ranges: Iterable[tuple[int, int]]) -> None:
        """Writes zeros over ranges (start, end) of bytes and forces them to the disk."""
        try:
            file = self.path(name).open("r+b")
        except FileNotFoundError:
            return
        with file:
            for start, end in ranges:
                file.seek(start)
                for place in range(start, end, len(_ZEROS)):
                    file.write(_ZEROS[: end - place])
            file.flush()
            os.fsync(file.fileno())

    def delete(self, name: ShardName) -> None:
        """Removes a shard, and the folder of its day if that was the last one."""
        path = self.path(name)
        path.unlink(missing_ok=True)
        _remove_if_empty(path.parent)

    def keep(self, lengths: Mapping[ShardName, int]) -> None:
        """Removes the files of shards that are not named, and cuts the others to their lengths."""
        kept = {self.path(name): length for name, length in lengths.items()}
        for path in self._folder.glob("*/*.jpegs"):
            if path not in kept:
                path.unlink(missing_ok=True)
                _remove_if_empty(path.parent)
            elif path.stat().st_size > kept[path]:
                os.truncate(path, kept[path])


class ShardReader:
    """Reads parts of shards and keeps the last files open; use it as a context manager."""

    def __init__(self, files: ShardFiles) -> None:
        self._files = files
        self._open: OrderedDict[ShardName, int | None] = OrderedDict()

    def read(self, name: ShardName, offset: int, length: int) -> bytes:
        """The bytes of a part; fewer, or none, where the file ends before or is gone."""
        descriptor = self._descriptor(name)
        return b"" if descriptor is None else os.pread(descriptor, length, offset)

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._close_oldest()

    def _descriptor(self, name: ShardName) -> int | None:
        if name not in self._open:
            if len(self._open) >= _OPEN_FILES:
                self._close_oldest()
            try:
                self._open[name] = os.open(self._files.path(name), os.O_RDONLY)
            except FileNotFoundError:
                self._open[name] = None
        self._open.move_to_end(name)
        return self._open[name]

    def _close_oldest(self) -> None:
        _, descriptor = self._open.popitem(last=False)
        if descriptor is not None:
            os.close(descriptor)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # another shard of that day is in it, or it is gone
        return
