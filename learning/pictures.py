"""Pictures to learn detection from: labelled folders, frames of videos and of the virtual site; and mosaics of them.

Boxes are ``(N, 4) float32`` x1 y1 x2 y2 in pixels of the picture they stand beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np

from reid_pipeline.learning.virtual_views import ViewPlan, render_views
from reid_pipeline.pipeline.datatypes import Boxes, Image
from reid_pipeline.storage.errors import InputError

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png")
GREY: Final = 114
PERSON_CLASS: Final = 0
_SMALLEST_SIDE: Final = 4.0  # pixels of a box that can still be learnt
_VISIBLE: Final = 0.25  # part of a virtual person that must be in sight


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and the people in it; ``boxes`` is None where nobody labelled it.

    ``exact`` says that the boxes are of everybody, whole people to the pixel, as they are where pictures are rendered.
    """

    image: Image
    boxes: Boxes | None
    exact: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What is known of a part of a training picture.

    Attributes:
        tile: The part: left, top, right, bottom in pixels.
        boxes: ``(N, 4)``, the people in it.
        exact: As in `Picture`.
    """

    tile: tuple[int, int, int, int]
    boxes: Boxes
    exact: bool


def read_labelled(images: Path, labels: Path, longest: int) -> list[Picture]:
    """Reads a folder of pictures with YOLO text labels (class 0: person); no text file means nobody.

    Args:
        images: Folder of pictures.
        labels: Folder of `<picture>.txt`, lines ``0 x y width height`` as parts of the picture, from its centre.
        longest: Longer pictures are reduced to it, in pixels.

    Raises:
        InputError: One of the folders is missing or has no pictures, or a picture or a label cannot be read.
    """
    if not labels.is_dir():
        raise InputError(f"{labels}: no such folder; expected the labels of {images}")
    files = list_images(images)
    return [_read_labelled(file, labels / f"{file.stem}.txt", longest) for file in files]


def list_images(folder: Path) -> list[Path]:
    """The pictures in a folder by name.

    Raises:
        InputError: There are none.
    """
    files = folder.iterdir() if folder.is_dir() else ()
    found = sorted(file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise InputError(f"{folder}: expected a folder of .jpg or .png pictures")
    return found


def read_image(file: Path) -> Image:
    """Reads one picture.

    Raises:
        InputError: It is none.
    """
    image = cv2.imread(str(file))
    if image is None:
        raise InputError(f"{file}: not a readable picture")
    return np.asarray(image, np.uint8)


def _read_labelled(file: Path, label: Path, longest: int) -> Picture:
    image = _reduced(read_image(file), longest)
    height, width = image.shape[:2]
    rows = _read_rows(label)
    corners = np.concatenate([rows[:, :2] - rows[:, 2:] / 2, rows[:, :2] + rows[:, 2:] / 2], axis=1)
    return Picture(image, (corners * [width, height, width, height]).astype(np.float32))


def _read_rows(label: Path) -> Boxes:
    """The persons of a label file, ``(N, 4)`` x, y, width and height as parts of the picture."""
    lines = label.read_text().splitlines() if label.is_file() else []
    if not any(line.strip() for line in lines):
        return np.empty((0, 4), np.float32)
    try:
        rows = np.loadtxt(lines, ndmin=2, dtype=np.float32)
    except ValueError as error:
        raise InputError(f"{label}: {error}; expected lines: class x y width height") from error
    if rows.shape[1] < 5:
        raise InputError(f"{label}: {rows.shape[1]} numbers a line; expected class x y width height")
    persons: Boxes = rows[rows[:, 0] == PERSON_CLASS][:, 1:5]
    return persons


def read_video(path: Path, count: int, longest: int) -> list[Picture]:
    """Reads ``count`` frames spread evenly over a video, unlabelled.

    Raises:
        InputError: There is no such video, or it cannot be read as one.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such video")
    try:
        found = _decode(path, count, longest)
    except (av.FFmpegError, IndexError) as error:  # PyAV's word for no video stream
        raise InputError(f"{path}: not a readable video: {error}") from error
    if not found:
        raise InputError(f"{path}: no picture in it")
    return found


def _decode(path: Path, count: int, longest: int) -> list[Picture]:
    with av.open(str(path)) as container:
        total = sum(packet.size > 0 for packet in container.demux(video=0))
    wanted = set(((np.arange(count) + 0.5) * total / count).astype(int).tolist())
    found = []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                found.append(Picture(_reduced(image, longest), None))
    return found


def render_pictures(plan: ViewPlan, longest: int) -> list[Picture]:
    """Pictures of virtual sites with the boxes of everybody who is well in sight."""
    found = []
    for view in render_views(plan):
        scale = min(1.0, longest / max(view.image.shape[:2]))
        seen = view.boxes[view.visibility >= _VISIBLE]
        found.append(Picture(_reduced(view.image, longest), (seen * scale).astype(np.float32), exact=True))
    return found


def _reduced(image: Image, longest: int) -> Image:
    scale = longest / max(image.shape[:2])
    if scale >= 1.0:
        return image
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


class MosaicMaker:
    """Makes training pictures: one picture, or four in a mosaic, at random scale, place, mirror image and light.

    Args:
        pool: Groups of pictures.
        weights: How often each group is drawn from.
        size: Side of the square pictures that are made, in pixels.

    Source: mosaics of four after Bochkovskiy et al., "YOLOv4", 2020.
    """

    def __init__(self, pool: Sequence[Sequence[Picture]], weights: Sequence[float], size: int) -> None:
        self._pool = pool
        self._weights = np.asarray(weights, float) / sum(weights)
        self._size = size

    def make(self, rng: np.random.Generator) -> tuple[Image, list[Labels]]:
        """A picture ``(size, size, 3) uint8``, and the labels of those parts of it that have any."""
        canvas = np.full((self._size, self._size, 3), GREY, np.uint8)
        if rng.random() < 0.5:
            labels = [self._paste(canvas, (0, 0, self._size, self._size), rng, (0.7, 1.5))]
        else:
            x, y = (int(self._size * rng.uniform(0.3, 0.7)) for _ in range(2))
            tiles = [(0, 0, x, y), (x, 0, self._size, y), (0, y, x, self._size), (x, y, self._size, self._size)]
            labels = [self._paste(canvas, tile, rng, (0.8, 1.6)) for tile in tiles]
        return _lit(canvas, rng), [each for each in labels if each is not None]

    def _paste(
        self, canvas: Image, tile: tuple[int, int, int, int], rng: np.random.Generator, zoom: tuple[float, float]
    ) -> Labels | None:
        """Puts a random picture into a tile of the canvas; at zoom 1 it covers the tile."""
        group = self._pool[int(rng.choice(len(self._pool), p=self._weights))]
        picture = group[int(rng.integers(len(group)))]
        left, top, right, bottom = tile
        height, width = picture.image.shape[:2]
        cover = max((right - left) / width, (bottom - top) / height)
        scale = cover * float(np.exp(rng.uniform(*np.log(zoom))))
        spare = np.array([right - left - width * scale, bottom - top - height * scale])
        shift = np.array([left, top]) + spare * rng.uniform(0, 1, 2)
        mirrored = rng.random() < 0.5
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
        if mirrored:
            matrix[0] = [-scale, 0, shift[0] + width * scale]
        _warp_into(canvas, picture.image, matrix, tile)
        return None if picture.boxes is None else Labels(tile, _moved(picture.boxes, matrix, tile), picture.exact)


def _warp_into(canvas: Image, image: Image, matrix: np.ndarray, tile: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = tile
    scale = abs(float(matrix[0, 0]))
    if scale < 0.6:  # first reduced: a warp alone would skip pixels
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = matrix @ np.diag([1 / scale, 1 / scale, 1]).astype(np.float32)
    moved = matrix - np.array([[0, 0, left], [0, 0, top]], np.float32)
    moved[:, 2] += (moved[:, :2].sum(axis=1) - 1.0) / 2  # the warp counts from the middle of the first pixel
    border = (GREY, GREY, GREY)
    canvas[top:bottom, left:right] = cv2.warpAffine(image, moved, (right - left, bottom - top), borderValue=border)


def _moved(boxes: Boxes, matrix: np.ndarray, tile: tuple[int, int, int, int]) -> Boxes:
    """Boxes after the warp, cut at the tile; those of which less than a third is left are dropped."""
    if not len(boxes):
        return boxes
    xs = np.sort(boxes[:, [0, 2]] * matrix[0, 0] + matrix[0, 2], axis=1)
    ys = boxes[:, [1, 3]] * matrix[1, 1] + matrix[1, 2]
    whole = (xs[:, 1] - xs[:, 0]) * (ys[:, 1] - ys[:, 0])
    xs, ys = xs.clip(tile[0], tile[2]), ys.clip(tile[1], tile[3])
    width, height = xs[:, 1] - xs[:, 0], ys[:, 1] - ys[:, 0]
    kept = (width * height > whole / 3) & (width >= _SMALLEST_SIDE) & (height >= _SMALLEST_SIDE)
    moved: Boxes = np.stack([xs[:, 0], ys[:, 0], xs[:, 1], ys[:, 1]], axis=1)[kept].astype(np.float32)
    return moved


def _lit(image: Image, rng: np.random.Generator) -> Image:
    """Another light, another camera: hue, saturation, brightness; sometimes grey or blurred."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-4, 4)) % 180
    hsv[..., 1] *= rng.uniform(0.4, 1.6)
    hsv[..., 2] = hsv[..., 2] * rng.uniform(0.6, 1.4) + rng.uniform(-10, 10)
    lit = np.asarray(cv2.cvtColor(hsv.clip(0, 255).astype(np.uint8), cv2.COLOR_HSV2BGR), np.uint8)
    if rng.random() < 0.1:
        lit = np.repeat(cv2.cvtColor(lit, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.15:
        lit = np.asarray(cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.4, 1.2)), np.uint8)
    return lit
