"""When a frame was captured: the time stamps of files and of live streams turned into UTC microseconds."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

SECOND_US = 1_000_000
# A stream's delay varies by less than this; beyond it, the stream's own clock has jumped and is anchored anew.
LARGEST_DELAY_US = 10 * SECOND_US
# Long enough to hold one undelayed frame, short enough to follow a camera clock that drifts.
WINDOW_US = 20 * SECOND_US
# A camera whose clock is further off than this is not set: the time of arrival is the better one.
LARGEST_CLOCK_ERROR_US = 60 * SECOND_US


class FileClock:
    """Capture times of a file: its time stamps counted from ``start_us``, or a fixed rate."""

    def __init__(self, start_us: int, nominal_fps: Fraction, fixed: bool) -> None:
        """Starts the clock.

        Args:
            start_us: Capture time of the first frame.
            nominal_fps: Rate of frames without a usable time stamp, above 0.
            fixed: Ignore the time stamps: the container lies.
        """
        self._start_us = start_us
        self._fps = nominal_fps
        self._fixed = fixed
        self._first_ns: int | None = None
        self._last_us: int | None = None

    def time_us(self, index: int, stamp_ns: int | None) -> int:
        """Gives the capture time of the next frame, always later than the one before.

        Args:
            index: Position in the file, from 1.
            stamp_ns: Time stamp in whole nanoseconds, None where there is none. Whole nanoseconds because GStreamer
                has no finer ones: so every decoder gives the same times.
        """
        if self._last_us is None:
            self._first_ns = stamp_ns
        if self._fixed or self._first_ns is None:
            time_us = self._start_us + round((index - 1) * SECOND_US / self._fps)
        elif stamp_ns is None:
            time_us = self._step_us()
        else:
            time_us = self._start_us + (stamp_ns - self._first_ns + 500) // 1000
        if self._last_us is not None and time_us <= self._last_us:
            time_us = self._step_us()
        self._last_us = time_us
        return time_us

    def _step_us(self) -> int:
        last_us = self._start_us if self._last_us is None else self._last_us
        return last_us + round(SECOND_US / self._fps)


class LiveClock:
    """Capture times of a live stream: the stream's clock, set by the least delayed frame of the last seconds.

    Delivery adds a delay that varies from frame to frame; the smallest difference between arrival and time stamp is
    the one with the least of it. A window, because the clocks of camera and computer drift apart by seconds a day.
    Where the camera tells its own time (RTCP sender reports), the part of the delay that all frames share is known
    too and taken off.

    Attributes:
        delay_us: How much later than the least delayed frame the last one arrived.

    Source: the minimum over a sliding window is kept as in Lemire, "Streaming maximum-minimum filter using no more
    than three comparisons per element", 2006.
    """

    def __init__(self) -> None:
        self.delay_us = 0
        self._window: deque[tuple[int, int]] = deque()  # (arrival, difference), differences rising: the first is least
        self._reference_us: int | None = None
        self._shared_delay_us = 0
        self._last_us: int | None = None

    def time_us(self, stamp_us: int | None, arrival_us: int, reference_us: int | None = None) -> int:
        """Gives the capture time of the next frame, always later than the one before.

        Args:
            stamp_us: Its time stamp by the stream's clock; None gives the time of arrival.
            arrival_us: When it arrived, UTC.
            reference_us: What to add to a time stamp to get UTC, as the camera says; None where it does not say.
        """
        time_us, self.delay_us = arrival_us, 0
        if stamp_us is not None:
            least_us = self._least_difference(arrival_us, arrival_us - stamp_us)
            if reference_us is not None and reference_us != self._reference_us:
                shared_us = least_us - reference_us
                self._shared_delay_us = shared_us if abs(shared_us) <= LARGEST_CLOCK_ERROR_US else 0
                self._reference_us = reference_us
            self.delay_us = arrival_us - stamp_us - least_us
            time_us = stamp_us + least_us - self._shared_delay_us
        if self._last_us is not None:
            time_us = max(time_us, self._last_us + 1)
        self._last_us = time_us
        return time_us

    def _least_difference(self, arrival_us: int, difference_us: int) -> int:
        window = self._window
        if window and difference_us - window[0][1] > LARGEST_DELAY_US:
            window.clear()
        while window and window[-1][1] >= difference_us:
            window.pop()
        window.append((arrival_us, difference_us))
        while window[0][0] < arrival_us - WINDOW_US:
            window.popleft()
        return window[0][1]
