"""What happens to one camera's frames after detection: tracking, the choice of views, their embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.clutter import Clutter
from reid_pipeline.pipeline.datatypes import Boxes, Detections, Embeddings, Frame, Scores
from reid_pipeline.pipeline.given_floor import GivenFloor
from reid_pipeline.pipeline.head_blur import FrameHeads
from reid_pipeline.pipeline.monitor import StageClock
from reid_pipeline.pipeline.protocols import (
    Encoder,
    TrackedBoxes,
    Tracker,
    TrackletFeet,
    TrackletUpdate,
    TrackletView,
)
from reid_pipeline.pipeline.views import Candidate, ViewPicker, cut, shape_quality, store_pixels
from reid_pipeline.storage.records import View

EDGE: Final = 3.0  # pixels: a box that comes this near to an edge of the picture may go on beyond it
LONGEST_GAP: Final = 10  # frames; a tracklet that was unseen for less is filled in along a straight line


@dataclass(frozen=True, slots=True, eq=False)
class TrackletBoxRun:
    """Boxes that one frame adds to a tracklet: its own, and those filled in before it; oldest first."""

    number: int
    frames: NDArray[np.int32]
    times_us: NDArray[np.int64]
    boxes: Boxes
    scores: Scores


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """Everything that one frame gave.

    Attributes:
        frame: The frame.
        tracked: Boxes with the numbers of their tracklets.
        box_runs: The same, with gaps filled in.
        views: New views, ready to be stored.
        update: What the association needs.
    """

    frame: Frame
    tracked: TrackedBoxes
    box_runs: tuple[TrackletBoxRun, ...]
    views: tuple[View, ...]
    update: TrackletUpdate


@dataclass(slots=True)
class _Tracklet:
    picker: ViewPicker
    frame: int  # of the last box
    time_us: int
    box: Boxes
    score: float


class CameraAnalysis:
    """Tracker, view choice and encoding of one camera, fed frame by frame.

    Args:
        camera: Name of the camera.
        tracker: A tracker of its own.
        encoder: The encoder, shared by all cameras.
        clock: Where the time of each stage is added up.
        floor: How the floor lies in the picture, in parts of it; None where that was not given.
        blur_heads: Whether heads are blurred, in the frames that it is given: whoever has them afterwards sees that.
    """

    def __init__(
        self,
        camera: str,
        tracker: Tracker,
        encoder: Encoder,
        clock: StageClock,
        floor: GivenFloor | None = None,
        *,
        blur_heads: bool = False,
    ) -> None:
        self._camera = camera
        self._tracker = tracker
        self._encoder = encoder
        self._clutter = Clutter()
        self._clock = clock
        self._floor = floor
        self._blur_heads = blur_heads
        self._tracklets: dict[int, _Tracklet] = {}
        self._last: tuple[int, int] = (0, 0)  # frame and time

    def process(self, frame: Frame, detections: Detections) -> FrameResult:
        """Takes the next frame with what was detected in it."""
        with self._clock.stage("blur"):
            heads = FrameHeads(frame.image, detections, enabled=self._blur_heads)
        with self._clock.stage("track"):
            tracked = self._tracker.update(
                self._clutter.drop(detections, frame.time_us), lambda boxes: self._looks(frame, boxes, heads)
            )
            heads.blur(tracked.boxes)
            started = [number for number in tracked.numbers if number not in self._tracklets]
            box_runs = tuple(self._extend(frame, tracked))
            self._offer(frame, tracked)
        self._last = (frame.index, frame.time_us)
        views = self._take_views(frame.time_us, tracked.ended)
        update = TrackletUpdate(
            self._camera,
            frame.index,
            frame.time_us,
            tuple((number, frame.index) for number in started),
            tracked.numbers,
            tuple(TrackletView(view.number, view.embedding, view.quality) for view in views),
            tracked.ended,
            tuple(find_feet(frame, tracked, self._floor)),
        )
        return FrameResult(frame, tracked, box_runs, views, update)

    def change_encoder(self, encoder: Encoder) -> dict[int, int]:
        """Goes on with another encoder; every open tracklet is soon looked at anew.

        Returns:
            The open tracklets by number, and the frame of the last box of each.
        """
        self._encoder = encoder
        self._tracker.forget_looks()
        for tracklet in self._tracklets.values():
            tracklet.picker.hurry()
        return {number: tracklet.frame for number, tracklet in self._tracklets.items()}

    def close(self) -> tuple[tuple[View, ...], TrackletUpdate]:
        """Ends all tracklets, at the end of the run: their last views, and the update that says so."""
        ended = self._tracker.close()
        views = self._take_views(self._last[1], ended)
        looks = tuple(TrackletView(view.number, view.embedding, view.quality) for view in views)
        return views, TrackletUpdate(self._camera, *self._last, (), (), looks, ended)

    def _looks(self, frame: Frame, boxes: Boxes, heads: FrameHeads) -> Embeddings:
        heads.blur(boxes)
        with self._clock.stage("encode"):
            return self._encoder.encode([cut(frame.image, box) for box in boxes])

    def _extend(self, frame: Frame, tracked: TrackedBoxes) -> list[TrackletBoxRun]:
        runs = []
        for number, box, score in zip(tracked.numbers, tracked.boxes, tracked.scores.tolist(), strict=True):
            known = self._tracklets.get(number)
            if known is None:
                self._tracklets[number] = _Tracklet(ViewPicker(frame.time_us), frame.index, frame.time_us, box, score)
                runs.append(_box_run(number, (frame.index,), (frame.time_us,), box[None], (score,)))
                continue
            runs.append(_bridge(number, known, frame, box, score))
            known.frame, known.time_us, known.box, known.score = frame.index, frame.time_us, box, score
        return runs

    def _offer(self, frame: Frame, tracked: TrackedBoxes) -> None:
        size = (frame.image.shape[0], frame.image.shape[1])
        qualities = shape_quality(tracked.boxes, tracked.scores, size).tolist()
        for number, box, quality in zip(tracked.numbers, tracked.boxes, qualities, strict=True):
            self._tracklets[number].picker.offer(frame, box, quality)

    def _take_views(self, time_us: int, ended: tuple[int, ...]) -> tuple[View, ...]:
        chosen: list[tuple[int, Candidate]] = []
        for number, tracklet in self._tracklets.items():
            candidate = tracklet.picker.take_last() if number in ended else tracklet.picker.take(time_us)
            if candidate is not None:
                chosen.append((number, candidate))
        for number in ended:
            del self._tracklets[number]
        if not chosen:
            return ()
        with self._clock.stage("encode"):
            stored = [store_pixels(candidate.crop) for _, candidate in chosen]
            embeddings = self._encoder.encode([pixels for _, pixels in stored])
        return tuple(
            View(
                camera=self._camera,
                number=number,
                frame=candidate.frame,
                time_us=candidate.time_us,
                quality=candidate.quality,
                box=(
                    float(candidate.box[0]),
                    float(candidate.box[1]),
                    float(candidate.box[2]),
                    float(candidate.box[3]),
                ),
                jpeg=jpeg,
                embedding=embedding,
                model_hash=self._encoder.model_hash,
            )
            for (number, candidate), (jpeg, _), embedding in zip(chosen, stored, embeddings, strict=True)
        )


def is_whole(boxes: Boxes, size: tuple[float, float]) -> NDArray[np.bool_]:
    """Which boxes ``(N, 4)`` end inside a picture of ``size``: height, width; the head may be cut off."""
    height, width = size
    return np.asarray((boxes[:, 0] >= EDGE) & (boxes[:, 2] <= width - EDGE) & (boxes[:, 3] <= height - EDGE), np.bool_)


def stand(boxes: Boxes) -> NDArray[np.float32]:
    """The feet of boxes ``(N, 4)``, as in `TrackletFeet`: ``(N, 3)``."""
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3], boxes[:, 3] - boxes[:, 1]], axis=1)


def find_feet(frame: Frame, tracked: TrackedBoxes, floor: GivenFloor | None = None) -> Iterator[TrackletFeet]:
    """Where those stand whose box is in the picture as a whole; ``floor`` in parts of the picture."""
    height, width = frame.image.shape[:2]
    seen = None if floor is None else floor.in_pixels((height, width))
    whole = is_whole(tracked.boxes, (height, width))
    times_us = np.array([frame.time_us], np.int64)
    for number, box in zip(np.array(tracked.numbers)[whole].tolist(), tracked.boxes[whole], strict=True):
        yield TrackletFeet(number, times_us, stand(box[None]), seen)


def _box_run(
    number: int, frames: Sequence[int], times_us: Sequence[int], boxes: Boxes, scores: Sequence[float]
) -> TrackletBoxRun:
    return TrackletBoxRun(
        number, np.array(frames, np.int32), np.array(times_us, np.int64), boxes, np.array(scores, np.float32)
    )


def _bridge(number: int, known: _Tracklet, frame: Frame, box: Boxes, score: float) -> TrackletBoxRun:
    """The tracklet's new box, with the frames since the last one filled in where they are few."""
    gap = frame.index - known.frame
    if not 1 < gap <= LONGEST_GAP:
        return _box_run(number, (frame.index,), (frame.time_us,), box[None], (score,))
    parts = np.arange(1, gap + 1) / gap
    boxes = known.box[None] + (box - known.box)[None] * parts[:, None].astype(np.float32)
    boxes[-1] = box
    times = [known.time_us + round((frame.time_us - known.time_us) * part) for part in parts.tolist()]
    frames = range(known.frame + 1, frame.index + 1)
    return _box_run(number, frames, times, boxes.astype(np.float32), [min(known.score, score)] * (gap - 1) + [score])
