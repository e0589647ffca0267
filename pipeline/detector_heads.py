"""The output of a detector's graph read as persons: one pure function for each kind of head.

Every function takes the raw output for one image and returns candidates in pixels of the network's input: ``boxes
(N, 4) float32`` x1 y1 x2 y2 and ``scores (N,) float32``, still overlapping where the head does not suppress itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Boxes, Scores

Head = Literal["ultralytics", "ultralytics_nms", "yolox", "ssd"]
Raw = NDArray[np.float32]
Candidates = tuple[Boxes, Scores]

SUPPRESSED: Final[frozenset[str]] = frozenset({"ultralytics_nms", "ssd"})  # heads that leave one box a person
YOLOX_STRIDES: Final = (8, 16, 32)


def recognise_head(shape: tuple[int | None, ...], size: tuple[int, int]) -> Head | None:
    """Tells the head from the output's shape (None: any) and the input's height and width; None if it is no detector.

    Example:
        >>> recognise_head((1, 84, 8400), (640, 640))
        'ultralytics'
    """
    match shape:
        case (_, 1, _, 7):
            return "ssd"
        case (_, int(rows), int(columns)) if rows == cell_count(size) and columns > 5:
            return "yolox"
        case (_, _, 6):
            return "ultralytics_nms"
        case (_, int(rows), columns) if rows > 4 and (columns is None or columns > rows):
            return "ultralytics"
        case _:
            return None


def cell_count(size: tuple[int, int]) -> int:
    """Number of grid cells of a YOLO with strides 8, 16 and 32 at an input of this height and width."""
    return sum((size[0] // stride) * (size[1] // stride) for stride in YOLOX_STRIDES)


def read_head(head: Head, size: tuple[int, int], person_class: int, min_score: float) -> Callable[[Raw], Candidates]:
    """Builds the reader of one head for inputs of ``size`` (height, width).

    Args:
        head: Which head.
        size: Height and width of the network's input in pixels.
        person_class: Index of the class "person".
        min_score: Candidates below it are left out.
    """
    match head:
        case "ultralytics":
            return lambda raw: _read_ultralytics(raw[0], person_class, min_score)
        case "ultralytics_nms":
            return lambda raw: _read_suppressed(raw[0], person_class, min_score)
        case "yolox":
            grid = yolox_grid(size)
            return lambda raw: _read_yolox(raw[0], grid, person_class, min_score)
        case "ssd":
            return lambda raw: _read_ssd(raw[0, 0], size, person_class, min_score)


def _read_ultralytics(raw: Raw, person_class: int, min_score: float) -> Candidates:
    """``(4 + classes, N)``: centre x, centre y, width, height in input pixels, then a probability for each class.

    A cell speaks for its best class only, as in Ultralytics' own suppression.
    """
    persons = np.flatnonzero(raw[4 + person_class] >= min_score)
    cells = raw[:, persons]
    best = cells[4:].argmax(axis=0) == person_class
    cells = cells[:, best]
    return _corners(cells[:4].T), np.ascontiguousarray(cells[4 + person_class], np.float32)


def _read_suppressed(raw: Raw, person_class: int, min_score: float) -> Candidates:
    """``(N, 6)``: x1, y1, x2, y2 in input pixels, score, class."""
    persons = (raw[:, 5] == person_class) & (raw[:, 4] >= min_score)
    return np.ascontiguousarray(raw[persons, :4], np.float32), np.ascontiguousarray(raw[persons, 4], np.float32)


def yolox_grid(size: tuple[int, int]) -> Raw:
    """Column, row and stride of each cell, ``(N, 3)``."""
    parts = []
    for stride in YOLOX_STRIDES:
        rows, columns = np.meshgrid(*(np.arange(side // stride) for side in size), indexing="ij")
        parts.append(np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], axis=1))
    return np.concatenate(parts).astype(np.float32)


def _read_yolox(raw: Raw, grid: Raw, person_class: int, min_score: float) -> Candidates:
    """``(N, 5 + classes)``: offsets from the cell in cells, logarithm of the size in cells, objectness, classes.

    Source: Ge et al., "YOLOX", 2021; the official ONNX demo decodes outside the graph like this.
    """
    score = raw[:, 4] * raw[:, 5 + person_class]
    persons = np.flatnonzero(score >= min_score)
    cells, where = raw[persons], grid[persons]
    best = cells[:, 5:].argmax(axis=1) == person_class
    cells, where = cells[best], where[best]
    stride = where[:, 2:]
    centre_size = np.concatenate([(cells[:, :2] + where[:, :2]) * stride, np.exp(cells[:, 2:4]) * stride], axis=1)
    return _corners(centre_size), score[persons][best].astype(np.float32)


def _read_ssd(raw: Raw, size: tuple[int, int], person_class: int, min_score: float) -> Candidates:
    """``(N, 7)``: image (-1 ends the list), class, score, then x1, y1, x2, y2 as parts of the picture."""
    ends = np.flatnonzero(raw[:, 0] < 0)
    rows = raw[: ends[0]] if len(ends) else raw
    rows = rows[(rows[:, 1] == person_class) & (rows[:, 2] >= min_score)]
    scale = np.array([size[1], size[0], size[1], size[0]], np.float32)
    return rows[:, 3:7] * scale, np.ascontiguousarray(rows[:, 2], np.float32)


def _corners(centre_size: Raw) -> Boxes:
    half = centre_size[:, 2:] / 2
    return np.concatenate([centre_size[:, :2] - half, centre_size[:, :2] + half], axis=1).astype(np.float32)
