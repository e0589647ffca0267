"""When the coded pictures of a video were captured, without decoding them.

A source's stamps are kept, or made where they are missing or wrong; `offset_us` turns them into UTC. So a recorder
gives pictures the capture times that a run gives them, which decodes them (`capture_time`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from typing import Final, Protocol, TypeAlias

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from reid_pipeline.pipeline.capture_time import SECOND_US, LiveClock

Packet: TypeAlias = "av.Packet[VideoStream]"

MICROSECOND: Final = Fraction(1, SECOND_US)
# A stream whose stamps leap by more than this has set its own clock.
LEAP_S: Final = 10
# The first packets of a stream may lack stamps until it has told what they count from.
_STAMPLESS: Final = 10
# Streams with B-frames may come without decoding stamps: these are then as much before the others as any such are.
_REORDERING_S: Final = 1


class PacketTimes(Protocol):
    """What gives each packet its stamps, in the order in which they are decoded."""

    @property
    def time_base(self) -> Fraction:
        """Seconds of a tick of the stamps."""
        ...

    @property
    def offset_us(self) -> int:
        """What to add to a stamp, in microseconds, to get UTC: as well as it is known by now."""
        ...

    def stamp(self, packet: Packet) -> tuple[int, int] | None:
        """When the next packet is to be shown and decoded, in ticks; None where nobody knows.

        The second only rises, unless a stream has set its clock, and the first is not below it.
        """
        ...


class FileTimes:
    """Of a file: its stamps counted from a start, or a fixed rate.

    Source: `capture_time.FileClock`, for pictures that are decoded.
    """

    def __init__(self, stamps: list[int | None], time_base: Fraction, start_us: int, fps: Fraction | None) -> None:
        """Looks at all stamps, so that pictures of a fixed rate count in the order in which they are shown.

        Args:
            stamps: When each packet of the file is to be shown, in the order of decoding; None where it does not say.
            time_base: Of the stamps.
            start_us: Capture time of the first picture.
            fps: Pictures a second, in place of the stamps; None keeps these.
        """
        known = [stamp for stamp in stamps if stamp is not None]
        self._ranks: list[int] = []
        if fps is not None:
            shown = [index if stamp is None else stamp for index, stamp in enumerate(stamps)]
            by_stamp = sorted(range(len(stamps)), key=shown.__getitem__)
            self._ranks = sorted(range(len(stamps)), key=by_stamp.__getitem__)
        self._delay = max((index - rank for index, rank in enumerate(self._ranks)), default=0)
        self._step_us = Fraction(0) if fps is None else SECOND_US / fps
        self.time_base = time_base if fps is None else MICROSECOND
        self.offset_us = start_us if fps is not None or not known else start_us - in_us(min(known), time_base)
        self._steady = SteadyStamps(self.time_base)
        self._index = 0

    def stamp(self, packet: Packet) -> tuple[int, int]:
        """See `PacketTimes`."""
        index, self._index = self._index, self._index + 1
        if self._ranks:
            return round(self._ranks[index] * self._step_us), round((index - self._delay) * self._step_us)
        return self._steady.stamp(packet.pts, packet.dts)


class LiveTimes:
    """Of a stream: its own clock, set by the least delayed packet of the last seconds.

    Source: `capture_time.LiveClock`. A stream without stamps is timed by when its packets arrive.
    """

    def __init__(
        self, container: InputContainer, time_base: Fraction, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        self._container = container
        self._now_us = now_us
        self._clock = LiveClock()
        self._highest: int | None = None
        self._stampless: int | None = 0  # how many packets so far; None once one had a stamp
        self._arrives_from_us: int | None = None
        self._stream_base = time_base
        self._steady = SteadyStamps(time_base)
        self.offset_us = 0

    @property
    def time_base(self) -> Fraction:
        """See `PacketTimes`."""
        return self._stream_base if self._arrives_from_us is None else MICROSECOND

    def stamp(self, packet: Packet) -> tuple[int, int] | None:
        """See `PacketTimes`; the first packets decide whether the stream has stamps."""
        arrival_us = self._now_us()
        if self._stampless is not None and not self._decide(packet, arrival_us):
            return None
        pts = packet.pts if self._arrives_from_us is None else arrival_us - self._arrives_from_us
        if pts is not None and self._highest is not None and abs(pts - self._highest) * self.time_base > LEAP_S:
            self._highest, self._steady = None, SteadyStamps(self.time_base)
        shown, decoded = self._steady.stamp(pts, packet.dts if self._arrives_from_us is None else pts)
        if self._highest is None or shown > self._highest:  # a B-frame arrives after what is shown later
            stamp_us = in_us(shown, self.time_base)
            reference_us = self._container.start_time_realtime if self._arrives_from_us is None else None
            self.offset_us = self._clock.time_us(stamp_us, arrival_us, reference_us) - stamp_us
            self._highest = shown
        return shown, decoded

    def _decide(self, packet: Packet, arrival_us: int) -> bool:
        """Whether it is clear by now that a stream has stamps, or has none."""
        count, self._stampless = self._stampless or 0, None
        if packet.pts is None and count < _STAMPLESS:
            self._stampless = count + 1
        elif packet.pts is None:
            self._arrives_from_us = arrival_us
            self._steady = SteadyStamps(MICROSECOND)
        return self._stampless is None


class SteadyStamps:
    """Stamps as a file may have them: those of decoding rise, and none is shown before it is decoded."""

    def __init__(self, time_base: Fraction) -> None:
        self._reordering = round(_REORDERING_S / time_base)
        self._last: tuple[int, int] | None = None

    def stamp(self, shown: int | None, decoded: int | None) -> tuple[int, int]:
        """The next stamps, from those that came; None where there was none."""
        last_shown, last_decoded = self._last or (-1, None)
        if shown is None:
            shown = last_shown + 1
        if decoded is None:
            decoded = shown - self._reordering
        if last_decoded is not None:
            decoded = max(decoded, last_decoded + 1)
        self._last = (max(shown, decoded), decoded)
        return self._last


def shown_order(container: InputContainer, stream: VideoStream, count: int) -> list[int | None]:
    """Decodes a file without stamps to its end.

    Returns:
        When each of its packets is shown, as a number; None where it does not decode.
    """
    stamps: list[int | None] = [None] * count
    shown = index = 0
    for packet in container.demux(stream):
        if packet.size:
            packet.pts = packet.dts = index
            index += 1
        for picture in _decode(packet):
            if picture.pts is not None:
                stamps[picture.pts], shown = shown, shown + 1
    return stamps


def _decode(packet: Packet) -> list[av.VideoFrame]:
    try:
        return packet.decode()
    except av.FFmpegError:
        return []


def in_us(ticks: int, time_base: Fraction) -> int:
    """Ticks in microseconds, rounded.

    Example:
        >>> in_us(9, Fraction(1, 90_000))
        100
    """
    return round(ticks * time_base * SECOND_US)
