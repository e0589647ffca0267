"""Crops of people to learn from, all of one size, in memory; and new people made by putting known ones together.

A pool is an array ``(N, H, W, 3) uint8`` BGR. Sources: folders of crops, the virtual site, videos in which people are
detected.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from reid_pipeline.learning.pictures import list_images, read_image, read_labelled, read_video
from reid_pipeline.learning.virtual_views import ViewPlan, render_views
from reid_pipeline.pipeline.datatypes import Boxes, Image
from reid_pipeline.pipeline.protocols import Detector
from reid_pipeline.storage.errors import InputError

Pool = NDArray[np.uint8]
Size = tuple[int, int]  # height, width

_WAIST: Final = (0.5, 0.05)  # height of the cut as part of the crop: mean and deviation
_SEAM: Final = 2  # pixels on each side of a cut over which the halves fade into one another
_SMALLEST: Final = 40  # pixels of height of a crop worth learning from
_VISIBLE: Final = 0.5
_UPRIGHT: Final = 1.3  # height over width


def read_crops(folder: Path, size: Size) -> Pool:
    """Reads a folder of crops; files whose name begins with ``-1`` (no person) or ``0000`` are left out.

    Raises:
        InputError: It has no crops, or one cannot be read.
    """
    files = [file for file in list_images(folder) if not file.name.startswith(("-1", "0000"))]
    return _pool([fit(read_image(file), size) for file in files], f"{folder}: no crop of a person in it")


def render_crops(plan: ViewPlan, size: Size) -> Pool:
    """Crops of everybody who is well in sight in pictures of virtual sites.

    Raises:
        InputError: Nobody is.
    """
    crops = []
    for view in render_views(plan):
        crops += cut(view.image, view.boxes[view.visibility >= _VISIBLE], size)
    return _pool(crops, f"{plan}: nobody is well in sight; expected more people or frames")


def cut_labelled(images: Path, labels: Path, size: Size) -> Pool:
    """Crops of everybody labelled in a folder of pictures who stands upright, see `pictures.read_labelled`.

    Raises:
        InputError: Nobody does, or a file cannot be read.
    """
    crops = []
    for picture in read_labelled(images, labels, longest=4096):
        crops += cut(picture.image, _standing(picture.boxes), size)
    return _pool(crops, f"{labels}: nobody upright and at least {_SMALLEST} pixels tall is labelled in it")


def _standing(boxes: Boxes | None) -> Boxes:
    """The boxes that are taller than wide: a re-ID crop shows somebody upright."""
    if boxes is None:
        return np.empty((0, 4), np.float32)
    return boxes[(boxes[:, 3] - boxes[:, 1]) > _UPRIGHT * (boxes[:, 2] - boxes[:, 0])]


def detect_crops(videos: Sequence[Path], frames: int, detector: Detector, size: Size) -> Pool:
    """Crops of everybody detected in ``frames`` frames of each video.

    Raises:
        InputError: Nobody is, or a video cannot be read.
    """
    crops = []
    for video in videos:
        for picture in read_video(video, frames, longest=1920):
            crops += cut(picture.image, _detect(detector, picture.image), size)
    return _pool(crops, f"{', '.join(str(video) for video in videos)}: nobody was detected")


def _detect(detector: Detector, image: Image) -> Boxes:
    size = image.shape[0], image.shape[1]
    return detector.submit(detector.prepare(image), size, lambda: None).result().boxes


def _pool(crops: list[Image], empty: str) -> Pool:
    if not crops:
        raise InputError(empty)
    return np.stack(crops)


def cut(image: Image, boxes: Boxes, size: Size) -> list[Image]:
    """The boxes of an image as crops of one size; tiny ones are left out."""
    height, width = image.shape[:2]
    crops = []
    for left, top, right, bottom in np.clip(boxes.round().astype(int), 0, [width, height, width, height]):
        if bottom - top >= _SMALLEST and right - left >= _SMALLEST // 4:
            crops.append(fit(image[top:bottom, left:right], size))
    return crops


def fit(image: Image, size: Size) -> Image:
    """An image stretched to a size, reduced by area so that no pixel is skipped."""
    reduces = image.shape[0] > size[0]
    how = cv2.INTER_AREA if reduces else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=how), np.uint8)


def swap_halves(pool: Pool, count: int, rng: np.random.Generator) -> Pool:
    """New people: the upper half of one with the lower half of another, cut near the waist, the seam faded.

    N crops hold N^2 such people. They look right because detected people fill their crops in the same way.
    """
    height = pool.shape[1]
    uppers, lowers = rng.integers(0, len(pool), (2, count))
    cuts = rng.normal(_WAIST[0] * height, _WAIST[1] * height, count)
    rows = np.arange(height)
    share = np.clip((cuts[:, None] - rows[None] + _SEAM) / (2 * _SEAM), 0.0, 1.0).astype(np.float32)  # of the upper
    made = np.empty((count, *pool.shape[1:]), np.uint8)
    for index, (upper, lower) in enumerate(zip(uppers, lowers, strict=True)):
        part = share[index][:, None, None]
        made[index] = (part * pool[upper] + (1.0 - part) * pool[lower] + 0.5).astype(np.uint8)
    return made


def recolour(pool: Pool, count: int, rng: np.random.Generator) -> Pool:
    """New people: known ones with all hues turned by one angle."""
    made = np.empty((count, *pool.shape[1:]), np.uint8)
    for index, which in enumerate(rng.integers(0, len(pool), count)):
        hsv = cv2.cvtColor(pool[which], cv2.COLOR_BGR2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + rng.integers(15, 166)) % 180
        made[index] = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    return made
