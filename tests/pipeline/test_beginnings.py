"""Where tracklets were before they began, on hand-made detections."""

import numpy as np
import pytest

from reid_pipeline.pipeline.beginnings import REACH_US, Beginnings
from reid_pipeline.pipeline.datatypes import Detections

STEP_US = 125_000
NOBODY = np.empty((0, 4), np.float32)


def box(x, width=40.0):
    return np.array([x, 100, x + width, 200], np.float32)


def note(beginnings, frame, people, tracked=NOBODY):
    """Notes a frame with people, given as {x: score}."""
    boxes = np.array([box(x) for x in people], np.float32).reshape(-1, 4)
    beginnings.note(frame, frame * STEP_US, Detections(boxes, np.array(list(people.values()), np.float32)), tracked)


def places(trail):
    return [(each.frame, float(each.box[0])) for each in trail]


@pytest.fixture
def beginnings():
    return Beginnings()


def test_a_trail_leads_back_along_weak_detections(beginnings):
    for frame in range(1, 6):
        note(beginnings, frame, {8.0 * frame: 0.3, 300: 0.9})
    trail = beginnings.trail(6 * STEP_US, box(48))
    assert places(trail) == [(frame, 8.0 * frame) for frame in range(1, 6)]
    assert [each.time_us for each in trail] == [frame * STEP_US for frame in range(1, 6)]
    assert [each.score for each in trail] == pytest.approx([0.3] * 5)


def test_what_is_in_one_trail_is_in_no_other(beginnings):
    note(beginnings, 1, {10: 0.5})
    assert len(beginnings.trail(2 * STEP_US, box(12))) == 1
    assert beginnings.trail(2 * STEP_US, box(10)) == []


def test_what_was_tracked_or_hardly_detected_leads_nowhere(beginnings):
    note(beginnings, 1, {10: 0.5}, tracked=box(14)[None])
    note(beginnings, 2, {10: 0.1})
    assert beginnings.trail(3 * STEP_US, box(10)) == []


def test_somebody_beside_the_way_is_not_on_it(beginnings):
    note(beginnings, 1, {60: 0.9})
    assert beginnings.trail(2 * STEP_US, box(40)) == []


@pytest.mark.parametrize(("missed", "found"), [(0, 3), (2, 3), (3, 0)])
def test_few_frames_may_be_missing(beginnings, missed, found):
    for frame in (1, 2, 3):
        note(beginnings, frame, {10: 0.5})
    for frame in range(4, 4 + missed):
        note(beginnings, frame, {})
    assert len(beginnings.trail((4 + missed) * STEP_US, box(10))) == found


def test_the_speed_carries_over_a_missing_frame(beginnings):
    note(beginnings, 1, {24: 0.5, 46: 0.0})  # too far from 44, were it not for the speed
    note(beginnings, 2, {})
    note(beginnings, 3, {44: 0.5})
    note(beginnings, 4, {54: 0.5})
    assert places(beginnings.trail(5 * STEP_US, box(64))) == [(1, 24), (3, 44), (4, 54)]


def test_the_speed_carries_on_where_steps_are_long(beginnings):
    note(beginnings, 1, {10: 0.5})
    note(beginnings, 2, {34: 0.5})
    note(beginnings, 3, {52: 0.5})
    assert places(beginnings.trail(4 * STEP_US, box(64))) == [(1, 10), (2, 34), (3, 52)]


def test_a_trail_does_not_reach_back_for_ever(beginnings):
    frames = 2 * REACH_US // STEP_US
    for frame in range(frames):
        note(beginnings, frame, {10: 0.5})
    trail = beginnings.trail(frames * STEP_US, box(10))
    assert len(trail) == REACH_US // STEP_US
    assert trail[-1].frame == frames - 1
