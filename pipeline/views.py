"""Which pictures of a tracklet are worth encoding: the best one of each of a few stretches of time that grow.

A person is seen in hundreds of frames that show the same. The first view comes quickly, so that an identity can be
found while the person is still there; the following stretches double in length, so that the number of views grows with
the logarithm of the stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from reid_pipeline.pipeline.datatypes import Boxes, Frame, Image, Scores
from reid_pipeline.pipeline.matching import covered

FIRST_STRETCH_US: Final = 400_000
GOOD_HEIGHT_PX: Final = 128.0  # half the height of an encoder's input; more adds little
SHARP_VARIANCE: Final = 100.0  # of the Laplacian; a crop in focus has more
USUAL_ASPECT: Final = (1.6, 4.0)  # height over width of a whole person, standing or walking
EDGE_PX: Final = 2.0
JPEG_QUALITY: Final = 95


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A crop that may become a view.

    Attributes:
        frame: Frame number.
        time_us: Capture time.
        box: ``(4,)`` x1 y1 x2 y2 in the frame.
        quality: 0-1.
        crop: ``(h, w, 3)`` BGR, a copy.
    """

    frame: int
    time_us: int
    box: Boxes
    quality: float
    crop: Image


def cut(image: Image, box: Boxes) -> Image:
    """The part of an image inside a box ``(4,)``, at least one pixel; a view of the image, not a copy."""
    height, width = image.shape[:2]
    x1, y1 = (min(max(int(value), 0), limit - 1) for value, limit in zip(box[:2], (width, height), strict=True))
    x2, y2 = (max(int(np.ceil(value)), low + 1) for value, low in zip(box[2:], (x1, y1), strict=True))
    return image[y1:y2, x1:x2]


def shape_quality(boxes: Boxes, scores: Scores, size: tuple[int, int]) -> Scores:
    """How well each of ``(N, 4)`` boxes shows a whole person, 0-1, by size, overlap, edges, aspect and confidence."""
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    big = np.minimum(heights / GOOD_HEIGHT_PX, 1.0)
    limits = np.array([EDGE_PX, EDGE_PX, size[1] - EDGE_PX, size[0] - EDGE_PX], np.float32)
    cut_off = (boxes[:, :2] < limits[:2]).any(axis=1) | (boxes[:, 2:] > limits[2:]).any(axis=1)
    aspect = heights / np.maximum(widths, 1.0)
    usual = (aspect > USUAL_ASPECT[0]) & (aspect < USUAL_ASPECT[1])
    quality = big * (1 - covered(boxes)) * scores * np.where(cut_off, 0.5, 1.0) * np.where(usual, 1.0, 0.6)
    return np.asarray(quality, np.float32)


def sharpness(crop: Image) -> float:
    """0-1, from the variance of the Laplacian of the grey crop: blurred crops have little detail."""
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    variance = float(cv2.Laplacian(grey, cv2.CV_32F).var())
    return min(variance / SHARP_VARIANCE, 1.0)


def encode_jpeg(crop: Image) -> bytes:
    """A crop as the JPEG that will be stored."""
    _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


def store_pixels(crop: Image) -> tuple[bytes, Image]:
    """A crop as the JPEG that will be stored, and the pixels that it decodes to: what the encoder may see."""
    data = encode_jpeg(crop)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return data, np.asarray(pixels, np.uint8)


class ViewPicker:
    """Chooses the views of one tracklet."""

    def __init__(self, start_us: int) -> None:
        self._stretch_us = FIRST_STRETCH_US
        self._due_us = start_us + FIRST_STRETCH_US
        self._best: Candidate | None = None

    def offer(self, frame: Frame, box: Boxes, quality: float) -> None:
        """Considers the tracklet's box ``(4,)`` in a frame with its `shape_quality`."""
        if self._best is not None and quality <= self._best.quality:
            return  # blur could only make it worse
        crop = cut(frame.image, box)
        quality *= 0.5 + 0.5 * sharpness(crop)
        if self._best is None or quality > self._best.quality:
            self._best = Candidate(frame.index, frame.time_us, box, quality, crop.copy())

    def hurry(self) -> None:
        """Ends the present stretch: the next good crop is taken, as at the beginning."""
        self._stretch_us = FIRST_STRETCH_US
        self._due_us = 0

    def take(self, time_us: int) -> Candidate | None:
        """The best crop of the present stretch, once the stretch is over."""
        if self._best is None or time_us < self._due_us:
            return None
        self._stretch_us *= 2
        self._due_us = time_us + self._stretch_us
        return self.take_last()

    def take_last(self) -> Candidate | None:
        """The best crop so far, for a tracklet that ends."""
        best, self._best = self._best, None
        return best
