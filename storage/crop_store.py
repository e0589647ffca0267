"""The best views of tracklets as JPEG files; of an encrypted site they are sealed (`encryption`).

A crop lies at ``crops/<camera>/<day>/<number>_<frame>.jpg`` under the data folder; the day is that of its capture time
in UTC. Paths are kept relative, so that a site can be moved.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from reid_pipeline.storage.encryption import Kind, Place, Sealer, Vault
from reid_pipeline.storage.errors import CropError, KeyShredded

_FOLDER = "crops"
# What may be one part of a path: no separator, no leading dot, so neither ".." nor a hidden file.
_CAMERA = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
_PATH = re.compile(rf"{_FOLDER}/{_CAMERA.pattern}/\d{{4}}-\d\d-\d\d/\d+_\d+\.jpg")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CropStore:
    """Reads and writes the crops of one site.

    Args:
        data_dir: The folder of the site.
        vault: Opens the crops of an encrypted site; None: nothing but removing, or none of them is encrypted.
    """

    def __init__(self, data_dir: Path, vault: Vault | None = None) -> None:
        self._data_dir = data_dir
        self._vault = vault

    def write(
        self, camera: str, time_us: int, number: int, frame: int, jpeg: bytes, sealer: Sealer | None = None
    ) -> str:
        """Stores a crop: afterwards the whole file is there under its name, or nothing is.

        It is not forced to the disk, which would take longer than the encoder: after a power cut (not after a kill)
        a file of the last seconds may be empty.

        Args:
            camera: Name of the camera.
            time_us: Capture time.
            number: Number of the tracklet.
            frame: Number of the frame.
            jpeg: Bytes of the file.
            sealer: Seals them; None: they are stored as they are.

        Returns:
            The path, relative to the data folder, with ``/``.

        Raises:
            CropError: The camera's name cannot be a folder's.
            OSError: The disk is full or the folder cannot be written.
        """
        if not _CAMERA.fullmatch(camera):
            raise CropError(
                f"camera {camera!r}: expected letters, digits, '_', '-' and '.', at most 100, no leading '.'"
            )
        day = (_EPOCH + timedelta(microseconds=time_us)).date().isoformat()
        relative = f"{_FOLDER}/{camera}/{day}/{int(number)}_{int(frame)}.jpg"
        content = jpeg if sealer is None else sealer.seal(_place(relative), relative, jpeg)
        path = self._data_dir / relative
        try:
            _write_whole(path, content)
        except FileNotFoundError:  # the first of its day
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(path, content)
        return relative

    def read(self, path: str) -> bytes:
        """The JPEG bytes of a crop.

        Raises:
            CropError: The path is not one that `write` returns, or the file is gone.
            SealBroken: It was changed, or put in the place of another one.
        """
        try:
            content = self._resolve(path).read_bytes()
            return content if self._vault is None else self._vault.open(_place(path), path, content)
        except (FileNotFoundError, KeyShredded) as error:
            raise CropError(f"{path}: the crop is gone; it was removed or replaced") from error

    def delete(self, paths: Iterable[str]) -> None:
        """Removes crops; those that are gone already are no error.

        Raises:
            CropError: A path is not one that `write` returns.
        """
        for path in paths:
            self._resolve(path).unlink(missing_ok=True)

    def delete_except(self, keep: Collection[str]) -> int:
        """Removes every file of the crop folder that is not named, also half-written ones; returns how many."""
        removed = 0
        for path in (self._data_dir / _FOLDER).glob("*/*/*"):
            if path.relative_to(self._data_dir).as_posix() not in keep:
                path.unlink()
                removed += 1
        return removed

    def _resolve(self, path: str) -> Path:
        if not _PATH.fullmatch(path):
            raise CropError(f"{path!r}: expected {_FOLDER}/<camera>/<day>/<number>_<frame>.jpg")
        return self._data_dir / path


def _write_whole(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")  # one thread writes, so the name is free
    part.write_bytes(content)
    part.replace(path)


def _place(path: str) -> Place:
    _, camera, day, _ = path.split("/")
    return Place(Kind.CROPS, camera, (date.fromisoformat(day) - _EPOCH.date()).days)


def camera_of(path: str) -> str:
    """Whose picture a crop is.

    Raises:
        CropError: The path is not one that `CropStore.write` returns.

    Example:
        >>> camera_of("crops/hall/2026-11-20/7_120.jpg")
        'hall'
    """
    if not _PATH.fullmatch(path):
        raise CropError(f"{path!r}: expected {_FOLDER}/<camera>/<day>/<number>_<frame>.jpg")
    return path.split("/")[1]
