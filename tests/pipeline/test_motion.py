import numpy as np
import pytest

from reid_pipeline.pipeline.motion import UNSURE_SIZE, BoxMotion, to_centres, to_corners

POSITION, VELOCITY = 1 / 20, 1 / 160  # noise weights of the paper


class MatrixFilter:
    """The obvious version: one box, an 8x8 covariance, the textbook equations."""

    def __init__(self, centre):
        height = centre[3]
        self.mean = np.concatenate([centre, np.zeros(4)])
        self.covariance = np.diag([(2 * POSITION * height) ** 2] * 4 + [(10 * VELOCITY * height) ** 2] * 4)

    def predict(self, unseen):
        if unseen:
            self.mean[6:] = 0
        step = np.eye(8) + np.eye(8, k=4)
        self.mean = step @ self.mean
        noise = np.diag([(POSITION * self.mean[3]) ** 2] * 4 + [(VELOCITY * self.mean[3]) ** 2] * 4)
        self.covariance = step @ self.covariance @ step.T + noise

    def correct(self, centre, sureness):
        observe = np.eye(4, 8)
        times = 1 + (UNSURE_SIZE - 1) * (1 - sureness)
        noise = np.diag([1, 1, times**2, times**2]) * (POSITION * self.mean[3]) ** 2
        gain = self.covariance @ observe.T @ np.linalg.inv(observe @ self.covariance @ observe.T + noise)
        self.mean = self.mean + gain @ (centre - observe @ self.mean)
        self.covariance = (np.eye(8) - gain @ observe) @ self.covariance


def walk(random, count, frames):
    """Boxes ``(frames, count, 4)`` that wander and change their size."""
    start = np.array([[200.0, 300.0, 40.0, 100.0]]) + random.normal(0, 5, (count, 4))
    steps = random.normal(0, 1, (frames, count, 4))
    return np.array([to_corners(start + steps[: frame + 1].sum(axis=0)) for frame in range(frames)])


def test_agrees_with_a_matrix_filter():
    random = np.random.default_rng(1)
    walks = walk(random, 3, 40)
    motion = BoxMotion()
    motion.add(walks[0])
    slow = [MatrixFilter(centre) for centre in to_centres(walks[0])]
    seen = np.ones(3, bool)
    for boxes in walks[1:]:
        motion.predict(~seen)
        for each, was_seen in zip(slow, seen, strict=True):
            each.predict(not was_seen)
        seen = random.random(3) < 0.7
        rows = np.flatnonzero(seen)
        sureness = random.random(3)
        motion.correct(rows, boxes[rows], sureness[rows])
        for row in rows:
            slow[row].correct(to_centres(boxes)[row], sureness[row])
        np.testing.assert_allclose(motion.position, [each.mean[:4] for each in slow], rtol=1e-9)
        np.testing.assert_allclose(motion.velocity, [each.mean[4:] for each in slow], atol=1e-9)
        np.testing.assert_allclose(motion.spread, [np.sqrt(each.covariance[0, 0]) for each in slow], rtol=1e-9)


def test_centres_and_corners_are_inverse():
    boxes = np.array([[10, 20, 30, 80], [0, 0, 1, 1]], np.float32)
    np.testing.assert_array_equal(to_centres(boxes), [[20, 50, 20, 60], [0.5, 0.5, 1, 1]])
    np.testing.assert_array_equal(to_corners(to_centres(boxes)), boxes)
    assert to_corners(to_centres(boxes)).dtype == np.float32


def test_a_steady_walk_is_foreseen():
    motion = BoxMotion()
    box = np.array([[0, 0, 40, 100]], np.float32)
    motion.add(box)
    for _ in range(60):
        box = box + np.float32([4, 2, 4, 2])
        motion.predict(np.array([False]))
        motion.correct(np.array([0]), box, np.ones(1))
    motion.predict(np.array([False]))
    np.testing.assert_allclose(motion.boxes, box + np.float32([4, 2, 4, 2]), atol=0.2)


def test_who_is_half_hidden_keeps_the_size():
    whole, half = np.array([[0, 0, 40, 100]], np.float32), np.array([[0, 0, 20, 60]], np.float32)
    believed, doubted = BoxMotion(), BoxMotion()
    for motion, sureness in ((believed, 1.0), (doubted, 0.0)):
        motion.add(whole)
        for box, trust in ((whole, 1.0), (whole, 1.0), (whole, 1.0), (half, sureness)):
            motion.predict(np.array([False]))
            motion.correct(np.array([0]), box, np.array([trust]))
    assert believed.position[0, 3] < 80
    assert doubted.position[0, 3] > 95
    np.testing.assert_array_equal(believed.position[0, :2], doubted.position[0, :2])  # where it is, is believed


def test_unseen_boxes_keep_their_size_and_grow_unsure():
    motion = BoxMotion()
    motion.add(np.array([[0, 0, 40, 100]], np.float32))
    motion.velocity[:] = [[5, 0, 3, 3]]
    before = motion.spread
    motion.predict(np.array([True]))
    np.testing.assert_array_equal(motion.position, [[25, 50, 40, 100]])
    assert motion.spread > before


def test_keep_and_restart_touch_only_their_rows():
    boxes = np.array([[0, 0, 40, 100], [100, 0, 140, 90], [200, 0, 240, 80]], np.float32)
    motion = BoxMotion()
    motion.add(boxes)
    motion.predict(np.zeros(3, bool))
    motion.correct(np.arange(3), boxes + 3, np.ones(3))
    motion.keep(np.array([True, False, True]))
    kept = motion.position[1].copy(), motion.velocity[1].copy()
    moved = np.array([[500, 0, 540, 100]], np.float32)
    motion.restart(np.array([0]), moved)
    fresh = BoxMotion()
    fresh.add(moved)
    assert len(motion) == 2
    np.testing.assert_array_equal(motion.boxes[0], moved[0])
    np.testing.assert_array_equal(motion.velocity[0], 0)
    assert motion.spread[0] == pytest.approx(fresh.spread[0])
    np.testing.assert_array_equal((motion.position[1], motion.velocity[1]), kept)


def test_a_kept_filter_goes_on_as_if_it_had_been_alone():
    random = np.random.default_rng(2)
    walks = walk(random, 3, 20)
    together, alone = BoxMotion(), BoxMotion()
    for step, boxes in enumerate(walks):
        for motion, seen in ((together, boxes[1:] if step > 10 else boxes), (alone, boxes[2:])):
            if step == 0:
                motion.add(seen)
            motion.predict(np.zeros(len(motion), bool))
            motion.correct(np.arange(len(motion)), seen, np.ones(len(motion)))
        if step == 10:
            together.keep(np.array([False, True, True]))
    np.testing.assert_array_equal(together.position[1:], alone.position)
    np.testing.assert_array_equal(together.velocity[1:], alone.velocity)
    np.testing.assert_array_equal(together.spread[1:], alone.spread)


def test_no_box_at_all():
    motion = BoxMotion()
    motion.add(np.empty((0, 4), np.float32))
    motion.predict(np.empty(0, bool))
    motion.correct(np.empty(0, int), np.empty((0, 4), np.float32), np.empty(0))
    assert motion.boxes.shape == (0, 4)
