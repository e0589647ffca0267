"""Video through GStreamer: its hardware decoders, and pipelines that the user writes.

Elements are linked by ``decodebin``, which takes the decoder of highest rank: one in hardware where there is one.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from reid_pipeline.pipeline.capture_time import SECOND_US, FileClock, LiveClock
from reid_pipeline.pipeline.datatypes import Frame, Image
from reid_pipeline.pipeline.errors import InputError, PipelineError, SourceBroken, SourceLost, SourceNotFound
from reid_pipeline.pipeline.privacy import PrivacyMask
from reid_pipeline.pipeline.sampling import Wanted, every_frame
from reid_pipeline.pipeline.sources import SourceInfo, SourceKind, SourceSpec
from reid_pipeline.pipeline.truncation import missing_bytes

# A dead camera is noticed after this long.
READ_TIMEOUT_S = 5.0
# How often a wait looks whether it was told to end.
POLL_NS = 50_000_000
# Time to wait for late packets over UDP before they count as lost.
JITTER_MS = 150
FALLBACK_FPS = Fraction(25)
# Files without time stamps. GStreamer makes some up from a rounded frame length; exact ones come from the rate.
RAW_SUFFIXES = frozenset({".264", ".h264", ".avc", ".265", ".h265", ".hevc"})
# Seconds from 1900, where NTP counts from, to 1970. Source: RFC 5905, figure 4.
NTP_EPOCH_NS = 2_208_988_800 * 1_000_000_000

INSTALL_HINT = (
    "GStreamer is not installed: apt install gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav gir1.2-gstreamer-1.0 "
    "gir1.2-gst-plugins-base-1.0 libgirepository1.0-dev libcairo2-dev pkg-config gcc, "
    "then pip install 'reid-pipeline[gstreamer]'"
)
_SINK = " ! videoconvert ! video/x-raw,format=BGR ! appsink name=out"
_OWN_SINK = re.compile(r"\bappsink\b[^!]*\bname\s*=\s*\"?out\b")
# Wrong password and wrong path, in the numbers of GstResourceError: waiting does not help.
_REFUSALS = (3, 15)


@dataclass(frozen=True, slots=True)
class _Picture:
    """One decoded picture before it is a frame: a ``Gst.Sample``, its time stamp, the camera's own time for it."""

    sample: Any
    stamp_ns: int | None
    camera_us: int | None


class GStreamerSource:
    """Decodes one video with GStreamer, whose threads decode ahead by a few frames.

    GStreamer fills damaged pictures with guesses and does not say so. So the last frame of a cut ``.ts`` or ``.264``
    file may be a guess, and a cut that the container does not show (`truncation`) goes unnoticed; PyAV sees both.
    """

    def __init__(self, spec: SourceSpec, live: bool, wanted: Wanted = every_frame) -> None:
        self.live = live
        self.dropped: dict[str, int] = {}
        self._spec = spec
        self._wanted = wanted
        self._mask = PrivacyMask(spec.masks)
        self._closed = threading.Event()
        self._gst = load_gstreamer()

    def info(self) -> SourceInfo:
        """Decodes the first frame; see `InspectableSource.info`."""
        for picture in self._pictures():
            height, width, fps = _format(picture.sample)
            return SourceInfo(width, height, self._spec.fps or float(fps), None, self.live)
        raise self._undecodable("it holds no video")

    def frames(self) -> Iterator[Frame]:
        """Plays the pipeline and yields its frames; see `Source.frames`."""
        return self._live_frames() if self.live else self._file_frames()

    def close(self) -> None:
        """Ends `frames` within a moment."""
        self._closed.set()

    def _file_frames(self) -> Iterator[Frame]:
        spec = self._spec
        clock: FileClock | None = None
        index = 0
        for index, picture in enumerate(self._pictures(), 1):
            if clock is None:
                fps = Fraction(str(spec.fps)) if spec.fps else _format(picture.sample)[2]
                raw = Path(spec.path).suffix.lower() in RAW_SUFFIXES
                clock = FileClock(spec.start_us, fps, fixed=raw or spec.fps is not None)
            time_us = clock.time_us(index, picture.stamp_ns)
            wanted = self._wanted(time_us)
            if index <= spec.skip_frames:
                continue
            if wanted:
                yield Frame(spec.camera, index, time_us, self._image(picture), time.monotonic())
            else:
                self._drop_sampled()
        if self._closed.is_set():
            return
        if index == 0:
            raise self._undecodable("it holds no video")
        if missing := self._missing_bytes():
            raise self._failure(f"it lacks at least {missing} bytes at its end", index)

    def _live_frames(self) -> Iterator[Frame]:
        clock = LiveClock()
        for index, picture in enumerate(self._pictures(), 1):
            received_s, arrival_us = time.monotonic(), time.time_ns() // 1000
            stamp_us = None if picture.stamp_ns is None else picture.stamp_ns // 1000
            camera_us = picture.camera_us
            reference_us = None if camera_us is None or stamp_us is None else camera_us - stamp_us
            time_us = clock.time_us(stamp_us, arrival_us, reference_us)
            if self._wanted(time_us):
                captured_s = received_s - clock.delay_us / SECOND_US
                yield Frame(self._spec.camera, index, time_us, self._image(picture), captured_s)
            else:
                self._drop_sampled()
        if not self._closed.is_set():
            raise self._failure("the stream ended", 0)

    def _pictures(self) -> Iterator[_Picture]:
        gst = self._gst
        if self._spec.kind is SourceKind.FILE and self._spec.pipeline is None and not Path(self._spec.path).is_file():
            raise SourceNotFound(f"{self._spec.camera}: no such file: {self._spec.path}; expected a video file")
        ntp = gst.Caps.from_string("timestamp/x-ntp")
        pipeline = self._build()
        sink = pipeline.get_by_name("out")
        count = 0
        try:
            pipeline.set_state(gst.State.PLAYING)
            while (sample := self._pull(pipeline, sink, count)) is not None:
                count += 1
                buffer = sample.get_buffer()
                meta = buffer.get_reference_timestamp_meta(ntp)
                camera_us = None if meta is None else (meta.timestamp - NTP_EPOCH_NS) // 1000
                yield _Picture(sample, None if buffer.pts == gst.CLOCK_TIME_NONE else buffer.pts, camera_us)
        finally:
            pipeline.set_state(gst.State.NULL)

    def _pull(self, pipeline: Any, sink: Any, count: int) -> Any:
        """Waits for the next ``Gst.Sample``; None at the end or after `close`."""
        gst = self._gst
        deadline_s = time.monotonic() + READ_TIMEOUT_S
        while not self._closed.is_set():
            sample = sink.try_pull_sample(POLL_NS)
            if sample is not None:
                return sample
            message = pipeline.get_bus().pop_filtered(gst.MessageType.ERROR)
            if message is not None:
                error, _ = message.parse_error()
                refused = error.matches(gst.ResourceError.quark(), error.code) and error.code in _REFUSALS
                raise self._failure(error.message, count, refused)
            if sink.get_property("eos"):
                return None
            if time.monotonic() > deadline_s:
                raise self._failure(f"no frame within {READ_TIMEOUT_S:g} s", count)
        return None

    def _build(self) -> Any:
        spec, gst = self._spec, self._gst
        description = spec.pipeline or _description(spec)
        if not _OWN_SINK.search(description):
            description += _SINK
        message = ""
        try:
            pipeline = gst.parse_launch(description)
        except Exception as error:  # GLib.Error, which can only be named once GStreamer is loaded
            message = spec.hide_secrets(str(error))
        if message:  # outside of `except`: the library's error may hold a password
            raise InputError(f"{spec.camera}: the GStreamer pipeline cannot be built: {message}")
        sink = pipeline.get_by_name("out")
        sink.set_property("caps", gst.Caps.from_string("video/x-raw,format=BGR"))
        for name, value in {"sync": False, "drop": False, "max-buffers": 2, "enable-last-sample": False}.items():
            sink.set_property(name, value)
        if spec.pipeline is None:
            _configure(pipeline.get_by_name("in"), spec)
        return pipeline

    def _image(self, picture: _Picture) -> Image:
        height, width, _ = _format(picture.sample)
        buffer = picture.sample.get_buffer()
        data = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
        # Rows are padded to a multiple of four bytes.
        image: Image = data.reshape(height, -1)[:, : width * 3].reshape(height, width, 3).copy()
        self._mask.blank(image)
        return image

    def _failure(self, reason: str, count: int, refused: bool = False) -> PipelineError:
        spec = self._spec
        reason = spec.hide_secrets(reason).rstrip(".")
        if self.live and not refused:
            return SourceLost(f"{spec.camera}: {spec.redacted} stopped delivering: {reason}")
        if self.live:
            return SourceNotFound(
                f"{spec.camera}: {spec.redacted} cannot be opened: {reason}; check its path, user and password"
            )
        if count:
            return SourceBroken(f"{spec.camera}: {spec.redacted} breaks off after {count} frames: {reason}")
        return self._undecodable(reason)

    def _undecodable(self, reason: str) -> PipelineError:
        spec = self._spec
        if missing := self._missing_bytes():
            reason = f"{reason}; it lacks at least {missing} bytes at its end"
        return SourceNotFound(
            f"{spec.camera}: {spec.redacted} cannot be read as video: {reason}; expected a whole video"
        )

    def _missing_bytes(self) -> int:
        path = Path(self._spec.path)
        return missing_bytes(path) if self._spec.kind is SourceKind.FILE and path.is_file() else 0

    def _drop_sampled(self) -> None:
        self.dropped["sampled"] = self.dropped.get("sampled", 0) + 1


@cache
def load_gstreamer() -> Any:
    """Gives the module ``Gst``, initialised.

    Raises:
        InputError: GStreamer or PyGObject is not installed; says how to install them.
    """
    try:
        import gi

        gi.require_version("Gst", "1.0")
        gi.require_version("GstApp", "1.0")
        from gi.repository import Gst, GstApp
    except (ImportError, ValueError) as error:
        raise InputError(INSTALL_HINT) from error
    del GstApp  # loaded for its methods of appsink
    Gst.init(None)
    return Gst


def _description(spec: SourceSpec) -> str:
    match spec.kind:
        case SourceKind.DEVICE:
            return "v4l2src name=in ! decodebin"
        case SourceKind.STREAM if spec.path.lower().startswith(("rtsp://", "rtsps://")):
            return "rtspsrc name=in ! application/x-rtp,media=video ! decodebin"
        case _:
            return "uridecodebin name=in"


def _configure(element: Any, spec: SourceSpec) -> None:
    """Sets the address as a property, so that no character in it can change the pipeline."""
    match element.get_factory().get_name():
        case "v4l2src":
            number = spec.path.removeprefix("usb:")
            element.set_property("device", number if number == spec.path else f"/dev/video{number}")
        case "rtspsrc":
            timeout_us = round(READ_TIMEOUT_S * SECOND_US)
            element.set_property("location", spec.path)
            element.set_property("protocols", spec.transport)
            element.set_property("latency", JITTER_MS)
            element.set_property("tcp-timeout", timeout_us)
            element.set_property("timeout", timeout_us)
            element.set_property("add-reference-timestamp-meta", True)
        case _:
            uri = Path(spec.path).resolve().as_uri() if spec.kind is SourceKind.FILE else spec.path
            element.set_property("uri", uri)


def _format(sample: Any) -> tuple[int, int, Fraction]:
    """Height, width and frames a second of a ``Gst.Sample``."""
    structure = sample.get_caps().get_structure(0)
    known, numerator, denominator = structure.get_fraction("framerate")
    fps = Fraction(numerator, denominator) if known and numerator else FALLBACK_FPS
    return structure.get_value("height"), structure.get_value("width"), fps
