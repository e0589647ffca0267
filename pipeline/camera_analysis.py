"""What happens to one camera's frames after detection: tracking, the choice of views, their embeddings."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.box_runs import BoxRuns, TrackletBoxRun
from reid_pipeline.pipeline.clutter import Clutter
from reid_pipeline.pipeline.datatypes import Boxes, Detections, Embeddings, Frame
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


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """Everything that one frame gave.

    Attributes:
        frame: The frame.
        tracked: Boxes with the numbers of their tracklets.
        box_runs: What is to be stored of tracklets, see `box_runs`.
        views: New views, ready to be stored.
        update: What the association needs.
    """

    frame: Frame
    tracked: TrackedBoxes
    box_runs: tuple[TrackletBoxRun, ...]
    views: tuple[View, ...]
    update: TrackletUpdate


@dataclass(frozen=True, slots=True, eq=False)
class LastResult:
    """What is left of a camera's tracklets at the end of a run, see `FrameResult`."""

    box_runs: tuple[TrackletBoxRun, ...]
    views: tuple[View, ...]
    update: TrackletUpdate


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
        self._box_runs = BoxRuns()
        self._pickers: dict[int, ViewPicker] = {}  # of tracklets that are open
        self._last: tuple[int, int] = (0, 0)  # frame and time

    def process(self, frame: Frame, detections: Detections) -> FrameResult:
        """Takes the next frame with what was detected in it."""
        with self._clock.stage("blur"):
            heads = FrameHeads(frame.image, detections, enabled=self._blur_heads)
        with self._clock.stage("track"):
            people = self._clutter.drop(detections, frame.time_us)
            tracked = self._tracker.update(people, lambda boxes: self._looks(frame, boxes, heads))
            heads.blur(tracked.boxes)
            box_runs = self._box_runs.take(frame, people, tracked)
            started = [run for run in box_runs if run.number not in self._pickers]
            self._pickers.update((run.number, ViewPicker(frame.time_us)) for run in started)
            self._offer(frame, tracked, {run.number for run in box_runs})
        self._last = (frame.index, frame.time_us)
        views = self._take_views(frame.time_us, tracked.ended)
        update = TrackletUpdate(
            self._camera,
            frame.index,
            frame.time_us,
            tuple((run.number, int(run.frames[0])) for run in started),
            tuple(run.number for run in box_runs if run.number not in tracked.ended),
            _looks_of(views),
            tracked.ended,
            tuple(find_feet(frame, box_runs, self._floor)),
            {run.number: int(run.times_us[0]) for run in started},
            _left(run for run in box_runs if run.number in tracked.ended),
        )
        return FrameResult(frame, tracked, box_runs, views, update)

    def change_encoder(self, encoder: Encoder) -> dict[int, int]:
        """Goes on with another encoder; every open tracklet is soon looked at anew.

        Returns:
            The open tracklets by number, and the frame of the last box of each.
        """
        self._encoder = encoder
        self._tracker.forget_looks()
        for picker in self._pickers.values():
            picker.hurry()
        return {number: self._box_runs.last_frame(number) for number in self._pickers}

    def close(self) -> LastResult:
        """Ends all tracklets, at the end of the run."""
        ended = self._tracker.close()
        box_runs = tuple(self._box_runs.end(ended))
        views = self._take_views(self._last[1], ended)
        update = TrackletUpdate(self._camera, *self._last, (), (), _looks_of(views), ended, left=_left(box_runs))
        return LastResult(box_runs, views, update)

    def _looks(self, frame: Frame, boxes: Boxes, heads: FrameHeads) -> Embeddings:
        heads.blur(boxes)
        with self._clock.stage("encode"):
            return self._encoder.encode([cut(frame.image, box) for box in boxes])

    def _offer(self, frame: Frame, tracked: TrackedBoxes, certain: Container[int]) -> None:
        size = (frame.image.shape[0], frame.image.shape[1])
        qualities = shape_quality(tracked.boxes, tracked.scores, size).tolist()
        for number, box, quality in zip(tracked.numbers, tracked.boxes, qualities, strict=True):
            if number in certain:
                self._pickers[number].offer(frame, box, quality)

    def _take_views(self, time_us: int, ended: tuple[int, ...]) -> tuple[View, ...]:
        chosen: list[tuple[int, Candidate]] = []
        for number, picker in self._pickers.items():
            candidate = picker.take_last() if number in ended else picker.take(time_us)
            if candidate is not None:
                chosen.append((number, candidate))
        for number in ended:
            del self._pickers[number]
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


def _looks_of(views: Iterable[View]) -> tuple[TrackletView, ...]:
    return tuple(TrackletView(view.number, view.embedding, view.quality) for view in views)


def _left(box_runs: Iterable[TrackletBoxRun]) -> dict[int, tuple[int, int]]:
    return {run.number: (int(run.frames[-1]), int(run.times_us[-1])) for run in box_runs}


def is_whole(boxes: Boxes, size: tuple[float, float]) -> NDArray[np.bool_]:
    """Which boxes ``(N, 4)`` end inside a picture of ``size``: height, width; the head may be cut off."""
    height, width = size
    return np.asarray((boxes[:, 0] >= EDGE) & (boxes[:, 2] <= width - EDGE) & (boxes[:, 3] <= height - EDGE), np.bool_)


def stand(boxes: Boxes) -> NDArray[np.float32]:
    """The feet of boxes ``(N, 4)``, as in `TrackletFeet`: ``(N, 3)``."""
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3], boxes[:, 3] - boxes[:, 1]], axis=1)


def find_feet(
    frame: Frame, box_runs: Iterable[TrackletBoxRun], floor: GivenFloor | None = None
) -> Iterator[TrackletFeet]:
    """Where those stand whose box is in the picture as a whole; ``floor`` in parts of the picture."""
    height, width = frame.image.shape[:2]
    seen = None if floor is None else floor.in_pixels((height, width))
    for run in box_runs:
        whole = is_whole(run.boxes, (height, width))
        if whole.any():
            yield TrackletFeet(run.number, run.times_us[whole], stand(run.boxes[whole]), seen)
