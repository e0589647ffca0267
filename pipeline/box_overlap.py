"""Intersection over union of boxes for the scores.

In double precision, other than the tracker's: the scores must agree with other evaluators to 1e-6, and a box on the
edge of a threshold must fall on the same side as theirs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def box_overlap(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Gives the intersection over union of every box of one set with every box of another.

    Args:
        first: ``(N, 4)`` x1, y1, x2, y2.
        second: ``(M, 4)`` x1, y1, x2, y2.

    Returns:
        ``(N, M)`` in 0-1. A box without area overlaps with nothing.
    """
    a = np.asarray(first, np.float64).reshape(-1, 1, 4)
    b = np.asarray(second, np.float64).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.maximum(sides, 0.0), axis=-1)
    area_a, area_b = (np.prod(np.maximum(box[..., 2:] - box[..., :2], 0.0), axis=-1) for box in (a, b))
    union = area_a + area_b - shared
    overlap: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)
    return overlap
