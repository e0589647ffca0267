from __future__ import annotations

import subprocess
import sys
import threading
import time
from itertools import pairwise

import av
import numpy as np
import pytest

from reid_pipeline.pipeline.clip_cutting import Span, cut_clips, cut_sighting
from reid_pipeline.pipeline.errors import InputError, SourceBroken
from reid_pipeline.pipeline.feed import FeedTiming
from reid_pipeline.pipeline.recorder import CLIP_S, CameraRecorder, recover
from reid_pipeline.pipeline.sources import SourceSpec, build_source
from reid_pipeline.storage.clips import LONGEST_US, Clips
from reid_pipeline.storage.database import open_database
from tests.pipeline.conftest import read_number
from tests.pipeline.footage import NOON_US, Stream, clip_frames, expected_clips, frames_of, keys_of, write_mjpeg
from tests.pipeline.rtsp import PASSWORD, Server, needs_rtsp_server
from tests.scene import write_settings

LONG = 250  # frames, at 10 a second
QUICK = FeedTiming(first_wait_s=0.05, longest_wait_s=0.2)


@pytest.fixture
def clips(tmp_path):
    with open_database(tmp_path / "data") as database:
        yield Clips(database)


class Recording:
    """A recorder, and ways to wait for it."""

    def __init__(self, clips, path, *, live=False, **spec):
        self.stopping, self.ended = threading.Event(), threading.Event()
        spec = SourceSpec("hall", str(path), start_us=NOON_US, **spec)
        self.recorder = CameraRecorder(spec, clips, self.stopping, live=live, timing=QUICK, ended=self.ended.set)
        self.recorder.start()

    def wait(self):
        assert self.ended.wait(30)
        if self.recorder.error is not None:
            raise self.recorder.error
        return self.recorder.recorded

    def stop(self):
        self.stopping.set()
        return self.wait()


def decoded(path, **spec):
    """Capture times and numbers as a run finds them."""
    source = build_source(SourceSpec("hall", str(path), start_us=NOON_US, **spec))
    return [(frame.time_us, read_number(frame.image)) for frame in source.frames()]


@pytest.mark.parametrize(
    ("name", "options", "spec"),
    [
        ("a.mp4", {}, {}),
        ("a.mp4", {"b_frames": 3}, {}),
        ("a.mp4", {"b_frames": 3}, {"fps": 7.0}),
        ("a.264", {"b_frames": 2}, {}),
        ("a.mkv", {"codec": "libx265"}, {}),
        ("a.avi", {"codec": "mpeg4"}, {}),
    ],
)
def test_a_file_is_kept_whole_with_the_times_of_a_run(clips, make_clip, tmp_path, name, options, spec):
    path = make_clip(name, LONG, gop=30, **options)

    recorded = Recording(clips, path, **spec).wait()

    found = clip_frames(clips, "hall")
    assert len(found) == recorded.clips >= 2
    # What a frame that is not shown in order depends on may lie in the clip before: all together nothing is lost.
    (cut,) = cut_clips(clips, Span("hall", 0, 2 * NOON_US), tmp_path / "cut")
    assert frames_of(cut.path, cut.first_us) == decoded(path, **spec)
    assert (cut.first_us, cut.last_us) == (NOON_US, decoded(path, **spec)[-1][0])


def test_each_clip_begins_at_a_key_frame_and_lasts_until_the_first_after_ten_seconds(clips, make_clip, tmp_path):
    Recording(clips, make_clip("a.mp4", LONG, gop=30)).wait()

    found = clip_frames(clips, "hall")
    begins = [*expected_clips(tmp_path / "a.mp4"), LONG]
    assert [[number - 1 for _, number in each] for each in found] == [[*range(*each)] for each in pairwise(begins)]
    assert (CLIP_S, len(found)) == (10, 3)
    stored = clips.between("hall", None, None)
    assert [(each.first_us, each.last_us) for each in stored] == [(each[0][0], each[-1][0]) for each in found]
    assert [each.bytes for each in stored] == [(clips.files._resolve(each.path)).stat().st_size for each in stored]


def test_no_clip_is_longer_than_an_hour_though_no_key_frame_comes(clips, make_clip, tmp_path):
    Recording(clips, make_clip("a.mp4", LONG, gop=250), fps=0.005).wait()  # 18 steps of 200 s an hour

    begins, key = [], 0
    while key is not None:
        begins.append(key)
        key = next((each for each in keys_of(tmp_path / "a.mp4") if each > begins[-1]), None)
    kept = [[number - 1 for _, number in each] for each in clip_frames(clips, "hall")]
    lengths = [min(19, end - begin) for begin, end in pairwise([*begins, LONG])]
    assert kept == [[*range(begin, begin + length)] for begin, length in zip(begins, lengths, strict=True)]
    assert max(lengths) == 19
    assert max(each.last_us - each.first_us for each in clips.between("hall", None, None)) == LONGEST_US


def test_nothing_is_encoded_anew_and_no_sound_is_kept(clips, tmp_path):
    path = tmp_path / "loud.mp4"
    with av.open(str(path), "w") as container:
        video, sound = container.add_stream("libx264", rate=10), container.add_stream("aac", rate=8000)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(20):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), number, np.uint8), "bgr24")))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        silence.rate = 8000
        container.mux(sound.encode(silence))
        container.mux([*video.encode(), *sound.encode()])

    Recording(clips, path).wait()

    (clip,) = clips.between("hall", None, None)
    with clips.open(clip) as file, av.open(file) as kept, av.open(str(path)) as sent:
        assert [stream.type for stream in kept.streams] == ["video"]
        assert [bytes(each) for each in kept.demux()] == [bytes(each) for each in sent.demux(video=0)]


def test_the_same_file_again_adds_nothing(clips, make_clip):
    path = make_clip("a.mp4", LONG, gop=30)
    Recording(clips, path).wait()
    before = clips.between("hall", None, None)

    Recording(clips, path).wait()

    assert clips.between("hall", None, None) == before
    assert len(clips.files.paths()) == len(before)


def test_a_file_that_breaks_off_is_kept_as_far_as_it_goes(clips, make_clip):
    path = make_clip("a.mp4", LONG, gop=30, movflags="faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])

    with pytest.raises(SourceBroken, match="lacks at least"):
        Recording(clips, path).wait()

    numbers = [number for each in clip_frames(clips, "hall") for _, number in each]
    assert 120 < len(numbers) < LONG
    assert numbers == [*range(1, len(numbers) + 1)]


def test_what_an_mp4_cannot_hold_is_refused(clips, make_clip):
    with pytest.raises(InputError, match=r"hall: sends ffv1: .* expected one of av1, h264, hevc"):
        Recording(clips, make_clip("a.mkv", codec="ffv1")).wait()
    assert clips.files.paths() == clips.files.parts() == []


def test_a_camera_that_goes_and_comes_back_is_recorded_on(clips, make_clip):
    stream = Stream(make_clip("a.mp4", 150, gop=30))
    recording = Recording(clips, stream.url, live=True)
    for _ in range(2):
        assert stream.sent.acquire(timeout=30)
        stream.let_go()
    assert stream.sent.acquire(timeout=30)
    before_us = time.time_ns() // 1000
    stream.close()
    recorded = recording.stop()

    assert recorded.connections >= 3
    found = clips.between("hall", None, None)
    assert len(found) == recorded.clips >= 4
    assert all(one.last_us < other.first_us for one, other in pairwise(found))
    assert abs(found[1].last_us - before_us) < 60_000_000
    numbers = [number for each in clip_frames(clips, "hall")[:4] for _, number in each]
    assert numbers == [*range(1, 151)] * 2


def test_what_a_recorder_left_unfinished_is_taken_in_as_far_as_it_can_be_read(clips, make_clip, tmp_path):
    Recording(clips, make_clip("a.mp4", LONG, gop=30)).wait()
    whole, second, third = clips.between("hall", None, None)
    begin, end = expected_clips(tmp_path / "a.mp4")[1:]
    files = clips.files
    content = (tmp_path / "data" / second.path).read_bytes()
    files.delete([second.path, third.path])
    for first_us, left in ((second.first_us, content[:-2000]), (third.first_us, content[:50]), (5, b"")):
        part = files.begin("hall", first_us)
        part.write(left)
        part.close()
    with open_database(tmp_path / "data") as database, database.session_scope(write=True) as session:
        session.connection().exec_driver_sql("DELETE FROM clips")

    assert recover(clips) == 2

    assert (files.parts(), clips.without_row()) == ([], [])
    first, mended = clips.between("hall", None, None)
    assert first == whole
    numbers = [[number - 1 for _, number in each] for each in clip_frames(clips, "hall")]
    assert numbers[0] == [*range(begin)]
    assert end - begin - 20 < len(numbers[1]) < end - begin
    assert numbers[1] == [*range(begin, begin + len(numbers[1]))]
    assert mended.last_us == mended.first_us + (len(numbers[1]) - 1) * 100_000
    assert recover(clips) == 0


def test_a_recorder_that_is_killed_leaves_nothing_that_the_next_one_does_not_take_in(make_clip, tmp_path):
    stream = Stream(make_clip("a.mp4", LONG, gop=30))
    settings = write_settings(tmp_path, {"cameras": {"hall": {"inputs": [{"path": stream.url}]}}})
    command = [sys.executable, "-m", "reid_pipeline.pipeline.cli", "record", str(settings)]
    data = tmp_path / "data"
    for round_number in range(1, 4):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
            wait_for_part(data, child, 3 * round_number - 1)
            child.kill()
            child.stderr.read()
        with open_database(data, create=False) as database, database.lock_for_recording():
            clips = Clips(database)
            assert {each.path for each in clips.between("hall", None, None)} <= set(clips.files.paths())
            assert recover(clips) >= 1
            assert (clips.files.parts(), clips.without_row()) == ([], [])
            assert {each.path for each in clips.between("hall", None, None)} == set(clips.files.paths())
    with open_database(data, create=False) as database:
        clips = Clips(database)
        numbers = [[number - 1 for _, number in each] for each in clip_frames(clips, "hall")]
    begins = expected_clips(tmp_path / "a.mp4")
    # It came at once, as no camera sends: what a connection gave overlaps with what the others did.
    assert all(each[0] in begins and each == [*range(each[0], each[0] + len(each))] for each in numbers)
    assert numbers.count([*range(begins[1])]) == 3
    assert [*range(begins[1], begins[2])] in numbers
    stream.close()


def wait_for_part(data, child, count):
    """Until so many clips are stored, and another one grows."""
    while True:
        line = child.stderr.readline()
        assert line, "the recorder has ended"
        if "recording" in line:
            break
    deadline_s = time.monotonic() + 30
    while len(list(data.glob("clips/*/*/*.mp4"))) < count or not any(
        path.stat().st_size for path in data.glob("clips/*/*/*.part")
    ):
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.01)


def test_a_cut_begins_at_the_key_frame_before(clips, make_clip, tmp_path):
    Recording(clips, make_clip("a.mp4", LONG, gop=30, b_frames=2)).wait()
    span = Span("hall", NOON_US + 11_550_000, NOON_US + 13_000_000)

    (cut,) = cut_clips(clips, span, tmp_path / "cut")

    shown = frames_of(cut.path, cut.first_us)
    begin = max(key for key in keys_of(tmp_path / "a.mp4") if key <= 115)
    assert cut.first_us == NOON_US + begin * 100_000
    assert shown == [(NOON_US + index * 100_000, index + 1) for index in range(begin, begin + len(shown))]
    assert span.until_us - 100_000 <= shown[-1][0] <= span.until_us + 300_000
    assert cut.path.name == f"hall-20251120T1200{begin // 10:02}.{begin % 10}00Z.mp4"
    assert cut.path.read_bytes().index(b"moov") < cut.path.read_bytes().index(b"mdat")
    assert [path.name for path in cut.path.parent.iterdir()] == [cut.path.name]


def test_where_a_camera_was_away_another_file_begins(clips, make_clip, tmp_path):
    Recording(clips, make_clip("a.mp4", LONG, gop=30)).wait()
    first, second, third = clips.between("hall", None, None)
    clips.files.delete([second.path])

    cuts = cut_clips(clips, Span("hall", 0, 2 * NOON_US), tmp_path / "cut")

    assert [(each.first_us, each.last_us) for each in cuts] == [
        (each.first_us, each.last_us) for each in (first, third)
    ]
    assert cut_clips(clips, Span("hall", 0, 5), tmp_path / "none") == []


@pytest.mark.parametrize("codec", ["libx264", "mjpeg"])
def test_a_sighting_is_one_file_that_browsers_play(clips, make_clip, tmp_path, monkeypatch, codec):
    path = write_mjpeg(tmp_path / "a.avi", LONG) if codec == "mjpeg" else make_clip("a.mkv", LONG, gop=30)
    Recording(clips, path).wait()
    assert [each for part in clip_frames(clips, "hall") for each in part] == decoded(path)
    monkeypatch.setattr(clips, "span_of", lambda *_: (NOON_US + 13_000_000, NOON_US + 14_000_000))

    cut = cut_sighting(clips, "hall", 1, tmp_path / "cut")

    with av.open(str(cut.path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    shown = dict(frames_of(cut.path, cut.first_us))
    assert shown[NOON_US + 13_500_000] == 136
    assert min(shown) <= NOON_US + 11_000_000
    assert max(shown) >= NOON_US + 15_900_000
    monkeypatch.setattr(clips, "span_of", lambda *_: (5, 6))
    assert cut_sighting(clips, "hall", 1, tmp_path / "none") is None


class TestRtsp:
    pytestmark = needs_rtsp_server

    def test_a_camera_is_recorded_with_the_times_of_a_run_and_its_password_is_not_shown(self, clips, make_clip, caplog):
        server = Server(make_clip("camera.mp4", gop=5), login=True)
        url = server.url(f"viewer:{PASSWORD}@")
        recording = Recording(clips, url, live=True)
        seen = []
        for frame in build_source(SourceSpec("hall", url)).frames():
            seen.append((frame.time_us, read_number(frame.image)))
            if len(seen) == 25:
                break
        server.kill()
        deadline_s = time.monotonic() + 30
        while not recording.recorder.recorded.clips:
            assert time.monotonic() < deadline_s
            threading.Event().wait(0.01)
        recording.stop()

        kept = clip_frames(clips, "hall")[0]
        assert all((later - earlier) % 20 == 1 for (_, earlier), (_, later) in pairwise(kept))
        # The clip goes round every two seconds.
        apart = [min(abs(other - time_us) for other, its in kept if its == number) for time_us, number in seen[5:20]]
        assert max(apart) < 300_000
        assert PASSWORD not in caplog.text
