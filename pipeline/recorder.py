"""Keeps the coded pictures of cameras in clips, as they come: nothing is decoded, and no sound is asked for.

A clip begins at a key frame and ends at the first one after `CLIP_S`. Its times are those that a run gives the frames
of the same source (`packet_times`).
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from reid_pipeline.configs.log import redact_url
from reid_pipeline.pipeline.capture_time import SECOND_US
from reid_pipeline.pipeline.clip_writer import ClipWriter, check_codec, copy_clip, length_us
from reid_pipeline.pipeline.errors import PipelineError, SourceBroken, SourceLost, SourceNotFound
from reid_pipeline.pipeline.feed import FeedTiming
from reid_pipeline.pipeline.packet_times import (
    LEAP_S,
    FileTimes,
    LiveTimes,
    Packet,
    PacketTimes,
    in_us,
    shown_order,
)
from reid_pipeline.pipeline.source_ffmpeg import bytes_lacking, explain, find_video, nominal_fps, open_input
from reid_pipeline.pipeline.sources import SourceKind, SourceSpec
from reid_pipeline.storage.clips import LONGEST_US, Clips, split_path
from reid_pipeline.storage.errors import ClipError, SealBroken

logger = logging.getLogger(__name__)

CLIP_S: Final = 10
# Unlike what a run opens a stream with: a second's delay does no harm here, a lost packet does.
_LIVE_OPTIONS: Final = {"max_delay": "500000", "fpsprobesize": "0", "allowed_media_types": "video"}
_TIMING: Final = FeedTiming()


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a camera so far.

    Attributes:
        clips: How many were stored.
        bytes: Of all of them.
        seconds: Of footage in them.
        connections: How often a stream was opened.
    """

    clips: int = 0
    bytes: int = 0
    seconds: float = 0.0
    connections: int = 0


class CameraRecorder:
    """Records one camera in a daemon thread.

    Attributes:
        recorded: What it has stored so far.
        done: Whether it has ended.
        error: Why, where that was an error.

    Args:
        spec: The camera's input.
        live: Whether it is a stream, which is connected anew when it is lost.
        clips: Where to.
        stopping: Ends it, after the packet that it waits for.
        timing: Reconnecting.
        ended: Called at its end, from its thread.
    """

    def __init__(
        self,
        spec: SourceSpec,
        clips: Clips,
        stopping: threading.Event,
        *,
        live: bool,
        timing: FeedTiming = _TIMING,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.spec = spec
        self.live = live
        self.recorded = Recorded()
        self.error: Exception | None = None
        self._clips = clips
        self._stopping = stopping
        self._timing = timing
        self._ended = ended
        self._writer: ClipWriter | None = None
        self._first_us = 0  # of the clip that is being written, as well as it is known by now
        self._last_us: int | None = None  # of the last clip
        self.done = False
        self._thread = threading.Thread(target=self._run, name=f"record-{spec.camera}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def _run(self) -> None:
        try:
            if self.live:
                self._stay_connected()
            else:
                self._record()
        except Exception as error:  # the outer frame of a worker: the command ends with it
            expected = isinstance(error, PipelineError)
            logger.error("%s", error if expected else redact_url(f"{self.spec.camera}: {error!r}"))
            self.error = error
        finally:
            self.done = True
            self._ended()

    def _stay_connected(self) -> None:
        wait_s = self._timing.first_wait_s
        while not self._stopping.is_set():
            before = self.recorded.clips
            try:
                self._record()
            except (SourceLost, SourceNotFound) as loss:
                if self.recorded.clips > before or self.recorded.connections <= 1:
                    wait_s = self._timing.first_wait_s
                    logger.warning("%s", loss)
            self._stopping.wait(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(2 * wait_s, self._timing.longest_wait_s)

    def _record(self) -> None:
        """Records one connection, or a file, to its end.

        Raises:
            SourceNotFound: It cannot be opened, or holds no video.
            SourceLost: A stream ended.
            SourceBroken: A file breaks off.
            InputError: What it sends cannot be kept.
        """
        with open_input(self.spec, self.live, _LIVE_OPTIONS) as container:
            stream = find_video(self.spec, container)
            check_codec(self.spec.camera, stream)
            logger.info("%s: recording %s", self.spec.camera, self.spec.redacted)
            self.recorded = _plus(self.recorded, connections=1)
            try:
                reason = self._keep(container, stream, self._times(container, stream))
            finally:
                self._finish()
        if not self._stopping.is_set():
            self._check_end(reason)

    def _times(self, container: InputContainer, stream: VideoStream) -> PacketTimes:
        base = stream.time_base or Fraction(1, 90_000)
        if self.live:
            return LiveTimes(container, base)
        spec = self.spec
        fps = Fraction(str(spec.fps)) if spec.fps else None
        with open_input(spec, live=False) as again:
            stamps = [packet.pts for packet in again.demux(find_video(spec, again)) if packet.size]
            raw = all(stamp is None for stamp in stamps)
        if raw:  # only a decoder knows in which order its pictures are shown
            with open_input(spec, live=False) as again:
                stamps = shown_order(again, find_video(spec, again), len(stamps))
        return FileTimes(stamps, base, spec.start_us, fps or (nominal_fps(stream) if raw else None))

    def _keep(self, container: InputContainer, stream: VideoStream, times: PacketTimes) -> str:
        """Takes packets until there are no more; returns why, empty at the end of a file."""
        packets = container.demux(stream)
        while not self._stopping.is_set():
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                return explain(self.spec, error)
            if packet is None:
                return "the stream ended" if self.live else ""
            if packet.size and (self.live or not packet.is_corrupt):  # of a file that is where it breaks off
                self._add(stream, times, packet)
        return ""

    def _add(self, stream: VideoStream, times: PacketTimes, packet: Packet) -> None:
        stamps = times.stamp(packet)
        if stamps is None:
            return
        shown, decoded = stamps
        if self._writer is not None and self._is_over(packet, (shown - self._writer.last) * times.time_base):
            self._finish()
        if self._writer is None:
            if not packet.is_keyframe:
                return
            first_us = times.offset_us + in_us(shown, times.time_base)
            part = self._clips.files.begin(self.spec.camera, first_us)
            self._writer = ClipWriter(part, stream, times.time_base, shown)
        self._writer.add(packet, shown, decoded)
        self._first_us = times.offset_us + in_us(self._writer.first, times.time_base)

    def _is_over(self, packet: Packet, step_s: Fraction) -> bool:
        """Whether a packet that is shown so long after the others belongs to another clip."""
        length_us = self._writer.length_us if self._writer is not None else 0
        with_it_us = length_us + step_s * SECOND_US
        leaps = self.live and abs(step_s) > LEAP_S
        return leaps or with_it_us > LONGEST_US or (packet.is_keyframe and with_it_us >= CLIP_S * SECOND_US)

    def _finish(self) -> None:
        """Stores the clip that is being written. Only now its times are known as well as they can be."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.close()
        first_us = self._first_us
        if self.live and self._last_us is not None:
            first_us = max(first_us, self._last_us + 1)  # as a run: the clock was set back
        stored = self._clips.store(writer.part, first_us, first_us + writer.length_us)
        self._last_us = stored.last_us
        self.recorded = _plus(self.recorded, clips=1, bytes=stored.bytes, seconds=writer.length_us / SECOND_US)

    def _check_end(self, reason: str) -> None:
        spec = self.spec
        if self.live:
            raise SourceLost(f"{spec.camera}: {spec.redacted} stopped delivering: {reason}")
        if not reason and spec.kind is SourceKind.FILE and (missing := bytes_lacking(spec.path)):
            reason = f"it lacks at least {missing} bytes at its end"
        if reason:
            raise SourceBroken(f"{spec.camera}: {spec.redacted} breaks off: {reason}")


def _plus(before: Recorded, clips: int = 0, bytes: int = 0, seconds: float = 0.0, connections: int = 0) -> Recorded:
    return Recorded(
        before.clips + clips, before.bytes + bytes, before.seconds + seconds, before.connections + connections
    )


def recover(clips: Clips) -> int:
    """Takes in what a recorder that died has left, as far as it can be read, and removes the rest; returns how many.

    Call it under `Database.lock_for_recording`.
    """
    return sum([*(_take_in_part(clips, path) for path in clips.files.parts()), *_take_in_files(clips)])


def _take_in_part(clips: Clips, path: str) -> bool:
    camera, first_us = split_path(path)
    part = clips.files.begin(camera, first_us, again=True)
    length = None
    with suppress(ClipError, SealBroken):  # one that was sealed, but not stored
        length = copy_clip(clips.files.open(path), part)
    if length is None:
        part.discard()
    else:
        clips.store(part, first_us, first_us + length)
    clips.files.delete([path])
    return length is not None


def _take_in_files(clips: Clips) -> Sequence[bool]:
    taken = []
    for path in clips.without_row():
        _, first_us = split_path(path)
        length = None
        with suppress(ClipError):  # one whose key was never stored
            length = length_us(clips.files.open(path))
        if length is None:
            clips.files.delete([path])
        else:
            clips.adopt(path, first_us + length)
        taken.append(length is not None)
    return taken
