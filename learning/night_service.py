"""Nights at a time of the day, one after the other, until a signal ends them."""

from __future__ import annotations

import logging
import signal
import time as clocks
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from types import FrameType
from typing import Final, NoReturn, Protocol

from reid_pipeline.configs.errors import UserError
from reid_pipeline.learning.errors import Stopped

logger = logging.getLogger(__name__)

_NAP_S: Final = 30.0  # so that a clock that was set, or a machine that slept, is noticed


class Clock(Protocol):
    """What time it is, and waiting."""

    def now(self) -> datetime:
        """The time, in UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Returns after so many seconds."""
        ...


class SystemClock:
    """That of the machine."""

    def now(self) -> datetime:
        """See `Clock`."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        clocks.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Timetable:
    """When nights begin: at a time of the day, in a time zone."""

    at: time
    timezone: tzinfo

    def next_after(self, now: datetime) -> datetime:
        """The next beginning, in UTC; once a day, also where clocks are set back over that time."""
        today = now.astimezone(self.timezone).date()
        for days in range(3):
            moment = datetime.combine(today + timedelta(days), self.at, self.timezone).astimezone(UTC)
            if moment > now:
                return moment
        raise ValueError(f"{self.timezone} has no {self.at} in three days")


@dataclass(slots=True)
class Tally:
    """How many nights there were, how many of them failed."""

    nights: int = 0
    failed: int = 0


def serve_nights(night: Callable[[], object], table: Timetable, tally: Tally, clock: Clock) -> NoReturn:
    """Runs nights for ever; one that fails is logged, and the next one comes.

    Args:
        night: Runs one.
        table: When they begin.
        tally: Is kept up to date.
        clock: To wait by.
    """
    while True:
        moment = table.next_after(clock.now())
        logger.info("the next night begins at %s", moment.astimezone(table.timezone).isoformat(timespec="minutes"))
        _wait_until(moment, clock)
        tally.nights += 1
        try:
            night()
        except UserError as error:
            tally.failed += 1
            logger.error("the night failed: %s", error)
        except Exception:
            tally.failed += 1
            logger.exception("the night failed")


def _wait_until(moment: datetime, clock: Clock) -> None:
    while (left := (moment - clock.now()).total_seconds()) > 0:
        clock.sleep(min(left, _NAP_S))


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Lets SIGTERM end the block by `Stopped`, as SIGINT does by KeyboardInterrupt."""

    def stop(number: int, _: FrameType | None) -> None:
        raise Stopped(signal.Signals(number).name)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
