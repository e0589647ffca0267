"""Which frames of a stream are looked at, by capture time."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

# Asked once for each frame, in order, with its capture time: whether the frame is to be yielded.
Wanted = Callable[[int], bool]


def every_frame(time_us: int) -> bool:
    """Wants each frame."""
    del time_us
    return True


class SampleGrid:
    """Keeps the first frame of each time slot; integers only, so that the same times give the same frames.

    The slots are ``1 / fps`` seconds long and the first one begins with the first frame. On average ``fps`` frames a
    second are kept, whatever the jitter of the camera; a stream slower than ``fps`` keeps every frame.

    Example:
        >>> grid = SampleGrid(5.0)
        >>> [grid(time_us) for time_us in (0, 100_000, 200_000, 300_000, 400_000)]
        [True, False, True, False, True]
    """

    def __init__(self, fps: float) -> None:
        """Sets the rate.

        Args:
            fps: Frames a second to keep, above 0; read as the decimal number that it prints as.

        Raises:
            ValueError: ``fps`` is not above 0.
        """
        if not fps > 0:
            raise ValueError(f"sample fps: expected a number above 0, got {fps}")
        self._rate = Fraction(str(fps)) / 1_000_000
        self._first_us: int | None = None
        self._last_slot = -1

    def __call__(self, time_us: int) -> bool:
        """Whether the frame of this time is the first of its slot."""
        if self._first_us is None:
            self._first_us = time_us
        slot = (time_us - self._first_us) * self._rate.numerator // self._rate.denominator
        if slot <= self._last_slot:
            return False
        self._last_slot = slot
        return True
