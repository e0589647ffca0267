"""The values that travel through the pipeline, and the conventions that all of it keeps.

Boxes are ``(N, 4) float32``: x1, y1, x2, y2 in pixels of the decoded frame, x2 and y2 exclusive. Images are
``(H, W, 3) uint8`` in BGR order. Embeddings are ``(N, D) float32`` of L2 norm 1, compared by inner product: higher is
nearer. Times are integer microseconds since 1970 in UTC (``time_us``); they become timezone-aware at the edges. Frame
numbers and tracklet numbers count from 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]
Scores = NDArray[np.float32]
Embeddings = NDArray[np.float32]

WEAK_SCORE: Final = 0.1  # detections that score less are noise; ByteTrack's lower threshold

Walk = NDArray[np.float64]
"""Feet of one tracklet ``(M, 4)``: seconds, x, y and body height in pixels, in the order of time."""

Spots = NDArray[np.float64]
"""The same on the floor ``(M, 6)``: seconds, x and y in metres, and the variances xx, xy, yy of the place in m²."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture of one camera.

    Attributes:
        camera: Name of the camera in cameras.yaml.
        index: Position in the source, from 1. Frames that are skipped or dropped keep their numbers.
        time_us: Capture time, microseconds since 1970 UTC, by the stream's clock where there is one.
        image: ``(H, W, 3) uint8`` BGR; privacy masks are blanked already.
        received_s: ``time.monotonic()`` when the frame was captured (live) or decoded (file): the start of its latency.
    """

    camera: str
    index: int
    time_us: int
    image: Image
    received_s: float

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"frame image: expected (H, W, 3) uint8, got {self.image.shape} {self.image.dtype}")


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Persons found in one frame: ``boxes (N, 4) float32`` and ``scores (N,) float32`` in 0-1, best first."""

    boxes: Boxes
    scores: Scores

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4 or self.boxes.dtype != np.float32:
            raise ValueError(f"boxes: expected (N, 4) float32, got {self.boxes.shape} {self.boxes.dtype}")
        if self.scores.shape != (len(self.boxes),) or self.scores.dtype != np.float32:
            raise ValueError(
                f"scores: expected ({len(self.boxes)},) float32, got {self.scores.shape} {self.scores.dtype}"
            )

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls) -> Detections:
        """No person."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32))
