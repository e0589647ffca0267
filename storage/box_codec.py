"""How the boxes of a tracklet are packed into the bytes of a segment.

One box takes 32 bytes, little endian, without padding: ``frame`` int32, ``x1 y1 x2 y2`` float32, ``score`` float32,
``time_us`` int64. Boxes follow each other, so the segments of a tracklet joined end to end are its boxes. They are not
compressed: float32 coordinates hardly shrink, and reading stays one copy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_BOX = np.dtype([("frame", "<i4"), ("box", "<f4", (4,)), ("score", "<f4"), ("time_us", "<i8")])
BYTES_PER_BOX = _BOX.itemsize


class BoxArrays(NamedTuple):
    """N boxes of one tracklet in frame order.

    Attributes:
        frames: ``(N,) int32``, frame numbers from 1.
        times_us: ``(N,) int64``, capture times.
        boxes: ``(N, 4) float32``, x1 y1 x2 y2 in pixels of the decoded frame.
        scores: ``(N,) float32``, 0-1.
    """

    frames: NDArray[np.int32]
    times_us: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]

    def where(self, chosen: NDArray[np.bool_]) -> BoxArrays:
        """Those of the boxes that ``chosen (N,)`` is true for."""
        return BoxArrays(self.frames[chosen], self.times_us[chosen], self.boxes[chosen], self.scores[chosen])

    def check(self) -> None:
        """Compares shapes and types with what they should be.

        Raises:
            ValueError: One is different.
        """
        count = len(self.frames)
        _check("frames", self.frames, np.dtype(np.int32), (count,))
        _check("times_us", self.times_us, np.dtype(np.int64), (count,))
        _check("boxes", self.boxes, np.dtype(np.float32), (count, 4))
        _check("scores", self.scores, np.dtype(np.float32), (count,))


def pack_boxes(arrays: BoxArrays) -> bytes:
    """Packs N boxes into N * `BYTES_PER_BOX` bytes."""
    packed = np.empty(len(arrays.frames), _BOX)
    packed["frame"] = arrays.frames
    packed["box"] = arrays.boxes
    packed["score"] = arrays.scores
    packed["time_us"] = arrays.times_us
    return packed.tobytes()


def unpack_boxes(data: bytes) -> BoxArrays:
    """Reads back what `pack_boxes` wrote, or several of its results joined.

    Raises:
        ValueError: The length is not a whole number of boxes.
    """
    if len(data) % BYTES_PER_BOX:
        raise ValueError(f"packed boxes: expected a multiple of {BYTES_PER_BOX} bytes, got {len(data)}")
    packed = np.frombuffer(data, _BOX)
    return BoxArrays(
        frames=packed["frame"].astype(np.int32),
        times_us=packed["time_us"].astype(np.int64),
        boxes=packed["box"].astype(np.float32),
        scores=packed["score"].astype(np.float32),
    )


def _check(name: str, array: NDArray[np.generic], dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{name}: expected {shape} {dtype}, got {array.shape} {array.dtype}")
