"""Where tracklets were before they began: the trail of weak detections that leads to their first box.

A tracker believes a tracklet only after some sure sightings. Whoever comes out from behind something was detected
before that, only weakly; so was everybody in the frames that it took to be believed. Looking back, it is plain which of
these detections were that person: those that lead to where the tracklet begins.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Boxes, Detections, Scores
from reid_pipeline.pipeline.matching import iou

REACH_US: Final = 2_000_000  # how far a trail leads back
_MOST_FRAMES: Final = 32  # that are remembered
_MOST_MISSED: Final = 2  # frames in a row without a detection, within a trail
_FREE: Final = 0.5  # IoU with a tracked box from which a detection is of that person
_MIN_SCORE: Final = 0.25
_MIN_OVERLAP: Final = 0.5  # IoU of a detection with where the person must have been
_NEW_SPEED: Final = 0.5  # weight of the newest step in the speed


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A person in one frame: number and capture time of the frame, box ``(4,) float32`` and score."""

    frame: int
    time_us: int
    box: Boxes
    score: float


@dataclass(slots=True, eq=False)
class _Past:
    """A frame, and its detections that nobody's tracklet has taken."""

    frame: int
    time_us: int
    boxes: Boxes
    scores: Scores
    free: NDArray[np.bool_]


class Beginnings:
    """Remembers the detections of one camera that nobody wanted, for those whose tracklets begin soon."""

    def __init__(self) -> None:
        self._past: deque[_Past] = deque(maxlen=_MOST_FRAMES)

    def note(self, frame: int, time_us: int, detections: Detections, tracked: Boxes) -> None:
        """Remembers what was detected in a frame, but for those who were tracked, ``(N, 4)``."""
        free = detections.scores >= _MIN_SCORE
        if len(tracked):
            free &= iou(detections.boxes, tracked).max(axis=1) < _FREE
        boxes, scores = detections.boxes[free], detections.scores[free]
        self._past.append(_Past(frame, time_us, boxes, scores, np.ones(len(boxes), bool)))

    def trail(self, time_us: int, box: Boxes) -> list[Sighting]:
        """Those that lead to where a tracklet begins, oldest first; what is in one trail is in no other.

        Args:
            time_us: When it begins, after all that was noted.
            box: Where, ``(4,)``.
        """
        found: list[Sighting] = []
        speed, missed = np.zeros(4, np.float32), 0
        for past in reversed(self._past):
            if time_us - past.time_us > REACH_US or missed > _MOST_MISSED:
                break
            column = _nearest(past, box - speed)
            if column is None:
                box, missed = box - speed, missed + 1
                continue
            step = (box - past.boxes[column]) if missed == 0 else speed
            speed = step if not found else (1 - _NEW_SPEED) * speed + _NEW_SPEED * step
            box, missed = past.boxes[column], 0
            past.free[column] = False
            found.append(Sighting(past.frame, past.time_us, box, float(past.scores[column])))
        return found[::-1]


def _nearest(past: _Past, expected: Boxes) -> int | None:
    """The free detection that overlaps most with where somebody must have been."""
    if not past.free.any():
        return None
    overlap = np.where(past.free, iou(expected[None], past.boxes)[0], 0.0)
    column = int(overlap.argmax())
    return column if overlap[column] >= _MIN_OVERLAP else None
