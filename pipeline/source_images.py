"""A folder of pictures as a camera."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from reid_pipeline.pipeline.capture_time import FileClock
from reid_pipeline.pipeline.datatypes import Frame, Image
from reid_pipeline.pipeline.errors import SourceNotFound
from reid_pipeline.pipeline.privacy import PrivacyMask
from reid_pipeline.pipeline.sampling import Wanted, every_frame
from reid_pipeline.pipeline.sources import SourceInfo, SourceSpec

# Pictures carry no rate; the usual one of cameras, where the configuration gives no ``fps``.
DEFAULT_FPS = 25.0
SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


class ImageFolderSource:
    """Yields the JPEG and PNG files of one folder in natural order: ``2.jpg`` before ``10.jpg``."""

    live = False

    def __init__(self, spec: SourceSpec, wanted: Wanted = every_frame) -> None:
        self.dropped: dict[str, int] = {}
        self._spec = spec
        self._wanted = wanted
        self._mask = PrivacyMask(spec.masks)
        self._closed = threading.Event()

    def info(self) -> SourceInfo:
        """Counts the pictures and decodes the first good one; see `InspectableSource.info`."""
        paths = self._paths()
        for path in paths:
            if (image := _read(path)) is not None:
                return SourceInfo(image.shape[1], image.shape[0], self._spec.fps or DEFAULT_FPS, len(paths), live=False)
        raise self._nothing_readable()

    def frames(self) -> Iterator[Frame]:
        """Yields the pictures; see `Source.frames`. One that cannot be read counts as ``corrupt``."""
        clock = FileClock(self._spec.start_us, Fraction(str(self._spec.fps or DEFAULT_FPS)), fixed=True)
        read_any = False
        for index, path in enumerate(self._paths(), 1):
            if self._closed.is_set():
                return
            time_us = clock.time_us(index, None)
            wanted = self._wanted(time_us)
            if index <= self._spec.skip_frames:
                read_any = True
                continue
            if not wanted:
                self._drop("sampled")
            elif (image := _read(path)) is None:
                self._drop("corrupt")
            else:
                read_any = True
                self._mask.blank(image)
                yield Frame(self._spec.camera, index, time_us, image, time.monotonic())
        if not read_any:
            raise self._nothing_readable()

    def close(self) -> None:
        """Ends `frames` after the picture it is at."""
        self._closed.set()

    def _paths(self) -> list[Path]:
        folder = Path(self._spec.path)
        try:
            paths = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
        except OSError as error:
            raise SourceNotFound(f"{self._spec.camera}: folder {folder} cannot be read: {error.strerror}") from error
        if not paths:
            raise SourceNotFound(f"{self._spec.camera}: folder {folder} holds no pictures; expected .jpg or .png files")
        return sorted(paths, key=_natural_order)

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def _nothing_readable(self) -> SourceNotFound:
        return SourceNotFound(
            f"{self._spec.camera}: no picture in folder {self._spec.path} can be read; expected .jpg or .png files"
        )


def _natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Orders digits by value and the rest by text; the name itself decides between 1.jpg and 01.jpg."""
    parts = re.findall(r"(\d+)|(\D+)", path.name.lower())
    return [(int(digits) if digits else -1, text) for digits, text in parts], path.name


def _read(path: Path) -> Image | None:
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open every name on Windows, and prints its errors
    except OSError:
        return None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    return None if image is None else image.astype(np.uint8, copy=False)
