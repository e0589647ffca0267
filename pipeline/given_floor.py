"""Where people stand on the site's floor in metres, where cameras.yaml says how it lies in their cameras' pictures.

How far off a spot may be differs from spot to spot: boxes tremble by a part of the body height, which far from a camera
is much on the floor, along its view more than across.

Source: propagation of errors through a homography after Criminisi, Reid and Zisserman, "A Plane Measuring Device",
1999.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Spots, Walk

_TREMBLING: Final = 0.06  # body heights: deviation of a box's bottom
_VAGUEST_M: Final = 1.5  # a spot that trembles more is none
_AROUND: Final = 0.5  # of the longest way between given places: so far around them the floor is trusted

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class GivenFloor:
    """How the floor lies in one camera's picture.

    Attributes:
        homography: ``(3, 3)`` from the picture, in parts of width and height or in pixels, to metres; the third
            coordinate is positive before the horizon.
        sides: ``(K, 3)``: for a place x, y the greatest of a x + b y + c is how many metres it lies outside.
    """

    homography: Matrix
    sides: Matrix

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]], metres: Sequence[tuple[float, float]]) -> Self:
        """Fits a floor to at least four points as parts of the picture and their places in metres.

        Args:
            points: Of them four such that no three are on a line, there as here.
            metres: In the same order.
        """
        seen, there = np.array(points, np.float64), np.array(metres, np.float64)
        picture = cv2.findHomography(there, seen, 0)[0]  # errors count in the picture, where one points
        homography = np.linalg.inv(picture)
        depth = homography[2] @ np.append(seen.mean(axis=0), 1.0)
        return cls(homography / depth, _enclose(there))

    def in_pixels(self, size: tuple[int, int]) -> GivenFloor:
        """The same for pictures of ``size``: height, width."""
        return replace(self, homography=self.homography / [size[1], size[0], 1.0])


def locate(walk: Walk, floor: GivenFloor | None) -> Spots:
    """Where a walk in pixels goes on the floor, without what lies where the floor is not known."""
    if floor is None or not len(walk):
        return np.empty((0, 6))
    feet = np.column_stack([walk[:, 1:3], np.ones(len(walk))]) @ floor.homography.T
    before = feet[:, 2] > 1e-9
    feet, seen = feet[before], walk[before]
    places = feet[:, :2] / feet[:, 2:]
    slopes = (floor.homography[None, :2, :2] - places[:, :, None] * floor.homography[2, :2]) / feet[:, 2:, None]
    spread = slopes @ slopes.transpose(0, 2, 1) * (_TREMBLING * seen[:, 3])[:, None, None] ** 2
    outside = (places @ floor.sides[:, :2].T + floor.sides[:, 2]).max(axis=1)
    known = (outside <= 0) & (np.linalg.eigvalsh(spread)[:, 1] <= _VAGUEST_M**2)
    sure = spread[known].reshape(-1, 4)[:, [0, 1, 3]]
    return np.column_stack([seen[known, 0], places[known], sure])


def _enclose(places: Matrix) -> Matrix:
    """The sides of the area around places, see `GivenFloor`."""
    middle = places.mean(axis=0)
    corners = cv2.convexHull((places - middle).astype(np.float32))[:, 0].astype(np.float64)  # anticlockwise
    along = np.roll(corners, -1, axis=0) - corners
    outwards = np.column_stack([along[:, 1], -along[:, 0]]) / np.linalg.norm(along, axis=1)[:, None]
    reach = _AROUND * np.linalg.norm(places[:, None] - places[None], axis=2).max()
    return np.column_stack([outwards, -(outwards * (corners + middle)).sum(axis=1) - reach])
