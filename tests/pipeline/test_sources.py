"""One contract for every source, then what only some of them can get wrong."""

from __future__ import annotations

import http.server
import importlib.util
import os
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from reid_pipeline.pipeline.datatypes import Frame
from reid_pipeline.pipeline.errors import InputError, SourceBroken, SourceLost, SourceNotFound
from reid_pipeline.pipeline.sampling import every_frame
from reid_pipeline.pipeline.sources import (
    SourceKind,
    SourceSpec,
    build_source,
    check_source,
    classify,
    fingerprint,
    is_live,
)

HAS_GSTREAMER = importlib.util.find_spec("gi") is not None
GSTREAMER = pytest.param(
    "gstreamer",
    marks=[pytest.mark.gstreamer, pytest.mark.skipif(not HAS_GSTREAMER, reason="PyGObject is not installed")],
)
DECODERS = ["ffmpeg", GSTREAMER]
START_US = 1_795_000_000_000_000
FRAMES = 20


@pytest.fixture(params=["ffmpeg", GSTREAMER, "images"])
def make_spec(request, tmp_path, make_clip, make_image) -> Callable[..., SourceSpec]:
    """Makes the spec of the same 20 numbered frames at 10 a second, for each implementation."""

    def make(**changes: object) -> SourceSpec:
        if request.param == "images":
            folder = tmp_path / "pictures"
            folder.mkdir(exist_ok=True)
            for number in range(1, FRAMES + 1):
                cv2.imwrite(str(folder / f"frame{number}.png"), make_image(number))
            return SourceSpec("lobby", str(folder), **{"start_us": START_US, "fps": 10.0, **changes})
        path = make_clip("clip.mp4", FRAMES, b_frames=2)
        return SourceSpec("lobby", str(path), backend=request.param, **{"start_us": START_US, **changes})

    return make


def collect(spec: SourceSpec, wanted=every_frame) -> list[Frame]:
    return list(build_source(spec, wanted).frames())


def collect_until_broken(spec: SourceSpec) -> tuple[list[Frame], SourceBroken]:
    frames = []
    with pytest.raises(SourceBroken) as caught:
        for frame in build_source(spec).frames():
            frames.append(frame)  # the frames before the error are wanted
    return frames, caught.value


def damage(path: Path, packet_number: int) -> None:
    """Overwrites the data of one packet, counted from 0, with bytes that no decoder takes."""
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][packet_number]
    data = bytearray(path.read_bytes())
    data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)


class TestContract:
    def test_every_frame_comes_once_in_order_with_its_number_and_time(self, make_spec, number_of):
        frames = collect(make_spec())
        assert [frame.index for frame in frames] == list(range(1, FRAMES + 1))
        assert [number_of(frame.image) for frame in frames] == list(range(1, FRAMES + 1))
        assert [frame.time_us for frame in frames] == [START_US + number * 100_000 for number in range(FRAMES)]
        assert {frame.camera for frame in frames} == {"lobby"}

    def test_images_are_bgr_and_may_be_written_to(self, make_spec):
        first = collect(make_spec())[0].image
        assert first.shape == (48, 64, 3)
        assert first.flags.writeable
        assert first.flags.c_contiguous

    def test_received_times_rise(self, make_spec):
        received = [frame.received_s for frame in collect(make_spec())]
        assert received == sorted(received)

    def test_a_resumed_run_sees_the_same_frames(self, make_spec, number_of):
        frames = collect(make_spec(skip_frames=7))
        assert frames[0].index == 8
        assert number_of(frames[0].image) == 8
        assert frames[0].time_us == START_US + 700_000
        assert len(frames) == FRAMES - 7

    def test_skipping_all_frames_leaves_none(self, make_spec):
        assert collect(make_spec(skip_frames=FRAMES)) == []

    def test_unwanted_frames_are_counted_and_keep_their_numbers(self, make_spec):
        source = build_source(make_spec(), lambda time_us: (time_us - START_US) % 300_000 == 0)
        assert [frame.index for frame in source.frames()] == [1, 4, 7, 10, 13, 16, 19]
        assert source.dropped == {"sampled": 13}

    def test_a_resumed_run_samples_the_same_frames(self, make_spec):
        asked = []
        collect(make_spec(skip_frames=5), lambda time_us: not asked.append(time_us))
        assert len(asked) == FRAMES

    def test_the_given_rate_replaces_the_containers(self, make_spec):
        times = [frame.time_us - START_US for frame in collect(make_spec(fps=7.0))]
        assert times[:4] == [0, 142_857, 285_714, 428_571]

    def test_masks_are_blanked(self, make_spec):
        right = np.array([[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]])
        for frame in collect(make_spec(masks=(right,))):
            assert not frame.image[:, 32:].any()
            assert frame.image[:, :32].any()

    def test_close_ends_a_source_that_is_being_read(self, make_spec):
        source = build_source(make_spec())
        frames = source.frames()
        next(frames)
        source.close()
        assert len(list(frames)) <= 1

    def test_a_source_is_checked_before_a_run(self, make_spec):
        info = check_source(make_spec())
        assert (info.width, info.height, info.live) == (64, 48, False)
        assert info.fps == pytest.approx(10.0, abs=0.5)  # GStreamer estimates it from the length of the file
        assert info.frames in (FRAMES, None)

    def test_files_are_not_live(self, make_spec):
        assert build_source(make_spec()).live is False


class TestUnreadable:
    @staticmethod
    def message(spec: SourceSpec) -> str:
        with pytest.raises(SourceNotFound) as checked:
            check_source(spec)
        with pytest.raises(SourceNotFound):
            collect(spec)
        message = str(checked.value)
        assert "\n" not in message
        assert message.startswith("lobby: ")
        assert spec.path in message
        assert "expected" in message
        return message

    @pytest.mark.parametrize("backend", DECODERS)
    def test_no_such_file(self, tmp_path, backend):
        assert "no such file" in self.message(SourceSpec("lobby", str(tmp_path / "none.mp4"), backend=backend))

    @pytest.mark.parametrize("backend", DECODERS)
    @pytest.mark.parametrize("content", [b"", b"just some text\n" * 50, bytes(5000)], ids=["empty", "text", "zeros"])
    def test_no_video(self, tmp_path, backend, content):
        path = tmp_path / "clip.mp4"
        path.write_bytes(content)
        self.message(SourceSpec("lobby", str(path), backend=backend))

    @pytest.mark.parametrize("backend", DECODERS)
    def test_an_mp4_that_lost_its_index(self, make_clip, backend):
        path = make_clip()
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert "lacks at least" in self.message(SourceSpec("lobby", str(path), backend=backend))

    def test_sound_without_video(self, tmp_path):
        path = tmp_path / "sound.wav"
        path.write_bytes(b"RIFF" + (36 + 800).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little"))
        with path.open("ab") as file:
            file.write(bytes.fromhex("01000100401f0000803e000002001000") + b"data" + (800).to_bytes(4, "little"))
            file.write(bytes(800))
        assert "holds no video" in self.message(SourceSpec("lobby", str(path)))

    def test_an_empty_folder(self, tmp_path):
        assert "holds no pictures" in self.message(SourceSpec("lobby", str(tmp_path)))

    def test_a_folder_of_broken_pictures(self, tmp_path):
        (tmp_path / "a.jpg").write_bytes(b"no picture")
        self.message(SourceSpec("lobby", str(tmp_path)))


class TestCutFiles:
    @pytest.mark.parametrize("backend", DECODERS)
    @pytest.mark.parametrize("share", [0.4, 0.5, 0.77])
    @pytest.mark.parametrize(
        ("name", "movflags"),
        [("clip.mp4", "faststart"), ("clip.mp4", "frag_keyframe+empty_moov"), ("clip.mkv", "")],
        ids=["mp4", "fragmented", "mkv"],
    )
    def test_all_whole_frames_come_before_the_error(self, make_clip, number_of, backend, name, movflags, share):
        path = make_clip(name, movflags=movflags)
        with av.open(str(path)) as container:
            ends = [packet.pos + packet.size for packet in container.demux(video=0) if packet.size]
        cut = int(path.stat().st_size * share)
        path.write_bytes(path.read_bytes()[:cut])

        frames, error = collect_until_broken(SourceSpec("lobby", str(path), backend=backend))

        whole = sum(end <= cut for end in ends)
        assert [number_of(frame.image) for frame in frames] == list(range(1, whole + 1))
        assert str(error).startswith(f"lobby: {path} breaks off after {whole} frames: it lacks at least ")

    @pytest.mark.parametrize("share", [0.4, 0.5, 0.77])
    def test_a_cut_transport_stream(self, make_clip, number_of, share):
        path = make_clip("clip.ts")
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        frames, error = collect_until_broken(SourceSpec("lobby", str(path)))
        assert [number_of(frame.image) for frame in frames] == list(range(1, len(frames) + 1))
        assert len(frames) >= FRAMES * share - 4
        assert "breaks off" in str(error)

    @pytest.mark.parametrize("backend", DECODERS)
    def test_a_transport_stream_cut_inside_a_packet(self, make_clip, backend):
        path = make_clip("clip.ts")
        path.write_bytes(path.read_bytes()[: 188 * 30 + 100])
        _, error = collect_until_broken(SourceSpec("lobby", str(path), backend=backend))
        assert "lacks at least 88 bytes" in str(error)

    @pytest.mark.parametrize("b_frames", [0, 2])
    @pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
    def test_a_raw_stream_cut_inside_a_picture(self, make_clip, number_of, b_frames, share):
        path = make_clip("clip.264", b_frames=b_frames)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        frames, error = collect_until_broken(SourceSpec("lobby", str(path)))
        numbers = [number_of(frame.image) for frame in frames]
        assert numbers[:-2] == list(range(1, len(numbers) - 1))
        assert "last frame is not whole" in str(error)

    @pytest.mark.parametrize("backend", DECODERS)
    def test_a_cut_file_can_still_be_checked(self, make_clip, backend):
        path = make_clip(movflags="faststart")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert check_source(SourceSpec("lobby", str(path), backend=backend)).width == 64

    def test_a_damaged_frame_in_the_middle_is_left_out_and_counted(self, make_clip, number_of):
        path = make_clip(gop=1)
        damage(path, 9)
        source = build_source(SourceSpec("lobby", str(path)))
        frames = list(source.frames())
        assert [frame.index for frame in frames] == [number for number in range(1, 21) if number != 10]
        assert [number_of(frame.image) for frame in frames] == [frame.index for frame in frames]
        assert source.dropped == {"corrupt": 1}

    def test_a_damaged_frame_that_a_resumed_run_skips_is_not_counted_again(self, make_clip):
        path = make_clip(gop=1)
        damage(path, 9)
        source = build_source(SourceSpec("lobby", str(path), skip_frames=12))
        assert next(source.frames()).index == 13
        assert source.dropped == {}

    def test_a_damaged_picture_in_a_folder_is_left_out_and_counted(self, tmp_path, make_image):
        for name in ("1.png", "3.png"):
            cv2.imwrite(str(tmp_path / name), make_image(int(name[0])))
        (tmp_path / "2.png").write_bytes(b"no picture")
        source = build_source(SourceSpec("lobby", str(tmp_path)))
        assert [frame.index for frame in source.frames()] == [1, 3]
        assert source.dropped == {"corrupt": 1}


@pytest.mark.gstreamer
@pytest.mark.skipif(not HAS_GSTREAMER, reason="PyGObject is not installed")
class TestBothDecoders:
    @pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.264"])
    @pytest.mark.parametrize("b_frames", [0, 2])
    def test_same_frames(self, make_clip, name, b_frames):
        path = str(make_clip(name, b_frames=b_frames))
        by_ffmpeg = collect(SourceSpec("lobby", path, backend="ffmpeg"))
        by_gstreamer = collect(SourceSpec("lobby", path, backend="gstreamer"))
        assert [frame.index for frame in by_ffmpeg] == [frame.index for frame in by_gstreamer]
        assert [frame.time_us for frame in by_ffmpeg] == [frame.time_us for frame in by_gstreamer]
        for one, other in zip(by_ffmpeg, by_gstreamer, strict=True):
            # They interpolate colour differently over the sharp edges of noise; a wrong frame differs by about 80.
            assert np.abs(one.image.astype(int) - other.image).mean() < 12

    @pytest.mark.data
    def test_same_times_on_real_footage(self, data):
        for name in ("video/home_2cam/cam2.mp4", "video/clips/intel_people.264"):
            ours = [collect(SourceSpec("c", str(data / name), backend=backend)) for backend in ("ffmpeg", "gstreamer")]
            assert [frame.time_us for frame in ours[0]] == [frame.time_us for frame in ours[1]]
            assert np.abs(ours[0][-1].image.astype(int) - ours[1][-1].image).mean() < 3

    def test_a_pipeline_of_the_users_own(self, make_clip, number_of):
        path = make_clip()
        pipeline = f"filesrc location={path} ! qtdemux ! h264parse ! avdec_h264"
        frames = collect(SourceSpec("lobby", str(path), pipeline=pipeline))
        assert [number_of(frame.image) for frame in frames] == list(range(1, FRAMES + 1))

    def test_a_pipeline_with_its_own_sink(self, make_clip):
        path = make_clip()
        pipeline = f"filesrc location={path} ! decodebin ! videoconvert ! appsink name=out"
        assert len(collect(SourceSpec("lobby", str(path), pipeline=pipeline))) == FRAMES

    def test_a_pipeline_without_a_path_is_live(self):
        spec = SourceSpec("lobby", "", pipeline="videotestsrc num-buffers=5 ! video/x-raw,width=70,height=50")
        assert is_live(spec)
        shapes = []
        with pytest.raises(SourceLost, match=r"lobby: videotestsrc .* stopped delivering: the stream ended"):
            for frame in build_source(spec).frames():
                shapes.append(frame.image.shape)
        assert shapes == [(50, 70, 3)] * 5  # 70 pixels of 3 bytes: rows are padded

    def test_a_pipeline_that_cannot_be_built_names_the_element_and_no_password(self, make_clip):
        spec = SourceSpec("lobby", str(make_clip()), pipeline="rtspsrc location=rtsp://u:geheim@h/ ! nosuchelement")
        with pytest.raises(InputError, match="nosuchelement") as caught:
            collect(spec)
        assert "geheim" not in "".join(traceback.format_exception(caught.value))


class TestGStreamerMissing:
    def test_the_error_says_how_to_install_it(self, tmp_path):
        program = (
            "import sys; sys.modules['gi'] = None\n"
            "from reid_pipeline.pipeline.errors import InputError\n"
            "from reid_pipeline.pipeline.sources import SourceSpec, build_source\n"
            "try: build_source(SourceSpec('lobby', 'a.mp4', backend='gstreamer'))\n"
            "except InputError as error: print(error)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert "apt install" in done.stdout
        assert "pip install 'reid-pipeline[gstreamer]'" in done.stdout


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("recordings/hall.mp4", SourceKind.FILE),
            ("rtsp://10.0.0.5/main", SourceKind.STREAM),
            ("RTSPS://10.0.0.5/main", SourceKind.STREAM),
            ("udp://@:5000", SourceKind.STREAM),
            ("https://10.0.0.5/a.mp4", SourceKind.HTTP),
            ("/dev/video0", SourceKind.DEVICE),
            ("usb:1", SourceKind.DEVICE),
        ],
    )
    def test_kinds(self, path, kind):
        assert classify(path) is kind

    def test_a_folder_is_a_folder(self, tmp_path):
        assert classify(str(tmp_path)) is SourceKind.FOLDER

    def test_an_empty_path_is_refused(self):
        with pytest.raises(InputError, match="path: is empty"):
            classify("")

    def test_an_unknown_scheme_is_refused_without_its_password(self):
        with pytest.raises(InputError, match="ftp:// is not known") as caught:
            classify("ftp://user:geheim@10.0.0.5/a.mp4")
        assert "geheim" not in str(caught.value)

    def test_pictures_come_in_natural_order(self, tmp_path, make_image, number_of):
        for number in (10, 9, 100, 1):
            cv2.imwrite(str(tmp_path / f"shot {number}.png"), make_image(number))
        (tmp_path / "notes.txt").write_text("no picture")
        frames = collect(SourceSpec("lobby", str(tmp_path)))
        assert [number_of(frame.image) for frame in frames] == [1, 9, 10, 100]
        assert [frame.time_us for frame in frames] == [0, 40_000, 80_000, 120_000]  # 25 a second by default

    def test_fingerprints_tell_files_apart_by_size_start_and_end(self, tmp_path):
        prints = set()
        for number, content in enumerate(
            (b"a" * 200_000, b"a" * 200_001, b"b" + b"a" * 199_999, b"a" * 199_999 + b"b")
        ):
            path = tmp_path / f"{number}.mp4"
            path.write_bytes(content)
            prints.add(fingerprint(str(path)))
            assert fingerprint(str(path)) == fingerprint(str(path))
        assert len(prints) == 4

    def test_the_fingerprint_of_a_folder_changes_with_its_names_and_sizes(self, tmp_path):
        (tmp_path / "1.jpg").write_bytes(b"12")
        prints = [fingerprint(str(tmp_path))]
        (tmp_path / "1.jpg").write_bytes(b"123")
        prints.append(fingerprint(str(tmp_path)))
        (tmp_path / "1.jpg").rename(tmp_path / "2.jpg")
        prints.append(fingerprint(str(tmp_path)))
        assert len(set(prints)) == 3

    def test_a_missing_file_has_no_fingerprint(self, tmp_path):
        with pytest.raises(SourceNotFound, match="cannot be read"):
            fingerprint(str(tmp_path / "none.mp4"))


class TestPasswords:
    def test_repr_and_redacted_hide_it(self):
        spec = SourceSpec("lobby", "rtsp://user:geheim@10.0.0.5/main", pipeline="rtspsrc user-pw=geheim2")
        assert "geheim" not in repr(spec)
        assert "geheim" not in spec.redacted
        assert "10.0.0.5/main" in spec.redacted

    @pytest.mark.parametrize("backend", DECODERS)
    @pytest.mark.parametrize("scheme", ["rtsp", "http"])
    def test_no_error_of_a_dead_camera_shows_it(self, backend, scheme):
        with socket.socket() as free:  # bound, not listening: refuses every connection
            free.bind(("127.0.0.1", 0))
            url = f"{scheme}://user:geheim@127.0.0.1:{free.getsockname()[1]}/main"
            with pytest.raises(SourceLost) as caught:
                collect(SourceSpec("lobby", url, backend=backend))
        assert "geheim" not in "".join(traceback.format_exception(caught.value))
        assert caught.value.__context__ is None
        assert "127.0.0.1" in str(caught.value)


class VideoHandler(http.server.BaseHTTPRequestHandler):
    """Serves a clip: with its length as a file, without as a stream that has no end."""

    def do_GET(self) -> None:
        content = self.server.clip.read_bytes()
        self.send_response(200)
        if self.path.startswith("/file"):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    servers = []

    def start(clip: Path) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), VideoHandler)
        server.clip = clip
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class TestHttp:
    @pytest.mark.parametrize("backend", DECODERS)
    def test_a_video_with_a_duration_is_a_file(self, make_clip, number_of, serve, backend):
        spec = SourceSpec("lobby", serve(make_clip(movflags="faststart")) + "/file.mp4", backend=backend)
        assert not is_live(spec)
        assert [number_of(frame.image) for frame in collect(spec)] == list(range(1, FRAMES + 1))

    @pytest.mark.parametrize("backend", DECODERS)
    def test_a_stream_without_duration_is_live_and_its_end_a_loss(self, make_clip, serve, backend):
        spec = SourceSpec("lobby", serve(make_clip("clip.ts")) + "/live", backend=backend)
        assert is_live(spec)
        frames = []
        with pytest.raises(SourceLost, match="stopped delivering"):
            for frame in build_source(spec).frames():
                frames.append(frame)
        assert len(frames) > FRAMES // 2
        assert [frame.time_us for frame in frames] == sorted({frame.time_us for frame in frames})


@pytest.fixture
def data() -> Path:
    folder = os.environ.get("REID_TEST_DATA")
    if not folder:
        pytest.skip("REID_TEST_DATA is not set: it names the folder with the real footage")
    return Path(folder)


@pytest.mark.data
def test_whole_files_of_real_footage_end_without_complaint(data):
    read = {}
    for path in sorted((data / "video").glob("*/*")):
        if path.suffix in (".mp4", ".264"):
            source = build_source(SourceSpec("lobby", str(path)), lambda time_us: False)
            assert not list(source.frames())
            read[path.name] = source.dropped["sampled"]
            with av.open(str(path)) as container:
                assert container.streams.video[0].frames in (0, read[path.name])
    assert read["intel_people.264"] == 596
