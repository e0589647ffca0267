"""Video through FFmpeg (PyAV): files, network streams and USB cameras."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from reid_pipeline.pipeline.capture_time import SECOND_US, FileClock, LiveClock
from reid_pipeline.pipeline.datatypes import Frame, Image
from reid_pipeline.pipeline.errors import InputError, PipelineError, SourceBroken, SourceLost, SourceNotFound
from reid_pipeline.pipeline.privacy import PrivacyMask
from reid_pipeline.pipeline.sampling import Wanted, every_frame
from reid_pipeline.pipeline.sources import SourceInfo, SourceKind, SourceSpec
from reid_pipeline.pipeline.truncation import missing_bytes

# A dead camera is noticed after this long; also the longest time that `close` may take to end a blocked read.
OPEN_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 5.0
FALLBACK_FPS = Fraction(25)
NS_PER_S = 1_000_000_000

# Without the last two FFmpeg studies a stream for seconds before it gives the first frame.
_LIVE_OPTIONS = MappingProxyType(
    {"fflags": "nobuffer", "max_delay": "200000", "probesize": "200000", "fpsprobesize": "0"}
)
_DEVICE_FORMATS = {"linux": "v4l2", "darwin": "avfoundation"}
_REFUSALS = (av.HTTPUnauthorizedError, av.HTTPForbiddenError, av.HTTPNotFoundError, av.FileNotFoundError)


@dataclass(slots=True)
class _Progress:
    """What is known of a file while it is read.

    Attributes:
        packets: Coded pictures so far.
        decoded: Pictures that decoded.
        tail_damaged: Something in or after the last packet did not decode.
        read_error: Why reading stopped before the end, empty if it did not.
    """

    packets: int = 0
    decoded: int = 0
    tail_damaged: bool = False
    read_error: str = ""


class FFmpegSource:
    """Decodes one video on the processor, in the thread that iterates.

    One decoding thread, because there is one camera a thread already: on 1080p H.264 it takes 2.2 ms of processor time
    a frame, FFmpeg's automatic choice 2.7. Python's lock is free while FFmpeg decodes and converts.
    """

    def __init__(self, spec: SourceSpec, live: bool, wanted: Wanted = every_frame) -> None:
        self.live = live
        self.dropped: dict[str, int] = {}
        self._spec = spec
        self._wanted = wanted
        self._mask = PrivacyMask(spec.masks)
        self._reformatter = VideoReformatter()
        self._closed = threading.Event()

    def info(self) -> SourceInfo:
        """Decodes the first frame; see `InspectableSource.info`."""
        with self._open() as container:
            stream = self._video_stream(container)
            rate = Fraction(str(self._spec.fps)) if self._spec.fps else nominal_fps(stream)
            for picture in self._pictures(container, stream, _Progress()):
                if picture is not None:
                    frames = stream.frames or None
                    return SourceInfo(picture.width, picture.height, float(rate), frames, self.live)
        raise self._undecodable()

    def frames(self) -> Iterator[Frame]:
        """Opens the video and yields its frames; see `Source.frames`."""
        with self._open() as container:
            stream = self._video_stream(container)
            yield from self._live_frames(container, stream) if self.live else self._file_frames(container, stream)

    def close(self) -> None:
        """Ends `frames` after the frame it is at; a read that waits for the network ends by its timeout."""
        self._closed.set()

    def _open(self) -> InputContainer:
        return open_input(self._spec, self.live)

    def _video_stream(self, container: InputContainer) -> VideoStream:
        stream = find_video(self._spec, container)
        stream.codec_context.thread_count = 1
        return stream

    def _pictures(
        self, container: InputContainer, stream: VideoStream, progress: _Progress
    ) -> Iterator[av.VideoFrame | None]:
        """Yields the decoded pictures in order, None for each that is damaged, and keeps `progress`."""
        packets = container.demux(stream)
        while not self._closed.is_set():
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                progress.read_error = explain(self._spec, error)
                yield from self._decode(stream, None, progress)  # what the decoder still holds
                return
            if packet is None:
                return
            if packet.size:
                progress.packets += 1
                progress.tail_damaged = packet.is_corrupt
            yield from self._decode(stream, packet, progress)

    def _decode(
        self, stream: VideoStream, packet: av.Packet[VideoStream] | None, progress: _Progress
    ) -> Iterator[av.VideoFrame | None]:
        try:
            pictures = stream.decode(packet)
        except av.FFmpegError:
            progress.tail_damaged = True
            yield None
            return
        for picture in pictures:
            if picture.is_corrupt:  # FFmpeg has filled gaps with guesses
                progress.tail_damaged = True
                yield None
            else:
                progress.decoded += 1
                yield picture

    def _file_frames(self, container: InputContainer, stream: VideoStream) -> Iterator[Frame]:
        spec = self._spec
        fps = Fraction(str(spec.fps)) if spec.fps else nominal_fps(stream)
        clock = FileClock(spec.start_us, fps, fixed=spec.fps is not None)
        progress = _Progress()
        index = damaged = 0
        for picture in self._pictures(container, stream, progress):
            if picture is None:
                damaged += 1  # counts once a good picture follows; at the very end it is the cut, not a dropped frame
                continue
            index += damaged
            self._drop("corrupt", min(damaged, max(0, index - spec.skip_frames)))
            index, damaged = index + 1, 0
            time_us = clock.time_us(index, _stamp_ns(picture))
            wanted = self._wanted(time_us)
            if index <= spec.skip_frames:
                continue
            if wanted:
                yield Frame(spec.camera, index, time_us, self._image(picture), time.monotonic())
            else:
                self._drop("sampled")
        progress.tail_damaged |= damaged > 0
        if not self._closed.is_set():
            self._check_whole(stream, progress)

    def _check_whole(self, stream: VideoStream, progress: _Progress) -> None:
        if not progress.decoded:
            raise self._undecodable()
        missing = bytes_lacking(self._spec.path) if self._spec.kind is SourceKind.FILE else 0
        if missing:
            reason = f"it lacks at least {missing} bytes at its end"
        elif progress.read_error:
            reason = progress.read_error
        elif progress.packets < stream.frames:
            reason = f"it holds {progress.packets} of {stream.frames} frames"
        elif progress.tail_damaged:
            reason = "its last frame is not whole"
        else:
            return
        raise SourceBroken(
            f"{self._spec.camera}: {self._spec.redacted} breaks off after {progress.decoded} frames: {reason}"
        )

    def _live_frames(self, container: InputContainer, stream: VideoStream) -> Iterator[Frame]:
        clock = LiveClock()
        progress = _Progress()
        index = 0
        for picture in self._pictures(container, stream, progress):
            received_s, arrival_us = time.monotonic(), time.time_ns() // 1000
            if picture is None:
                # A stream is joined in the middle: what cannot be decoded before its first key frame is not lost.
                index += index > 0
                self._drop("corrupt", int(index > 0))
                continue
            index += 1
            stamp_ns = _stamp_ns(picture)
            stamp_us = None if stamp_ns is None else stamp_ns // 1000
            time_us = clock.time_us(stamp_us, arrival_us, container.start_time_realtime)
            if self._wanted(time_us):
                captured_s = received_s - clock.delay_us / SECOND_US
                yield Frame(self._spec.camera, index, time_us, self._image(picture), captured_s)
            else:
                self._drop("sampled")
        if not self._closed.is_set():
            reason = progress.read_error or "the stream ended"
            raise SourceLost(f"{self._spec.camera}: {self._spec.redacted} stopped delivering: {reason}")

    def _image(self, picture: av.VideoFrame) -> Image:
        # One thread and one reformatter: PyAV's own default starts a thread for each core.
        converted = self._reformatter.reformat(picture, format="bgr24", threads=1)
        image: Image = converted.to_ndarray().astype(np.uint8, copy=False)
        self._mask.blank(image)
        return image

    def _drop(self, reason: str, count: int = 1) -> None:
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    def _undecodable(self) -> PipelineError:
        message = f"{self._spec.camera}: no frame of {self._spec.redacted} can be decoded; expected a whole video"
        return SourceLost(message) if self.live else SourceNotFound(message)


def open_input(spec: SourceSpec, live: bool, options: Mapping[str, str] = _LIVE_OPTIONS) -> InputContainer:
    """Opens a video.

    Args:
        spec: The camera's input.
        live: Whether it is a stream.
        options: Of FFmpeg, for a stream.

    Raises:
        SourceNotFound: It does not exist, is no video, or does not let us in.
        SourceLost: A stream does not answer.
    """
    if spec.kind is SourceKind.FILE and not Path(spec.path).is_file():
        raise SourceNotFound(f"{spec.camera}: no such file: {spec.path}; expected a video file")
    name, format_name = _device(spec.path) if spec.kind is SourceKind.DEVICE else (spec.path, None)
    wanted = {**options, "rtsp_transport": spec.transport} if live else {}
    try:
        return av.open(name, "r", format_name, wanted, timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S))
    except av.FFmpegError as error:
        failure = _open_failure(spec, live, error)
    raise failure  # outside of `except`: PyAV's error holds the address with its password


def _open_failure(spec: SourceSpec, live: bool, error: av.FFmpegError) -> PipelineError:
    reason = explain(spec, error)
    if live and not isinstance(error, _REFUSALS):
        return SourceLost(f"{spec.camera}: {spec.redacted} does not answer: {reason}")
    if live:
        return SourceNotFound(
            f"{spec.camera}: {spec.redacted} cannot be opened: {reason}; check its path, user and password"
        )
    if spec.kind is SourceKind.FILE and (missing := bytes_lacking(spec.path)):
        reason = f"it lacks at least {missing} bytes at its end, and its index with them"
    return SourceNotFound(
        f"{spec.camera}: {spec.redacted} cannot be read as video: {reason}; expected a whole video such as .mp4"
    )


def find_video(spec: SourceSpec, container: InputContainer) -> VideoStream:
    """The first video of what was opened.

    Raises:
        SourceNotFound: It has none.
    """
    if not container.streams.video:
        raise SourceNotFound(f"{spec.camera}: {spec.redacted} holds no video; expected a video track")
    return container.streams.video[0]


def explain(spec: SourceSpec, error: av.FFmpegError) -> str:
    """What FFmpeg says, without secrets."""
    if isinstance(error, av.ExitError):  # how FFmpeg calls a timeout of ours
        return f"no answer within {READ_TIMEOUT_S:g} s"
    return spec.hide_secrets(error.strerror or type(error).__name__)


def has_no_end(spec: SourceSpec) -> bool:
    """Whether a network address is a live stream: it states no duration, or does not answer now."""
    try:
        with av.open(spec.path, "r", timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S)) as container:
            return not container.duration
    except av.FFmpegError:
        return True


def _device(path: str) -> tuple[str, str]:
    """Gives FFmpeg's name and input format of a USB camera."""
    format_name = _DEVICE_FORMATS.get(sys.platform)
    if format_name is None:
        raise InputError(f"path {path}: USB cameras are not read on {sys.platform}; give an rtsp:// address")
    number = path.removeprefix("usb:")
    return (f"/dev/video{number}" if number != path and format_name == "v4l2" else number), format_name


def nominal_fps(stream: VideoStream) -> Fraction:
    """Frames a second; for raw streams, which have no time stamps, as the video's own header says."""
    rate = stream.codec_context.framerate if stream.start_time is None else stream.average_rate
    return rate or FALLBACK_FPS


def _stamp_ns(picture: av.VideoFrame) -> int | None:
    if picture.pts is None or picture.time_base is None:
        return None
    return picture.pts * picture.time_base.numerator * NS_PER_S // picture.time_base.denominator


def bytes_lacking(path: str) -> int:
    """How many bytes a file lacks at its end at least; 0 where that cannot be told."""
    try:
        return missing_bytes(Path(path))
    except OSError:
        return 0
