"""Each filter of the collector alone, worked out by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from reid_pipeline.pipeline.corpus_collector import (
    MOST,
    RETRY_US,
    CorpusCollector,
    difference,
    shows_person,
    spacing_us,
)
from reid_pipeline.pipeline.datatypes import Frame
from reid_pipeline.pipeline.protocols import TrackedBoxes
from reid_pipeline.pipeline.views import cut, encode_jpeg

HEIGHT, WIDTH = 240, 320
SECOND_US = 1_000_000
GOOD = (100, 60, 140, 160)


def noise(seed, height=HEIGHT, width=WIDTH):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)


def shown(*boxes, scores=None):
    scores = [0.9] * len(boxes) if scores is None else scores
    return shows_person(np.array(boxes, np.float32), np.array(scores, np.float32), (HEIGHT, WIDTH)).tolist()


class Camera:
    """One that shows something new at each place in each frame, unless told otherwise."""

    def __init__(self):
        self.collector = CorpusCollector("hall")
        self.index = 0

    def see(self, time_us, *boxes, numbers=(1,), image=None, scores=None, ended=(), unsure=()):
        self.index += 1
        image = noise(self.index) if image is None else image
        scores = np.array([0.9] * len(boxes) if scores is None else scores, np.float32)
        tracked = TrackedBoxes(numbers, np.array(boxes, np.float32).reshape(-1, 4), scores, ended, frozenset(unsure))
        found = self.collector.collect(Frame("hall", self.index, time_us, image, 0.0), tracked)
        return [each.number for each in found]


@pytest.fixture
def camera():
    return Camera()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (GOOD, True),
        ((100, 60, 123.9, 130), False),  # narrower than 24
        ((100, 60, 124, 130), True),
        ((100, 60, 160, 149), False),  # height less than 1.5 widths
        ((100, 60, 160, 150), True),
        ((100, 20, 130, 171), False),  # height more than 5 widths
        ((100, 20, 130, 170), True),
        ((2, 60, 42, 160), False),  # at the left edge
        ((278, 60, 318, 160), False),  # at the right edge
        ((100, 138, 140, 238), False),  # at the bottom
        ((100, 0, 140, 100), True),  # the head may be cut off, as by a camera that hangs low
    ],
)
def test_boxes_are_chosen_by_shape_and_place(box, expected):
    assert shown(box) == [expected]


def test_boxes_are_chosen_by_confidence():
    assert shown(GOOD, (200, 60, 240, 160), scores=[0.49, 0.5]) == [False, True]


def test_whoever_is_covered_by_another_is_left_out():
    # 14 of 40 columns are shared: 0.35 of either. Then 15: 0.375.
    assert shown(GOOD, (126, 60, 166, 160)) == [True, True]
    assert shown(GOOD, (125, 60, 165, 160)) == [False, False]
    # A small one in front of a large one covers little of it, and is itself within the large one.
    assert shown((100, 20, 180, 220), (110, 100, 140, 160)) == [True, False]


def test_the_crop_is_what_the_box_shows(camera):
    image = noise(3)
    frame = Frame("hall", 1, 7 * SECOND_US, image, 0.0)
    tracked = TrackedBoxes((4,), np.array([GOOD], np.float32), np.array([0.9], np.float32), ())
    (found,) = camera.collector.collect(frame, tracked)
    assert (found.camera, found.number, found.crop.time_us) == ("hall", 4, 7 * SECOND_US)
    assert (found.crop.width, found.crop.height) == (40, 100)
    assert found.crop.jpeg == encode_jpeg(cut(image, np.array(GOOD)))
    assert found.crop.quality == pytest.approx(0.9 * 100 / 128)  # confidence and height; sharp, whole, alone


def test_one_crop_a_second_then_ever_fewer(camera):
    pictures = [noise(seed) for seed in range(7)]
    times_us = range(0, 1200 * SECOND_US, SECOND_US // 2)
    kept = [t / SECOND_US for t in times_us if camera.see(t, GOOD, image=pictures[camera.index % len(pictures)])]
    assert kept[:9] == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    assert kept[9:] == [13, 21, 37, 69, 133, 261, 517]
    assert len(kept) == MOST == 16
    assert [spacing_us(crops) / SECOND_US for crops in (1, 7, 8, 9, 15)] == [1, 1, 2, 4, 256]


def test_each_tracklet_counts_for_itself(camera):
    both = (GOOD, (200, 60, 240, 160))
    assert camera.see(0, GOOD) == [1]
    assert camera.see(500_000, *both, numbers=(1, 2)) == [2]
    assert camera.see(1_000_000, *both, numbers=(1, 2)) == [1]
    assert camera.see(1_500_000, *both, numbers=(1, 2)) == [2]


def test_a_box_that_would_not_do_is_followed_by_the_next_that_does(camera):
    assert camera.see(0, (0, 60, 40, 160)) == []
    assert camera.see(100_000, GOOD) == []  # not looked at again so soon
    assert camera.see(200_000, GOOD) == [1]


def test_blurred_crops_are_left_out(camera):
    blurred = cv2.GaussianBlur(noise(1), (0, 0), 9)
    assert camera.see(0, GOOD, image=blurred) == []
    assert camera.see(SECOND_US, GOOD, image=noise(1)) == [1]


def test_what_shows_nothing_new_is_left_out(camera):
    still = noise(1)
    # Half a grey level of noise, as a good camera has.
    again = np.clip(still.astype(int) + np.random.default_rng(2).integers(-1, 2, still.shape), 0, 255).astype(np.uint8)
    assert camera.see(0, GOOD, image=still) == [1]
    assert [camera.see(second * SECOND_US, GOOD, image=again) for second in range(1, 9)] == [[]] * 8
    assert camera.see(9 * SECOND_US, GOOD, image=noise(2)) == [1]


def test_difference_by_hand():
    one, other = np.full((2, 2), 10, np.uint8), np.array([[10, 14], [6, 10]], np.uint8)
    assert difference(one, other) == 2


def test_a_tracklet_that_ended_is_forgotten(camera):
    camera.see(0, GOOD)
    assert camera.see(SECOND_US, numbers=(), ended=(1,)) == []
    assert not camera.collector._tracklets


def test_a_frame_without_people_gives_nothing(camera):
    assert camera.see(0, numbers=()) == []


def test_nobody_is_taken_while_it_is_unsure_who_it_is(camera):
    """Crops of one tracklet are taken for one person by whoever learns from them."""
    assert camera.see(0, GOOD, unsure=[1]) == []
    assert camera.see(RETRY_US, GOOD) == [1]
