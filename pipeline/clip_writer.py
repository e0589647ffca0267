"""Coded pictures into clips and out of them again, without decoding.

A clip is an MP4 file in fragments of a second, which can be read to its last whole fragment whatever becomes of its
writer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from fractions import Fraction
from typing import BinaryIO, Final

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.packet_times import Packet, in_us
from reid_pipeline.storage.clips import ClipPart
from reid_pipeline.storage.errors import ClipError

# What MP4 holds and a player may know. MJPEG and MPEG-4 are there for old cameras.
_CODECS: Final = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg"})
# The head waits for the first fragment: only that has the parameters of streams that send them among their pictures.
_FRAGMENTED: Final = {"movflags": "delay_moov+default_base_moof", "frag_duration": "1000000"}


class ClipWriter:
    """One clip that is written. Its stamps count from its first picture, which is a key frame.

    Attributes:
        first: Stamp of the first picture, in ticks of the source.
        last: The latest stamp so far.
    """

    def __init__(self, part: ClipPart, template: VideoStream, time_base: Fraction, first: int) -> None:
        self.part = part
        self.first = self.last = first
        self._time_base = time_base
        self._container = av.open(part, "w", format="mp4", options=_FRAGMENTED)
        self._stream = self._container.add_stream_from_template(template)
        self._stream.time_base = time_base

    @property
    def length_us(self) -> int:
        """From its first to its last picture."""
        return in_us(self.last - self.first, self._time_base)

    def add(self, packet: Packet, shown: int, decoded: int) -> None:
        """Adds a coded picture; stamps as `PacketTimes.stamp` gives them.

        Raises:
            OSError: The disk is full.
        """
        self.last = max(self.last, shown)
        mux(self._container, self._stream, packet, (shown - self.first, decoded - self.first, self._time_base))

    def close(self) -> None:
        """Writes what is still in memory."""
        self._container.close()


def mux(
    container: av.container.OutputContainer, stream: VideoStream, packet: Packet, stamps: tuple[int, int, Fraction]
) -> None:
    """Writes a coded picture: when it is shown and decoded, and the time base of both."""
    packet.stream = stream
    packet.pts, packet.dts, packet.time_base = stamps
    container.mux(packet)


def check_codec(camera: str, stream: VideoStream) -> None:
    """Checks that what a camera sends can be kept.

    Raises:
        InputError: It cannot.
    """
    name = stream.codec_context.name
    if name not in _CODECS:
        raise InputError(
            f"{camera}: sends {name}: cannot be kept as it is: expected one of {', '.join(sorted(_CODECS))}"
        )


@contextmanager
def open_clip(file: BinaryIO) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens the bytes of a clip, and closes them.

    Raises:
        ClipError: They are none.
    """
    with closing(file):
        try:
            container = av.open(file, "r", format="mp4")
        except (av.FFmpegError, OSError) as error:  # the second for places that a torn file names and does not have
            raise ClipError(f"a clip cannot be read: {error}") from error
        with container:
            if not container.streams.video:
                raise ClipError("a clip cannot be read: it holds no video")
            yield container, container.streams.video[0]


def packets_of(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The coded pictures of a clip, as far as it can be read."""
    with suppress(av.FFmpegError, OSError):
        yield from (packet for packet in container.demux(stream) if packet.size and not packet.is_corrupt)


def length_us(file: BinaryIO) -> int | None:
    """From the first to the last picture of a clip; None where it cannot be read."""
    with suppress(ClipError), open_clip(file) as (container, stream):
        stamps = [packet.pts or 0 for packet in packets_of(container, stream)]
        if stamps and stream.time_base:
            return in_us(max(stamps) - stamps[0], stream.time_base)
    return None


def copy_clip(file: BinaryIO, part: ClipPart) -> int | None:
    """Writes what can be read of an unfinished clip; returns its length in microseconds, None where that is nothing."""
    writer: ClipWriter | None = None
    with suppress(ClipError), open_clip(file) as (container, stream):
        for packet in packets_of(container, stream):
            shown, decoded = packet.pts or 0, packet.dts if packet.dts is not None else packet.pts or 0
            writer = writer or ClipWriter(part, stream, stream.time_base or Fraction(1, 90_000), shown)
            writer.add(packet, shown, decoded)
        if writer is not None:
            writer.close()
    return None if writer is None else writer.length_us
