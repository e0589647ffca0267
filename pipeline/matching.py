"""Overlaps of boxes and one-to-one assignment: pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from reid_pipeline.pipeline.datatypes import Boxes

Matrix = NDArray[np.float32]


def areas(boxes: Boxes) -> NDArray[np.float32]:
    """Areas ``(N,)`` in square pixels of ``(N, 4)`` boxes; inverted boxes have none."""
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    area: NDArray[np.float32] = sides[:, 0] * sides[:, 1]
    return area


def intersections(first: Boxes, second: Boxes) -> Matrix:
    """Shared areas ``(N, M)`` in square pixels of ``(N, 4)`` and ``(M, 4)`` boxes."""
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.clip(bottom_right - top_left, 0, None)
    shared: Matrix = sides[..., 0] * sides[..., 1]
    return shared


def iou(first: Boxes, second: Boxes) -> Matrix:
    """Intersection over union ``(N, M)`` in 0-1 of ``(N, 4)`` and ``(M, 4)`` boxes."""
    shared = intersections(first, second)
    union = areas(first)[:, None] + areas(second)[None, :] - shared
    ratio: Matrix = shared / np.maximum(union, 1e-9)
    return ratio


def covered(boxes: Boxes) -> NDArray[np.float32]:
    """The largest part of each of ``(N, 4)`` boxes that one other box covers, ``(N,)`` in 0-1."""
    if len(boxes) < 2:
        return np.zeros(len(boxes), np.float32)
    shared = intersections(boxes, boxes)
    np.fill_diagonal(shared, 0.0)
    part: NDArray[np.float32] = shared.max(axis=1) / np.maximum(areas(boxes), 1e-9)
    return part


def assign(similarity: Matrix, allowed: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Pairs rows with columns one to one so that the sum of the allowed pairs' similarities is largest.

    To stay alone gains nothing and costs nothing, so one good pair is never given up for two poor ones.

    Args:
        similarity: ``(N, M)``, above 0 where allowed; higher is nearer.
        allowed: ``(N, M)``; pairs that may be made at all.

    Returns:
        The pairs (row, column), by row.
    """
    if not allowed.any():
        return []
    rows, columns = linear_sum_assignment(np.where(allowed, similarity, 0.0), maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if allowed[row, column]]
