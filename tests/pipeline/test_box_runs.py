"""Which boxes are stored of which tracklet, and when, as a hand-made tracker says."""

from collections import defaultdict

import numpy as np
import pytest

from reid_pipeline.pipeline.box_runs import LONGEST_WAIT_US, BoxRuns
from reid_pipeline.pipeline.datatypes import Detections, Frame
from reid_pipeline.pipeline.protocols import TrackedBoxes

STEP_US = 100_000
PICTURE = np.zeros((4, 4, 3), np.uint8)


def box(x):
    return np.array([x, 100, x + 40, 200], np.float32)


class Site:
    """Feeds `BoxRuns` what a tracker says and collects what it gives out."""

    def __init__(self):
        self.runs = BoxRuns()
        self.boxes = defaultdict(dict)  # number: {frame: x}

    def frame(self, index, people, *, unsure=(), handed=(), ended=(), others=()):
        """People as {number: x}; others as x, who were only detected."""
        detected = np.array([box(x) for x in (*people.values(), *others)], np.float32).reshape(-1, 4)
        tracked = TrackedBoxes(
            tuple(people),
            detected[: len(people)],
            np.full(len(people), 0.9, np.float32),
            tuple(ended),
            frozenset(unsure),
            tuple(handed),
        )
        detections = Detections(detected, np.full(len(detected), 0.9, np.float32))
        given = self.runs.take(Frame("hall", index, index * STEP_US, PICTURE, 0.0), detections, tracked)
        self._collect(given)
        return given

    def end(self, *numbers):
        self._collect(self.runs.end(numbers))

    def _collect(self, given):
        assert len({run.number for run in given}) == len(given)
        for run in given:
            frames = run.frames.tolist()
            assert frames == sorted(set(frames))
            assert not set(frames) & set(self.boxes[run.number])
            assert all(frame > max(self.boxes[run.number], default=0) for frame in frames)
            assert run.times_us.tolist() == [frame * STEP_US for frame in frames]
            self.boxes[run.number] |= dict(zip(frames, run.boxes[:, 0].tolist(), strict=True))


@pytest.fixture
def site():
    return Site()


def test_a_tracklet_begins_with_the_trail_that_leads_to_it(site):
    site.frame(1, {}, others=[10])
    site.frame(2, {}, others=[12])
    (run,) = site.frame(3, {1: 14})
    assert (run.number, run.frames.tolist(), run.boxes[:, 0].tolist()) == (1, [1, 2, 3], [10, 12, 14])


def test_missing_frames_of_a_trail_are_filled_in(site):
    site.frame(1, {}, others=[10])
    site.frame(2, {})
    site.frame(3, {1: 14})
    assert site.boxes[1] == {1: 10, 2: 12, 3: 14}


def test_who_is_unsure_waits_and_gets_everything_when_sure(site):
    site.frame(1, {1: 10, 2: 200})
    assert [run.number for run in site.frame(2, {1: 12, 2: 202}, unsure=[1])] == [2]
    assert [run.number for run in site.frame(3, {1: 14, 2: 204}, unsure=[1])] == [2]
    site.frame(4, {1: 16, 2: 206})
    assert site.boxes == {1: {1: 10, 2: 12, 3: 14, 4: 16}, 2: {1: 200, 2: 202, 3: 204, 4: 206}}


def test_a_new_tracklet_does_not_wait_to_begin(site):
    assert [run.number for run in site.frame(1, {1: 10}, unsure=[1])] == [1]


def test_nobody_waits_for_ever(site):
    frames = LONGEST_WAIT_US // STEP_US + 2
    for frame in range(1, frames + 1):
        site.frame(frame, {1: 10}, unsure=[1])
    assert len(site.boxes[1]) == frames


@pytest.mark.parametrize("how", ["in a frame", "with the run"])
def test_what_waits_is_given_out_when_the_tracklet_ends(site, how):
    site.frame(1, {1: 10})
    site.frame(2, {1: 12}, unsure=[1])
    if how == "in a frame":
        site.frame(30, {}, ended=[1])
    else:
        site.end(1)
    assert site.boxes[1] == {1: 10, 2: 12}


def test_boxes_since_a_crossing_go_to_whom_they_belong(site):
    """Two who changed places where they were nearest to each other: each gets the other's boxes from then on."""
    first, second = [100, 110, 120, 132, 142, 152], [160, 150, 136, 126, 116, 106]
    site.frame(1, {1: first[0], 2: second[0]})
    for frame in range(2, 6):
        site.frame(frame, {1: first[frame - 1], 2: second[frame - 1]}, unsure=[1, 2])
    site.frame(6, {1: second[5], 2: first[5]}, handed=[(1, 2), (2, 1)])
    assert site.boxes[1] == {1: 100, 2: 110, 3: 120, 4: 132, 5: 116, 6: 106}
    assert site.boxes[2] == {1: 160, 2: 150, 3: 136, 4: 126, 5: 142, 6: 152}


def test_who_was_lost_gets_the_boxes_since_then(site):
    site.frame(1, {1: 100, 2: 160})
    site.frame(2, {1: 110, 2: 140}, unsure=[1, 2])
    site.frame(3, {1: 145}, unsure=[1, 2])  # it goes on with the other one, whom the tracker has lost
    site.frame(4, {1: 150}, unsure=[1, 2])
    site.frame(5, {2: 155}, unsure=[1], handed=[(1, 2)])
    site.end(1, 2)
    assert site.boxes[1] == {1: 100, 2: 110}
    assert site.boxes[2] == {1: 160, 2: 140, 3: 145, 4: 150, 5: 155}


def test_somebody_new_gets_the_boxes_since_the_largest_jump(site):
    site.frame(1, {1: 100})
    site.frame(2, {1: 104}, unsure=[1])
    site.frame(3, {1: 130}, unsure=[1])
    site.frame(4, {1: 134}, unsure=[1])
    site.frame(5, {2: 138}, handed=[(1, 2)], ended=[1])
    assert site.boxes == {1: {1: 100, 2: 104}, 2: {3: 130, 4: 134, 5: 138}}


def test_what_was_given_out_stays_where_it_is(site):
    site.frame(1, {1: 100, 2: 120})
    site.frame(2, {1: 104, 2: 124}, unsure=[1])
    site.frame(3, {1: 128, 2: 108}, handed=[(1, 2), (2, 1)])  # the other one was sure all along
    assert site.boxes == {1: {1: 100, 2: 104, 3: 128}, 2: {1: 120, 2: 124, 3: 108}}


def test_what_waits_at_the_end_is_dropped_where_the_same_person_may_have_gone_on(site):
    """A tracklet drifts off with weak boxes while its person goes on as a new tracklet beside them."""
    site.frame(1, {1: 100})
    for frame in range(2, 6):
        site.frame(frame, {1: 100}, unsure=[1])
    site.frame(6, {1: 100, 2: 120}, unsure=[1])
    site.frame(7, {1: 100, 2: 122, 3: 900}, unsure=[1])
    site.end(1)
    assert sorted(site.boxes[1]) == [1, 2, 3, 4, 5]


def test_somebody_far_away_takes_nothing_from_it(site):
    site.frame(1, {1: 100})
    site.frame(2, {1: 100, 3: 900}, unsure=[1])
    site.end(1)
    assert sorted(site.boxes[1]) == [1, 2]


def test_a_trail_does_not_reach_back_to_before_somebody_was_lost_there(site):
    for frame in (1, 2, 3):
        site.frame(frame, {1: 100}, others=[128])  # overlaps too little to be the same box
    for frame in (4, 5):
        site.frame(frame, {}, others=[122])
    site.frame(6, {2: 120})
    assert sorted(site.boxes[2]) == [4, 5, 6]


def test_nobody_gets_boxes_from_before_the_last_that_was_given_out(site):
    site.frame(1, {1: 100, 2: 160})
    site.frame(2, {1: 130, 2: 158}, unsure=[1])  # the largest jump, but the other one was in sight still
    site.frame(3, {1: 134}, unsure=[1])
    site.frame(4, {2: 138}, unsure=[1], handed=[(1, 2)])
    site.end(1)
    assert site.boxes[1] == {1: 100, 2: 130}
    assert site.boxes[2] == {1: 160, 2: 158, 3: 134, 4: 138}
