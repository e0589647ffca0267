import numpy as np
import pytest

from reid_pipeline.pipeline.clutter import CLEAR, LEARNT_S, Clutter
from reid_pipeline.pipeline.datatypes import Detections

POST = (100.0, 50.0, 130.0, 150.0)
STEP_US = 125_000


class Camera:
    """Shows boxes to `Clutter`, eight frames a second."""

    def __init__(self, step_us=STEP_US):
        self.clutter = Clutter()
        self.step_us = step_us
        self.time_us = 0

    def frame(self, *seen):
        """Takes (box, score) and gives the boxes that are kept."""
        self.time_us += self.step_us
        ranked = sorted(seen, key=lambda each: -each[1])
        boxes = np.array([box for box, _ in ranked], np.float32).reshape(-1, 4)
        scores = np.array([score for _, score in ranked], np.float32)
        kept = self.clutter.drop(Detections(boxes, scores), self.time_us)
        return [tuple(box) for box in kept.boxes.tolist()]

    def seconds(self, count, *seen):
        """What was kept of the last of so many seconds of the same."""
        kept = []
        for _ in range(round(count * 1e6 / self.step_us)):
            kept = self.frame(*seen)
        return kept


@pytest.fixture
def learnt():
    camera = Camera()
    assert camera.seconds(LEARNT_S - 1, (POST, 0.4)) == [POST]
    assert camera.seconds(2, (POST, 0.4)) == []
    return camera


def test_what_is_clear_is_never_left_out(learnt):
    assert learnt.frame((POST, CLEAR)) == [POST]
    assert Camera().seconds(30, (POST, CLEAR + 0.1)) == [POST]


def test_somebody_beside_it_is_kept(learnt):
    walker = (135.0, 40.0, 165.0, 150.0)
    assert learnt.frame((walker, 0.3), (POST, 0.4)) == [walker]


def test_a_walker_is_no_clutter():
    camera = Camera()
    for step in range(100):
        box = (10.0 + 4 * step, 50.0, 40.0 + 4 * step, 150.0)
        assert camera.frame((box, 0.3)) == [box]


def test_who_is_clear_now_and_then_is_no_clutter():
    camera = Camera()
    for _ in range(30):
        camera.seconds(2, (POST, 0.4))
        assert camera.frame((POST, CLEAR)) == [POST]
        assert camera.frame((POST, 0.4)) == [POST]


def test_what_is_seen_less_than_half_of_the_time_is_no_clutter():
    camera = Camera()
    for _ in range(200):
        camera.frame()
        camera.frame()
        assert camera.frame((POST, 0.4)) == [POST]


def test_it_is_forgotten_when_it_is_gone(learnt):
    learnt.seconds(11)
    assert learnt.frame((POST, 0.4)) == [POST]


def test_a_trembling_box_is_one_place():
    camera, rng = Camera(), np.random.default_rng(0)
    kept = 0
    for _ in range(200):
        box = tuple((np.array(POST) + rng.normal(0, 1.5, 4)).astype(np.float32).tolist())
        kept += len(camera.frame((box, 0.4)))
    assert kept < 60


@pytest.mark.parametrize("step_us", [40_000, 125_000, 200_000])
def test_it_takes_the_same_time_at_any_frame_rate(step_us):
    camera = Camera(step_us)
    frames = 0
    while camera.frame((POST, 0.4)):
        frames += 1
    assert frames * step_us / 1e6 == pytest.approx(LEARNT_S, abs=0.5)


def test_few_frames_a_second_do_not_learn_in_a_few_frames():
    camera = Camera(step_us=2_000_000)
    for _ in range(20):
        assert camera.frame((POST, 0.4)) == [POST]


def test_a_clock_that_jumps_teaches_nothing():
    camera = Camera()
    camera.frame((POST, 0.4))
    camera.time_us += 3_600_000_000
    camera.frame((POST, 0.4))
    camera.time_us -= 7_200_000_000
    assert camera.frame((POST, 0.4)) == [POST]


def test_nothing_at_all():
    assert Camera().frame() == []
