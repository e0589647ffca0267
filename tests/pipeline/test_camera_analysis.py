from dataclasses import replace

import cv2
import numpy as np
import pytest

from reid_pipeline.pipeline.camera_analysis import CameraAnalysis
from reid_pipeline.pipeline.datatypes import Detections, Frame
from reid_pipeline.pipeline.given_floor import GivenFloor
from reid_pipeline.pipeline.head_blur import blur_heads
from reid_pipeline.pipeline.monitor import StageClock
from reid_pipeline.pipeline.protocols import TrackedBoxes
from reid_pipeline.pipeline.views import cut, store_pixels
from tests.pipeline.builders import MeanColourEncoder

STEP_US = 100_000
PICTURE = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)


class LaneTracker:
    """The smallest tracker: a lane of 100 pixels is a tracklet, which ends when it is empty for 20 frames."""

    def __init__(self):
        self._unseen = {}

    def update(self, detections, appearance):
        numbers = (detections.boxes[:, 0] // 100 + 1).astype(int).tolist()
        self._unseen = {number: unseen + 1 for number, unseen in self._unseen.items()} | dict.fromkeys(numbers, 0)
        ended = tuple(number for number, unseen in self._unseen.items() if unseen > 20)
        for number in ended:
            del self._unseen[number]
        return TrackedBoxes(tuple(numbers), detections.boxes, detections.scores, ended)

    def close(self):
        return tuple(self._unseen)


class Camera:
    """Feeds people, given as {x: score}, to a `CameraAnalysis`."""

    def __init__(self, floor=None):
        self.clock = StageClock()
        self.analysis = CameraAnalysis("hall", LaneTracker(), MeanColourEncoder(), self.clock, floor)

    def frame(self, index, people=None):
        boxes = np.array([[x, 20, x + 40, 130] for x in people or {}], np.float32).reshape(-1, 4)
        scores = np.array(list((people or {}).values()), np.float32)
        return self.analysis.process(Frame("hall", index, index * STEP_US, PICTURE, 0.0), Detections(boxes, scores))


@pytest.fixture
def camera():
    return Camera()


def test_short_gaps_are_filled_along_a_straight_line(camera):
    camera.frame(1, {0: 0.9})
    (run,) = camera.frame(5, {8: 0.7}).box_runs
    assert run.number == 1
    assert run.frames.tolist() == [2, 3, 4, 5]
    assert run.times_us.tolist() == [200_000, 300_000, 400_000, 500_000]
    np.testing.assert_array_equal(run.boxes[:, 0], [2, 4, 6, 8])
    np.testing.assert_allclose(run.scores, 0.7)


@pytest.mark.parametrize(("gap", "filled"), [(1, 1), (10, 10), (11, 1), (19, 1)])
def test_long_gaps_are_left_open(camera, gap, filled):
    camera.frame(1, {0: 0.9})
    (run,) = camera.frame(1 + gap, {0: 0.9}).box_runs
    assert run.frames.tolist() == list(range(2 + gap - filled, 2 + gap))


def test_all_box_runs_together_have_each_frame_once(camera):
    random = np.random.default_rng(3)
    runs = []
    for index in range(1, 60):
        people = {lane * 100 + index: 0.9 for lane in range(2) if random.random() < 0.4}
        runs += camera.frame(index, people).box_runs
    for number in (1, 2):
        frames = [frame for run in runs if run.number == number for frame in run.frames.tolist()]
        assert frames == sorted(set(frames))
        assert len(frames) > 30


def test_the_update_says_who_started_is_seen_and_ended(camera):
    camera.frame(1, {0: 0.9})
    update = camera.frame(2, {0: 0.9, 100: 0.9}).update
    assert (update.camera, update.frame, update.time_us) == ("hall", 2, 200_000)
    assert (update.started, update.seen, update.ended) == (((2, 2),), (1, 2), ())
    updates = [camera.frame(index, {100: 0.9}).update for index in range(3, 30)]
    assert [(update.frame, update.ended) for update in updates if update.ended] == [(23, (1,))]
    assert not any(update.started for update in updates)


def test_the_update_says_where_those_stand_who_are_in_the_picture_as_a_whole(camera):
    update = camera.frame(3, {1: 0.9, 100: 0.9, 279: 0.9}).update
    assert update.seen == (1, 2, 3)
    [feet] = update.feet  # the others touch an edge
    assert (feet.number, feet.times_us.tolist(), feet.feet.tolist()) == (2, [300_000], [[120.0, 130.0, 110.0]])


def test_views_come_with_the_embeddings_of_the_stored_pixels(camera):
    results = [camera.frame(index, {index: 0.9, 150: 0.9}) for index in range(1, 30)]
    views = [view for result in results for view in result.views]
    assert {view.number for view in views} == {1, 2}
    for view in views:
        pixels = cv2.imdecode(np.frombuffer(view.jpeg, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(view.embedding, MeanColourEncoder().encode([pixels])[0])
        assert view.model_hash == MeanColourEncoder.model_hash
        assert view.time_us == view.frame * STEP_US
        assert pixels.shape[:2] == (110, 40)
    for result in results:
        told = [(view.number, view.quality) for view in result.update.views]
        assert told == [(view.number, view.quality) for view in result.views]


def test_a_tracklet_that_ends_gives_its_last_view(camera):
    camera.frame(1, {0: 0.9})
    results = [camera.frame(index) for index in range(2, 30)]
    views = [(result.frame.index, view.number, view.frame) for result in results for view in result.views]
    assert views == [(5, 1, 1)]  # it was due by its time
    camera.frame(30, {100: 0.9})
    camera.frame(31, {100: 0.9})
    last = camera.analysis.close()
    views, update = last.views, last.update
    assert [view.number for view in views] == [2]
    assert (update.frame, update.time_us, update.ended) == (31, 31 * STEP_US, (2,))
    assert [view.number for view in update.views] == [2]


def test_close_without_any_frame(camera):
    last = camera.analysis.close()
    views, update = last.views, last.update
    assert views == ()
    assert (update.started, update.seen, update.views, update.ended) == ((), (), (), ())


def test_a_frame_without_people(camera):
    result = camera.frame(1)
    assert (result.box_runs, result.views, result.update.seen) == ((), (), ())


def test_its_time_is_told_by_stage(camera):
    for index in range(1, 10):
        camera.frame(index, {0: 0.9})
    assert set(camera.clock.seconds()) == {"blur", "track", "encode"}


def test_feet_know_the_floor_that_was_given_in_parts_of_the_picture():
    corners = [(0.1, 0.9), (0.9, 0.9), (0.7, 0.2), (0.3, 0.2)]
    places = [(0.0, 0.0), (4.0, 0.0), (4.0, 6.0), (0.0, 6.0)]
    camera = Camera(GivenFloor.of(corners, places))
    [feet] = camera.frame(1, {12: 0.9}).update.feet  # its feet are at 32, 130
    parts = GivenFloor.of([(x * 320, y * 240) for x, y in corners], places)
    np.testing.assert_allclose(feet.floor.homography, parts.homography, atol=1e-5)
    assert Camera().frame(1, {12: 0.9}).update.feet[0].floor is None


def test_no_head_is_in_a_view_or_left_in_the_frame():
    """Also of those who are so little sure that they only continue a tracklet."""
    analysis = CameraAnalysis("hall", LaneTracker(), MeanColourEncoder(), StageClock(), blur_heads=True)
    boxes = np.array([[0, 20, 40, 130], [150, 20, 190, 130]], np.float32)
    for index in range(1, 12):
        image = PICTURE.copy()
        found = Detections(boxes, np.array([0.9, 0.15], np.float32))
        result = analysis.process(Frame("hall", index, index * STEP_US, image, 0.0), found)
        expected = PICTURE.copy()
        blur_heads(expected, boxes)
        np.testing.assert_array_equal(image, expected)
        for view in result.views:
            crop = cut(expected, np.array(view.box, np.float32))
            np.testing.assert_array_equal(view.embedding, MeanColourEncoder().encode([store_pixels(crop)[1]])[0])
    assert (image != PICTURE).any()


class UnsureTracker(LaneTracker):
    """Is unsure of everybody in some frames."""

    def __init__(self, frames):
        super().__init__()
        self._frames = frames
        self._index = 0

    def update(self, detections, appearance):
        self._index += 1
        tracked = super().update(detections, appearance)
        return replace(tracked, unsure=frozenset(tracked.numbers if self._index in self._frames else ()))


@pytest.fixture
def doubtful():
    camera = Camera()
    camera.analysis = CameraAnalysis("hall", UnsureTracker(range(3, 26)), MeanColourEncoder(), camera.clock)
    return camera


def test_who_is_unsure_is_not_seen_until_it_is_sure(doubtful):
    results = [doubtful.frame(index, {0: 0.9}) for index in range(1, 27)]
    assert [result.update.seen for result in results] == [(1,), (1,), *[()] * 23, (1,)]
    assert results[-1].box_runs[0].frames.tolist() == list(range(3, 27))


def test_where_the_unsure_stood_is_told_when_they_are_sure(doubtful):
    updates = [doubtful.frame(index, {10: 0.9}).update for index in range(1, 27)]
    told = [(update.frame, feet.times_us.tolist()) for update in updates for feet in update.feet]
    later = [index * STEP_US for index in range(3, 27)]
    assert told == [(1, [STEP_US]), (2, [2 * STEP_US]), (26, later)]


def test_what_is_unsure_is_no_view(doubtful):
    results = [doubtful.frame(index, {0: 0.5 if index < 3 else 0.9}) for index in range(1, 26)]
    assert [view.frame for result in results for view in result.views] == [1]


def test_a_tracklet_that_ends_unsure_was_there_until_its_last_box(doubtful):
    for index in range(1, 5):
        doubtful.frame(index, {0: 0.9})
    results = [doubtful.frame(index) for index in range(5, 30)]
    [(update, runs)] = [(result.update, result.box_runs) for result in results if result.update.ended]
    assert (update.ended, update.seen, update.left) == ((1,), (), {1: (4, 4 * STEP_US)})
    assert [run.frames.tolist() for run in runs] == [[3, 4]]


def test_the_end_of_the_run_gives_out_what_waits(doubtful):
    for index in range(1, 5):
        doubtful.frame(index, {0: 0.9})
    last = doubtful.analysis.close()
    assert [run.frames.tolist() for run in last.box_runs] == [[3, 4]]
    assert (last.update.ended, last.update.left) == ((1,), {1: (4, 4 * STEP_US)})


def test_a_tracklet_has_begun_where_its_trail_does():
    camera = Camera()
    camera.analysis = CameraAnalysis("hall", LateTracker(), MeanColourEncoder(), camera.clock)
    results = [camera.frame(index, {2 * index: 0.9}) for index in range(1, 5)]
    update = results[-1].update
    assert (update.started, update.began_us, update.time_us) == (((1, 1),), {1: STEP_US}, 4 * STEP_US)
    assert results[-1].box_runs[0].frames.tolist() == [1, 2, 3, 4]


class LateTracker(LaneTracker):
    """Shows nobody before the fourth frame."""

    _index = 0

    def update(self, detections, appearance):
        self._index += 1
        none = Detections(detections.boxes[:0], detections.scores[:0])
        return super().update(detections if self._index > 3 else none, appearance)
