"""Which crops of a run are kept to learn from: a few of each tracklet that show one whole person well.

The filters are those of LUPerson for a small site: one crop a second and no more than `MOST` a tracklet, by width,
aspect, confidence, overlap, the picture's edges, blur, and whether it shows anything new. Source: Fu et al.,
"Unsupervised Pre-training for Person Re-identification", 2021, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.camera_analysis import is_whole
from reid_pipeline.pipeline.datatypes import Boxes, Frame, Image, Scores
from reid_pipeline.pipeline.matching import covered
from reid_pipeline.pipeline.protocols import TrackedBoxes
from reid_pipeline.pipeline.views import cut, encode_jpeg, shape_quality, sharpness
from reid_pipeline.storage.corpus_records import CollectedCrop, CorpusCrop

MOST: Final = 16  # crops a tracklet
SPACING_US: Final = 1_000_000  # between two of the first `EVEN`; then it doubles with each: 16 crops span 9 minutes
EVEN: Final = 8
RETRY_US: Final = 200_000  # after a box that would not do
# LUPerson's 48 pixels are three eighths of the width of its network's input, 128; ours is 64 pixels wide.
MIN_WIDTH: Final = 24.0
ASPECT: Final = (1.5, 5.0)  # height over width
# LUPerson's detector is sure of most people by 0.6; the bundled one gives half of the good boxes of a crowd between 0.5
# and 0.6.
MIN_SCORE: Final = 0.5
MAX_COVERED: Final = 0.35  # part of the box inside another person's; so their IoU is less than that too
MIN_SHARPNESS: Final = 0.25  # at the network's size; low-contrast footage in focus has 0.4
NEW: Final = 4.0  # mean difference of grey levels, 0-255, to the last crop: somebody who stands still differs by 1 to 3
_SIZE: Final = (64, 128)  # width and height that blur is judged at
_THUMBNAIL: Final = (16, 32)

_NEVER: Final = 2**63 - 1

_Grey = NDArray[np.uint8]


@dataclass(slots=True)
class _Kept:
    """What was kept of a tracklet."""

    due_us: int
    crops: int = 0
    thumbnail: _Grey | None = None  # of the last one


class CorpusCollector:
    """Chooses the crops of one camera, frame by frame."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._tracklets: dict[int, _Kept] = {}

    def collect(self, frame: Frame, tracked: TrackedBoxes) -> tuple[CollectedCrop, ...]:
        """The crops to keep of the tracklets in a frame."""
        for number in tracked.ended:
            self._tracklets.pop(number, None)
        kept = [self._tracklets.setdefault(number, _Kept(frame.time_us)) for number in tracked.numbers]
        due = [row for row, each in enumerate(kept) if each.due_us <= frame.time_us]
        if not due:
            return ()
        height, width = frame.image.shape[:2]
        certain = np.array([number not in tracked.unsure for number in tracked.numbers])
        good = certain & shows_person(tracked.boxes, tracked.scores, (height, width))
        qualities = shape_quality(tracked.boxes, tracked.scores, (height, width)).tolist()
        found = []
        for row in due:
            kept[row].due_us = frame.time_us + RETRY_US
            if good[row] and (crop := _take(kept[row], frame, tracked.boxes[row], qualities[row])) is not None:
                found.append(CollectedCrop(self._camera, tracked.numbers[row], crop))
        return tuple(found)


def shows_person(boxes: Boxes, scores: Scores, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which of ``(N, 4)`` boxes show one whole person in a picture of a size: height, width."""
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    aspect = heights / np.maximum(widths, 1.0)
    fits = (widths >= MIN_WIDTH) & (aspect >= ASPECT[0]) & (aspect <= ASPECT[1])
    alone = covered(boxes) <= MAX_COVERED
    return np.asarray(fits & alone & (scores >= MIN_SCORE) & is_whole(boxes, size), np.bool_)


def _take(kept: _Kept, frame: Frame, box: Boxes, quality: float) -> CorpusCrop | None:
    image = cut(frame.image, box)
    small = np.asarray(cv2.resize(image, _SIZE, interpolation=cv2.INTER_AREA), np.uint8)
    if sharpness(small) < MIN_SHARPNESS:
        return None
    thumbnail = _thumbnail(small)
    if kept.thumbnail is not None and difference(thumbnail, kept.thumbnail) < NEW:
        kept.due_us = frame.time_us + SPACING_US
        return None
    kept.crops += 1
    kept.thumbnail = thumbnail
    kept.due_us = frame.time_us + spacing_us(kept.crops) if kept.crops < MOST else _NEVER
    height, width = image.shape[:2]
    quality *= 0.5 + 0.5 * sharpness(image)
    return CorpusCrop(frame.time_us, encode_jpeg(image), width, height, quality)


def spacing_us(crops: int) -> int:
    """How long after the last of so many crops the next one may follow."""
    return SPACING_US << max(0, crops - EVEN + 1)


def difference(one: _Grey, other: _Grey) -> float:
    """Mean difference of two thumbnails in grey levels."""
    return float(cv2.norm(one, other, cv2.NORM_L1)) / one.size


def _thumbnail(image: Image) -> _Grey:
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(grey, _THUMBNAIL, interpolation=cv2.INTER_AREA), np.uint8)
