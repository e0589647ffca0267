"""What a detector takes for a person again and again, weakly and always in one place: posts, chairs, mannequins.

Such a box once reaches the confidence that starts a tracklet and then lives on for hours; worse, who walks past it
leaves his number with it. People who stay in one place are seen clearly at least now and then. So a place where
something is seen most of the time, never clearly, is learnt as clutter, and what is detected there is left out, unless
it is clear. Clutter that is gone or was a mistake is forgotten as it was learnt.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.datatypes import Boxes, Detections
from reid_pipeline.pipeline.matching import iou

CLEAR: Final = 0.55  # score of a box that is no clutter
SAME_PLACE: Final = 0.7  # IoU with the place
LEARNT_S: Final = 5.0  # seconds of sightings, less those without, that make a place clutter
_MOST_S: Final = 10.0  # that are counted: so soon is it forgotten
_CLEARED_S: Final = 2.5  # that a clear sighting takes away
_LONGEST_STEP_S: Final = 0.2  # that one frame counts for
_SHARE: Final = 0.05  # of a new box in the place: it follows the light, not the walker
_MOST_PLACES: Final = 500


class Clutter:
    """The clutter of one camera, learnt frame by frame."""

    def __init__(self) -> None:
        self._places: Boxes = np.empty((0, 4), np.float32)
        self._seen_s: NDArray[np.float64] = np.empty(0)
        self._last_us: int | None = None

    def drop(self, detections: Detections, time_us: int) -> Detections:
        """Takes the detections of the next frame and its capture time, and gives back those that are no clutter."""
        overlap = iou(self._places, detections.boxes)
        here = overlap >= SAME_PLACE
        clear = detections.scores >= CLEAR
        clutter = (self._seen_s >= LEARNT_S)[:, None] & here
        kept = clear | ~clutter.any(axis=0)
        self._learn(detections, overlap, clear, self._step_s(time_us))
        return Detections(detections.boxes[kept], detections.scores[kept])

    def _step_s(self, time_us: int) -> float:
        last_us, self._last_us = self._last_us, time_us
        return 0.0 if last_us is None else min(max((time_us - last_us) / 1e6, 0.0), _LONGEST_STEP_S)

    def _learn(
        self, detections: Detections, overlap: NDArray[np.float32], clear: NDArray[np.bool_], step_s: float
    ) -> None:
        here = overlap >= SAME_PLACE
        seen, cleared = here[:, ~clear].any(axis=1), here[:, clear].any(axis=1)
        change = np.where(seen, step_s, -step_s) - np.where(cleared, _CLEARED_S, 0.0)
        self._seen_s = np.minimum(self._seen_s + change, _MOST_S)
        if seen.any():
            nearest = overlap[seen].argmax(axis=1)
            self._places[seen] += np.float32(_SHARE) * (detections.boxes[nearest] - self._places[seen])
        new = detections.boxes[~here.any(axis=0) & ~clear]
        alive = np.flatnonzero(self._seen_s > 0.0)
        places = np.concatenate([self._places[alive], new])
        seen_s = np.concatenate([self._seen_s[alive], np.full(len(new), _LONGEST_STEP_S)])
        best = np.sort(np.argsort(-seen_s, kind="stable")[:_MOST_PLACES])
        self._places, self._seen_s = places[best], seen_s[best]
