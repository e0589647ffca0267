"""Privacy masks: regions of a camera's picture that are blanked before anything else sees the frame."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Image

Polygon = NDArray[np.float64]


class PrivacyMask:
    """Blanks polygons to black, edges included."""

    def __init__(self, polygons: Sequence[Polygon]) -> None:
        """Keeps the polygons.

        Args:
            polygons: Each ``(K, 2)``, K at least 3: x and y in 0-1 of the picture's width and height.

        Raises:
            ValueError: A polygon has another shape, or a point lies outside 0-1.
        """
        for polygon in polygons:
            if polygon.ndim != 2 or polygon.shape[1] != 2 or len(polygon) < 3:
                raise ValueError(f"privacy polygon: expected (K, 2) with at least 3 points, got {polygon.shape}")
            if polygon.min() < 0.0 or polygon.max() > 1.0:
                raise ValueError(f"privacy polygon: points must lie in 0-1, got {polygon.min()} to {polygon.max()}")
        self._polygons = tuple(polygons)

    def __bool__(self) -> bool:
        return bool(self._polygons)

    def blank(self, image: Image) -> None:
        """Blanks the polygons in an ``(H, W, 3)`` image, in place."""
        height, width = image.shape[:2]
        for polygon in self._polygons:
            # Rounded outward to the last pixel: 1.0 is the right edge, which belongs to pixel width - 1.
            points = np.minimum(np.floor(polygon * (width, height)), (width - 1, height - 1)).astype(np.int32)
            cv2.fillPoly(image, [points], (0, 0, 0))
