"""Folders of pictures: what is in them, read and encoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from reid_pipeline.pipeline.datatypes import Embeddings, Image
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.head_blur import blur_head
from reid_pipeline.pipeline.protocols import Encoder

_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png"})
_AT_ONCE: Final = 64


def list_images(folder: Path, *, deep: bool = False) -> list[Path]:
    """Lists the pictures of a folder, sorted; with `deep` also those of the folders in it.

    Raises:
        InputError: There is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a folder of .jpg or .png")
    paths = folder.rglob("*") if deep else folder.iterdir()
    found = sorted(path for path in paths if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise InputError(f"{folder}: holds no image; expected .jpg or .png")
    return found


def read_image(path: Path) -> Image:
    """Reads a picture as ``(H, W, 3) uint8`` BGR.

    Raises:
        InputError: It cannot be read.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path}: cannot be read as an image; expected a whole .jpg or .png")
    return np.asarray(image, np.uint8)


def encode_images(
    paths: Sequence[Path], encoder: Encoder, report: Callable[[int], None], *, blur_heads: bool = False
) -> Embeddings:
    """Encodes N pictures to ``(N, D) float32`` of norm 1.

    Args:
        paths: The pictures.
        encoder: The encoder.
        report: Told how many are done.
        blur_heads: Whether they are crops of people whose heads are blurred first.

    Raises:
        InputError: A picture cannot be read.
    """
    embeddings = np.empty((len(paths), encoder.dim), np.float32)
    for start in range(0, len(paths), _AT_ONCE):
        batch = paths[start : start + _AT_ONCE]
        images = [read_image(path) for path in batch]
        shown = [blur_head(image) for image in images] if blur_heads else images
        embeddings[start : start + len(batch)] = encoder.encode(shown)
        report(start + len(batch))
    return embeddings
