"""Feeds over real files, and over live sources whose frames the test hands out one by one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from reid_pipeline.pipeline.datatypes import Frame, Image
from reid_pipeline.pipeline.errors import SourceBroken, SourceLost, SourceNotFound
from reid_pipeline.pipeline.feed import FILE_BUFFER_FRAMES, CameraFeed, FeedItem, FeedSettings, FeedTiming
from reid_pipeline.pipeline.sampling import Wanted
from reid_pipeline.pipeline.sources import SourceSpec, build_source

PATIENCE_S = 20.0
QUICK = FeedTiming(first_wait_s=0.001, longest_wait_s=0.004, stall_s=PATIENCE_S)


def same(image: Image) -> Image:
    return image


class HandedSource:
    """A live source that gives the frames which the test hands it, and ends as the test says."""

    live = True

    def __init__(self, wanted: Wanted) -> None:
        self.dropped: dict[str, int] = {}
        self.closed = threading.Event()
        self._wanted = wanted
        self._inbox: queue.Queue[int | Exception] = queue.Queue()
        self._index = 0

    def hand(self, what: int | Exception) -> None:
        """Gives a frame of this capture time in microseconds, or an error."""
        self._inbox.put(what)

    def frames(self) -> Iterator[Frame]:
        while not self.closed.is_set():
            try:
                what = self._inbox.get(timeout=0.01)
            except queue.Empty:
                continue
            if isinstance(what, Exception):
                raise what
            self._index += 1
            if self._wanted(what):
                yield Frame("gate", self._index, what, np.zeros((8, 8, 3), np.uint8), time.monotonic())
            else:
                self.dropped["sampled"] = self.dropped.get("sampled", 0) + 1

    def close(self) -> None:
        self.closed.set()


class Camera:
    """Makes one `HandedSource` for each connection, and keeps them."""

    def __init__(self) -> None:
        self.connections: list[HandedSource] = []
        self.refuse: Exception | None = None
        self.attempts = 0

    def connect(self, wanted: Wanted) -> HandedSource:
        self.attempts += 1
        if self.refuse is not None:
            raise self.refuse
        self.connections.append(HandedSource(wanted))
        return self.connections[-1]


@pytest.fixture
def file_feed(observer, make_clip) -> Iterator[Callable[..., CameraFeed]]:
    feeds = []

    def make(path: Path | None = None, skip_frames: int = 0, **settings) -> CameraFeed:
        spec = SourceSpec("lobby", str(path or make_clip()), skip_frames=skip_frames)
        prepare = settings.pop("prepare", observer.prepare)
        chosen = FeedSettings(live=False, prepare=prepare, wake=observer.wake, **settings)
        feeds.append(CameraFeed("lobby", partial(build_source, spec), chosen, observer.on_state))
        return feeds[-1]

    yield make
    for feed in feeds:
        feed.stop()


@pytest.fixture
def live_feed(observer) -> Iterator[Callable[..., CameraFeed]]:
    feeds = []

    def make(camera: Camera, **settings) -> CameraFeed:
        chosen = FeedSettings(live=True, prepare=same, wake=observer.wake, **{"timing": QUICK, **settings})
        feeds.append(CameraFeed("gate", camera.connect, chosen, observer.on_state))
        feeds[-1].start()
        return feeds[-1]

    yield make
    for feed in feeds:
        feed.stop()


def drain(feed: CameraFeed, observer) -> list[FeedItem]:
    """Takes everything up to the end."""
    items = []
    while not feed.finished:
        observer.until(lambda: feed.finished or feed.peek_time() is not None)
        if (item := feed.take()) is not None:
            items.append(item)
    return items


class TestFiles:
    def test_every_frame_is_handed_over_in_order(self, file_feed, observer, number_of):
        feed = file_feed()
        feed.start()
        items = drain(feed, observer)
        assert [number_of(item.frame.image) for item in items] == list(range(1, 21))
        assert items[0].prepared.shape == (24, 32, 3)
        assert (feed.frames_read, feed.dropped, feed.error) == (20, {}, None)
        assert observer.states == [("online", ""), ("ended", "end of file")]

    def test_it_waits_while_the_buffer_is_full(self, file_feed, observer):
        feed = file_feed()
        feed.start()
        # One more is prepared and waits for its place.
        observer.until(lambda: observer.prepared == FILE_BUFFER_FRAMES + 1)
        assert feed.frames_read == FILE_BUFFER_FRAMES
        feed.take()
        observer.until(lambda: observer.prepared == FILE_BUFFER_FRAMES + 2)
        assert feed.frames_read == FILE_BUFFER_FRAMES + 1

    def test_peek_tells_the_time_of_the_next_frame_and_leaves_it(self, file_feed, observer):
        feed = file_feed()
        assert feed.peek_time() is None
        assert feed.take() is None
        assert feed.lag == 0.0
        feed.start()
        observer.until(lambda: feed.peek_time() is not None)
        assert feed.peek_time() == 0
        assert feed.lag > 0.0
        assert feed.take().frame.time_us == 0
        observer.until(lambda: feed.peek_time() is not None)
        assert feed.peek_time() == 100_000

    def test_sampling_counts_what_it_leaves_out_and_does_not_prepare_it(self, file_feed, observer):
        feed = file_feed(sample_fps=2.5)
        feed.start()
        assert [item.frame.index for item in drain(feed, observer)] == [1, 5, 9, 13, 17]
        assert feed.dropped == {"sampled": 15}
        assert feed.frames_read == 20
        assert observer.prepared == 5

    def test_a_resumed_feed_reads_only_the_rest(self, file_feed, observer):
        feed = file_feed(skip_frames=15)
        feed.start()
        assert [item.frame.index for item in drain(feed, observer)] == [16, 17, 18, 19, 20]
        assert feed.frames_read == 5

    def test_it_ends_at_the_frame_limit(self, file_feed, observer):
        feed = file_feed(max_frames=3)
        feed.start()
        assert len(drain(feed, observer)) == 3
        assert observer.states[-1] == ("ended", "reached 3 frames")

    def test_real_time_pace_keeps_frames_back(self, file_feed, observer):
        started_s = time.monotonic()
        feed = file_feed(pace="realtime", max_frames=4)
        feed.start()
        assert len(drain(feed, observer)) == 4
        assert time.monotonic() - started_s >= 0.3  # the fourth frame of 10 a second cannot come sooner

    def test_stop_does_not_wait_for_the_next_frames_time(self, file_feed, observer, make_clip):
        feed = file_feed(pace="realtime")
        feed.start()
        observer.until(lambda: feed.peek_time() is not None)
        feed.stop()
        feed.take()
        assert feed.finished
        assert observer.states[-1] == ("ended", "stopped")

    def test_stop_frees_a_feed_that_waits_for_its_buffer(self, file_feed, observer):
        feed = file_feed()
        feed.start()
        observer.until(lambda: observer.prepared == FILE_BUFFER_FRAMES + 1)
        feed.stop()
        assert len(drain(feed, observer)) == feed.frames_read == FILE_BUFFER_FRAMES
        feed.stop()

    def test_a_file_that_breaks_off_is_broken_after_its_whole_frames(self, file_feed, observer, make_clip):
        path = make_clip(movflags="faststart")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        feed = file_feed(path)
        feed.start()
        items = drain(feed, observer)
        assert 5 <= len(items) == feed.frames_read < 15
        assert feed.state == "broken"
        assert isinstance(feed.error, SourceBroken)
        assert observer.states[-1] == ("broken", str(feed.error))

    def test_a_missing_file_fails(self, file_feed, observer, tmp_path):
        feed = file_feed(tmp_path / "none.mp4")
        feed.start()
        assert drain(feed, observer) == []
        assert feed.state == "failed"
        assert isinstance(feed.error, SourceNotFound)

    def test_an_error_in_the_thread_is_kept_and_never_silent(self, file_feed, observer):
        def break_down(image: Image) -> Image:
            raise ZeroDivisionError("detector at rtsp://user:geheim@host/ is gone")

        feed = file_feed(prepare=break_down)
        feed.start()
        assert drain(feed, observer) == []
        assert isinstance(feed.error, ZeroDivisionError)
        state, detail = observer.states[-1]
        assert state == "failed"
        assert detail.startswith("ZeroDivisionError: detector")
        assert "geheim" not in detail


class TestLive:
    def test_a_newer_frame_replaces_the_one_that_waits(self, live_feed, observer):
        camera = Camera()
        feed = live_feed(camera)
        observer.until(lambda: bool(camera.connections))
        for time_us in (10, 20, 30):
            camera.connections[0].hand(time_us)
        observer.until(lambda: feed.frames_read == 3)
        assert feed.dropped == {"overload": 2}
        assert feed.take().frame.time_us == 30
        assert feed.take() is None

    def test_every_frame_is_accounted_for(self, live_feed, observer):
        camera = Camera()
        feed = live_feed(camera, sample_fps=5.0)
        observer.until(lambda: bool(camera.connections))
        taken = 0
        for number in range(50):
            camera.connections[0].hand(number * 40_000)
            if number % 20 == 19:
                observer.until(lambda: feed.peek_time() is not None)
                taken += feed.take() is not None
        camera.connections[0].hand(50 * 40_000)  # wanted: with it, all that was left out before is known
        observer.until(lambda: feed.peek_time() == 2_000_000)
        assert feed.dropped["sampled"] == 40
        assert feed.frames_read == taken + 1 + sum(feed.dropped.values()) == 51

    @pytest.mark.parametrize("loss", [SourceLost("gate: gone"), SourceNotFound("gate: not there")])
    def test_a_lost_camera_is_connected_again(self, live_feed, observer, loss):
        camera = Camera()
        feed = live_feed(camera)
        observer.until(lambda: len(camera.connections) == 1)
        camera.connections[0].hand(1_000)
        observer.until(lambda: feed.state == "online")
        camera.connections[0].hand(loss)
        observer.until(lambda: len(camera.connections) == 2)
        assert camera.connections[0].closed.is_set()
        camera.connections[1].hand(2_000)
        observer.until(lambda: feed.peek_time() == 2_000)
        assert observer.states == [("online", ""), ("reconnecting", str(loss)), ("online", "")]

    def test_numbers_and_times_rise_over_a_reconnection(self, live_feed, observer):
        camera = Camera()
        feed = live_feed(camera)
        observer.until(lambda: len(camera.connections) == 1)
        for time_us in (1_000, 2_000):
            camera.connections[0].hand(time_us)
        observer.until(lambda: feed.frames_read == 2)
        assert feed.take().frame.index == 2
        camera.connections[0].hand(SourceLost("gate: gone"))
        observer.until(lambda: len(camera.connections) == 2)
        camera.connections[1].hand(1_500)  # the new connection's clock is a little behind
        observer.until(lambda: feed.peek_time() is not None)
        frame = feed.take().frame
        assert (frame.index, frame.time_us) == (3, 2_001)
        assert feed.frames_read == 3

    def test_numbers_count_on_from_an_earlier_run(self, live_feed, observer):
        camera = Camera()
        feed = live_feed(camera, after_frame=40)
        for connection, expected in enumerate((41, 42)):
            observer.until(lambda: len(camera.connections) == connection + 1)  # noqa: B023  # called at once
            camera.connections[connection].hand(1_000)
            observer.until(lambda: feed.peek_time() is not None)
            assert feed.take().frame.index == expected
            camera.connections[connection].hand(SourceLost("gate: gone"))

    def test_it_tries_again_for_ever_and_says_so_once(self, live_feed, observer):
        camera = Camera()
        camera.refuse = SourceLost("gate: no answer")
        feed = live_feed(camera)
        observer.until(lambda: camera.attempts >= 6)
        assert observer.states == [("reconnecting", "gate: no answer")]
        camera.refuse = None
        observer.until(lambda: bool(camera.connections))
        camera.connections[0].hand(5)
        observer.until(lambda: feed.state == "online")

    def test_a_silent_camera_is_closed_and_connected_again(self, live_feed, observer):
        camera = Camera()
        live_feed(camera, timing=FeedTiming(first_wait_s=0.001, longest_wait_s=0.004, stall_s=0.05))
        observer.until(lambda: len(camera.connections) >= 2)
        assert camera.connections[0].closed.is_set()
        assert observer.states[0] == ("reconnecting", "gate: no frame for 0.05 s")

    def test_a_camera_whose_frames_are_sampled_away_is_not_silent(self, live_feed, observer):
        camera = Camera()
        feed = live_feed(camera, sample_fps=0.001, timing=FeedTiming(stall_s=1.0))
        observer.until(lambda: bool(camera.connections))
        ended_s = time.monotonic() + 1.5
        while time.monotonic() < ended_s:
            camera.connections[0].hand(int(time.monotonic() * 1e6))
            camera.connections[0].closed.wait(0.05)
        assert len(camera.connections) == 1
        assert feed.state == "online"

    def test_stop_ends_a_feed_that_waits_to_reconnect(self, live_feed, observer):
        camera = Camera()
        camera.refuse = SourceLost("gate: no answer")
        feed = live_feed(camera, timing=FeedTiming(first_wait_s=1000.0, longest_wait_s=1000.0))
        observer.until(lambda: observer.names() == ["reconnecting"])
        feed.stop()
        assert feed.finished
        assert observer.states[-1] == ("ended", "stopped")

    def test_stop_ends_a_feed_that_waits_for_a_frame(self, live_feed, observer):
        camera = Camera()
        feed = live_feed(camera)
        observer.until(lambda: bool(camera.connections))
        feed.stop()
        assert feed.finished
        assert feed.error is None

    def test_other_errors_are_not_repaired(self, live_feed, observer):
        camera = Camera()
        camera.refuse = RuntimeError("a bug")
        feed = live_feed(camera)
        observer.until(lambda: feed.finished)
        assert (feed.state, camera.attempts) == ("failed", 1)
        assert str(feed.error) == "a bug"

    def test_one_cameras_loss_does_not_touch_another(self, live_feed, observer):
        lost, well = Camera(), Camera()
        lost.refuse = SourceLost("gate: no answer")
        live_feed(lost)
        feed = live_feed(well)
        observer.until(lambda: bool(well.connections) and lost.attempts > 3)
        well.connections[0].hand(7)
        observer.until(lambda: feed.peek_time() == 7)
        assert len(well.connections) == 1

    def test_it_ends_at_the_frame_limit(self, live_feed, observer):
        camera = Camera()
        feed = live_feed(camera, max_frames=2)
        observer.until(lambda: bool(camera.connections))
        for time_us in (1, 2, 3):
            camera.connections[0].hand(time_us)
        observer.until(lambda: feed.state == "ended")
        assert feed.frames_read == 2


def test_threads_are_named_for_the_camera_and_never_for_its_address(live_feed, observer):
    camera = Camera()
    live_feed(camera)
    observer.until(lambda: bool(camera.connections))
    assert {thread.name for thread in threading.enumerate()} >= {"camera-gate", "camera-gate-watch"}
