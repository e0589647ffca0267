"""Which camera's frame comes next. Everything else of `runner` is tested by whole runs in `test_run*.py`."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from reid_pipeline.pipeline.datatypes import Detections, Frame
from reid_pipeline.pipeline.feed import FeedItem
from reid_pipeline.pipeline.monitor import StageClock
from reid_pipeline.pipeline.runner import Camera, Run, Signals

PICTURE = np.zeros((4, 4, 3), np.uint8)


class Feed:
    """A camera whose next frames are known: their capture times, None where it has to be waited for."""

    state = "online"

    def __init__(self, name, *times):
        self.name = name
        self.times = list(times)

    @property
    def finished(self):
        return not self.times

    def peek_time(self):
        return self.times[0] if self.times else None

    def take(self):
        return FeedItem(Frame(self.name, 1, self.times.pop(0), PICTURE, 0.0), PICTURE)


class NothingFound:
    """A detector that is never busy and finds nobody."""

    capacity = 1000

    def submit(self, prepared, size, when_done):
        return self

    def done(self):
        return True

    def result(self):
        return Detections.empty()


def order_of(*cameras, turns):
    """Names of the cameras in the order in which their frames are taken."""
    made = [
        Camera(name=feed.name, source_id=1, feed=feed, live=live, analysis=None, total_frames=None)
        for feed, live in cameras
    ]
    run = Run(1, made, NothingFound(), None, StageClock(), Signals())
    taken = []
    for _ in range(turns):
        camera = run._choose()
        taken.append(camera and camera.name)
        if camera is not None:
            run._submit(camera)
    return taken


def test_files_come_in_capture_time_order():
    cameras = [(Feed("a", 10, 40, 50), False), (Feed("b", 20, 30, 60), False)]
    assert order_of(*cameras, turns=6) == ["a", "b", "b", "a", "a", "b"]


def test_files_of_one_time_come_in_the_order_of_the_configuration():
    assert order_of((Feed("b", 5, 6), False), (Feed("a", 5, 6), False), turns=4) == ["b", "a", "b", "a"]


def test_files_wait_for_one_that_is_not_ready():
    assert order_of((Feed("a", 10), False), (Feed("slow", None), False), turns=1) == [None]


def test_files_do_not_wait_for_one_that_is_over():
    assert order_of((Feed("a", 10), False), (Feed("over"), False), turns=1) == ["a"]


@pytest.mark.parametrize("count", [2, 3, 10])
def test_live_cameras_that_are_always_ready_get_equal_shares(count):
    # The first ones always hold older frames: by time alone the others would starve.
    cameras = [(Feed(f"camera{index}", *range(index * 1000, index * 1000 + 200)), True) for index in range(count)]
    shares = Counter(order_of(*cameras, turns=20 * count))
    assert set(shares.values()) == {20}
    assert len(shares) == count


def test_live_cameras_do_not_wait_for_each_other():
    assert order_of((Feed("away", None), True), (Feed("here", 1, 2), True), turns=2) == ["here", "here"]


def test_files_and_live_cameras_share_the_detector():
    cameras = [(Feed("file", *range(100)), False), (Feed("live", *range(1000, 1100)), True)]
    assert Counter(order_of(*cameras, turns=40)) == {"file": 20, "live": 20}


def test_a_file_that_is_not_ready_holds_up_no_live_camera():
    assert order_of((Feed("file", None), False), (Feed("live", 1, 2), True), turns=2) == ["live", "live"]
