"""Constant-velocity Kalman filter for many boxes at once.

The state is the box centre, width and height with their velocities, as in SORT and ByteTrack. With the noise of those
papers (proportional to the box height, no correlation between coordinates) the 8x8 filter falls apart into four
independent two-by-two filters, which close into a few array operations for all boxes together.

Source: R. Kalman, 1960; noise weights 1/20 and 1/160 from Wojke et al., "Simple Online and Realtime Tracking with a
Deep Association Metric", 2017, section 2.1 and code; more noise for weaker detections after Du et al., "GIAOTracker",
2021, here for the size alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Boxes, Scores

POSITION_NOISE = 1 / 20  # standard deviation of a measured coordinate, in box heights
UNSURE_SIZE = 5.0  # times so much for the size of a box that nothing is certain of
VELOCITY_NOISE = 1 / 160  # growth of the velocity's standard deviation per frame, in box heights

State = NDArray[np.float64]


def to_centres(boxes: Boxes) -> State:
    """Turns ``(N, 4)`` corners x1 y1 x2 y2 into ``(N, 4)`` centre x, centre y, width, height."""
    wide = boxes.astype(np.float64)
    return np.concatenate([(wide[:, :2] + wide[:, 2:]) / 2, wide[:, 2:] - wide[:, :2]], axis=1)


def to_corners(centres: State) -> Boxes:
    """The inverse of `to_centres`."""
    half = centres[:, 2:] / 2
    return np.concatenate([centres[:, :2] - half, centres[:, :2] + half], axis=1).astype(np.float32)


class BoxMotion:
    """Kalman filters of M boxes, one row each.

    Attributes:
        position: ``(M, 4)`` centre x, centre y, width, height in pixels.
        velocity: ``(M, 4)`` the same per frame.
    """

    def __init__(self) -> None:
        self.position: State = np.empty((0, 4))
        self.velocity: State = np.empty((0, 4))
        self._variance: State = np.empty((0, 4))  # of the position
        self._covariance: State = np.empty((0, 4))  # of position and velocity
        self._velocity_variance: State = np.empty((0, 4))

    def __len__(self) -> int:
        return len(self.position)

    @property
    def boxes(self) -> Boxes:
        """Present estimates as ``(M, 4)`` corners."""
        return to_corners(self.position)

    @property
    def spread(self) -> State:
        """``(M,)`` standard deviation of the centre in pixels: how far off the estimate may be."""
        spread: State = np.sqrt(self._variance[:, :2].max(axis=1))
        return spread

    def add(self, boxes: Boxes) -> None:
        """Starts one more filter for each of ``(N, 4)`` boxes, at rest and unsure of the velocity."""
        centres = to_centres(boxes)
        height = np.repeat(centres[:, 3:4], 4, axis=1)
        self.position = np.concatenate([self.position, centres])
        self.velocity = np.concatenate([self.velocity, np.zeros_like(centres)])
        self._variance = np.concatenate([self._variance, (2 * POSITION_NOISE * height) ** 2])
        self._covariance = np.concatenate([self._covariance, np.zeros_like(centres)])
        self._velocity_variance = np.concatenate([self._velocity_variance, (10 * VELOCITY_NOISE * height) ** 2])

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Drops the filters whose entry in ``(M,)`` is False."""
        self.position, self.velocity = self.position[rows], self.velocity[rows]
        self._variance, self._covariance = self._variance[rows], self._covariance[rows]
        self._velocity_variance = self._velocity_variance[rows]

    def predict(self, unseen: NDArray[np.bool_]) -> None:
        """Moves all boxes one frame on; boxes ``unseen`` in the last frame keep their size."""
        self.velocity[unseen, 2:] = 0.0
        self.position = self.position + self.velocity
        self.position[:, 2:] = np.maximum(self.position[:, 2:], 1.0)
        height = self.position[:, 3:4]
        self._variance = (
            self._variance + 2 * self._covariance + self._velocity_variance + (POSITION_NOISE * height) ** 2
        )
        self._covariance = self._covariance + self._velocity_variance
        self._velocity_variance = self._velocity_variance + (VELOCITY_NOISE * height) ** 2

    def correct(self, rows: NDArray[np.intp], boxes: Boxes, sureness: Scores) -> None:
        """Tells the filters what was measured.

        The less sure a box is, the less its size is believed: of who is half hidden a detector may see the half.

        Args:
            rows: ``(K,)``, which filters.
            boxes: ``(K, 4)``, what was measured.
            sureness: ``(K,)``, 0-1, how far the sizes are to be believed.
        """
        innovation = to_centres(boxes) - self.position[rows]
        variance, covariance = self._variance[rows], self._covariance[rows]
        noise = np.full((len(rows), 4), POSITION_NOISE)
        noise[:, 2:] *= (UNSURE_SIZE - (UNSURE_SIZE - 1.0) * sureness)[:, None]
        total = variance + (noise * self.position[rows, 3:4]) ** 2
        gain, velocity_gain = variance / total, covariance / total
        self.position[rows] += gain * innovation
        self.velocity[rows] += velocity_gain * innovation
        self._variance[rows] = variance - gain * variance
        self._velocity_variance[rows] -= velocity_gain * covariance
        self._covariance[rows] = covariance - gain * covariance

    def restart(self, rows: NDArray[np.intp], boxes: Boxes) -> None:
        """Places the filters ``rows (K,)`` anew at ``boxes (K, 4)``, as after a long absence; sizes and order stay."""
        fresh = BoxMotion()
        fresh.add(boxes)
        self.position[rows], self.velocity[rows] = fresh.position, fresh.velocity
        self._variance[rows], self._covariance[rows] = fresh._variance, fresh._covariance
        self._velocity_variance[rows] = fresh._velocity_variance
