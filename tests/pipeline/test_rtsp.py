"""Live cameras: a real RTSP server in a process of its own, which the tests kill and start again."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import pytest

from reid_pipeline.pipeline.errors import SourceLost, SourceNotFound
from reid_pipeline.pipeline.feed import CameraFeed, FeedSettings, FeedTiming
from reid_pipeline.pipeline.sources import SourceSpec, build_source, check_source
from tests.pipeline.rtsp import PASSWORD, Server, needs_rtsp_server

pytestmark = needs_rtsp_server

BACKENDS = ["ffmpeg", "gstreamer"]
QUICK = FeedTiming(first_wait_s=0.1, longest_wait_s=0.4, stall_s=10.0)


@pytest.fixture
def serve(make_clip) -> Iterator[Callable[..., Server]]:
    clip = make_clip("camera.mp4", gop=5)
    servers = []

    def start(**options: object) -> Server:
        servers.append(Server(clip, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def watch(observer) -> Iterator[Callable[[str, str], CameraFeed]]:
    feeds = []

    def start(camera: str, url: str, backend: str) -> CameraFeed:
        settings = FeedSettings(live=True, prepare=observer.prepare, wake=observer.wake, timing=QUICK)
        make_source = partial(build_source, SourceSpec(camera, url, backend=backend))
        feeds.append(CameraFeed(camera, make_source, settings, observer.on_state))
        feeds[-1].start()
        return feeds[-1]

    yield start
    for feed in feeds:
        feed.stop()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_frames_come_with_rising_times_near_now(serve, number_of, backend, transport):
    source = build_source(SourceSpec("gate", serve().url(), transport=transport, backend=backend))
    assert source.live
    times, numbers = [], []
    for frame in source.frames():
        times.append(frame.time_us)
        numbers.append(number_of(frame.image))
        assert abs(frame.time_us / 1e6 - time.time()) < 5.0
        assert frame.received_s <= time.monotonic()
        if len(times) == 12:
            break
    source.close()
    assert times == sorted(set(times))
    # The clip has 20 frames and goes round; each picture is the one after the last.
    assert [(later - earlier) % 20 for earlier, later in pairwise(numbers)] == [1] * 11


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_camera_that_dies_and_comes_back_is_online_again(serve, watch, observer, backend):
    server = serve()
    feed = watch("gate", server.url(), backend)
    observer.until(lambda: feed.frames_read > 3)
    server.kill()
    observer.until(lambda: feed.state == "reconnecting")
    before = feed.frames_read
    serve(port=server.port)
    observer.until(lambda: feed.state == "online" and feed.frames_read > before + 3)
    assert observer.names()[:3] == ["online", "reconnecting", "online"]
    index = feed.take().frame.index
    assert index >= before


def test_killing_one_camera_does_not_stop_another(serve, watch, observer):
    dying, living = serve(), serve()
    lost = watch("gate", dying.url(), "ffmpeg")
    well = watch("lobby", living.url(), "ffmpeg")
    observer.until(lambda: lost.frames_read > 0 and well.frames_read > 0)
    dying.kill()
    observer.until(lambda: lost.state == "reconnecting")
    before = well.frames_read
    observer.until(lambda: well.frames_read > before + 5)
    assert well.state == "online"


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_password_opens_the_camera_and_shows_up_nowhere(serve, watch, observer, caplog, backend):
    caplog.set_level(logging.DEBUG)
    server = serve(login=True)
    feed = watch("gate", server.url(f"viewer:{PASSWORD}@"), backend)
    observer.until(lambda: feed.frames_read > 0)
    server.kill()
    observer.until(lambda: feed.state == "reconnecting")
    feed.stop()
    seen = caplog.text + repr(observer.states) + repr(threading.enumerate())
    assert "127.0.0.1" in seen
    assert PASSWORD not in seen


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("login", "mount"), [("viewer:falsch@", "camera"), (f"viewer:{PASSWORD}@", "nothing")])
def test_a_wrong_password_and_a_wrong_path_are_told_without_it(serve, backend, login, mount):
    spec = SourceSpec("gate", serve(login=True).url(login, mount), backend=backend)
    with pytest.raises(SourceNotFound, match=r"gate: rtsp://.*127\.0\.0\.1") as caught:
        check_source(spec)
    shown = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in shown
    assert "falsch" not in shown
    assert caught.value.__context__ is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_live_stream_that_ends_is_lost(serve, backend):
    server = serve()
    count = 0
    with pytest.raises(SourceLost, match="stopped delivering"):
        for count, _ in enumerate(build_source(SourceSpec("gate", server.url(), backend=backend)).frames(), 1):
            if count == 1:
                server.kill()
    assert count >= 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_live_camera_can_be_checked(serve, backend):
    info = check_source(SourceSpec("gate", serve().url(), backend=backend))
    assert (info.width, info.height, info.frames, info.live) == (64, 48, None, True)
