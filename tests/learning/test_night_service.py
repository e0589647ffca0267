import logging
import os
import signal
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from reid_pipeline.learning.errors import Stopped, TrainingError
from reid_pipeline.learning.night_service import Tally, Timetable, serve_nights, stopped_by_signals

BERLIN = ZoneInfo("Europe/Berlin")
TWO = Timetable(time(2, 0), BERLIN)
HALF_PAST_TWO = Timetable(time(2, 30), BERLIN)


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("table", "now", "begins"),
    [
        (TWO, utc(2026, 1, 5, 0, 59), utc(2026, 1, 5, 1, 0)),  # winter: an hour ahead of UTC
        (TWO, utc(2026, 1, 5, 1, 0), utc(2026, 1, 6, 1, 0)),
        (TWO, utc(2026, 7, 4, 23, 59), utc(2026, 7, 5, 0, 0)),  # summer: two hours
        (TWO, utc(2026, 7, 4, 22, 30), utc(2026, 7, 5, 0, 0)),  # the fifth there, the fourth in UTC
        (TWO, utc(2026, 12, 31, 12, 0), utc(2027, 1, 1, 1, 0)),
        (HALF_PAST_TWO, utc(2026, 3, 28, 12, 0), utc(2026, 3, 29, 1, 30)),  # that night has no half past two
        (HALF_PAST_TWO, utc(2026, 3, 29, 1, 30), utc(2026, 3, 30, 0, 30)),
        (HALF_PAST_TWO, utc(2026, 10, 24, 12, 0), utc(2026, 10, 25, 0, 30)),  # and that one has it twice
        (HALF_PAST_TWO, utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)),
        (Timetable(time(2, 0), UTC), utc(2026, 1, 5, 1, 59), utc(2026, 1, 5, 2, 0)),
    ],
)
def test_a_night_begins_once_a_day_at_the_time_of_the_site(table, now, begins):
    assert table.next_after(now) == begins


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self, now):
        self.time = now
        self.longest = 0.0

    def now(self):
        return self.time

    def sleep(self, seconds):
        assert seconds > 0
        self.longest = max(self.longest, seconds)
        self.time += timedelta(seconds=seconds)


def test_a_night_that_fails_is_logged_and_the_next_one_comes(caplog):
    clock, begun, tally = Clock(utc(2026, 1, 5, 12, 0)), [], Tally()

    def night():
        begun.append(clock.now())
        clock.time += timedelta(hours=1)
        if len(begun) == 1:
            raise TrainingError("the losses are no numbers")
        if len(begun) == 2:
            raise ZeroDivisionError
        if len(begun) == 4:
            raise Stopped("SIGTERM")

    with pytest.raises(Stopped), caplog.at_level(logging.INFO):
        serve_nights(night, TWO, tally, clock)
    assert begun == [utc(2026, 1, day, 1, 0) for day in (6, 7, 8, 9)]
    assert (tally.nights, tally.failed) == (4, 2)
    assert clock.longest <= 30.0
    assert "the night failed: the losses are no numbers" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert "begins at 2026-01-06T02:00+01:00" in caplog.text


def test_a_night_longer_than_a_day_leaves_one_out():
    clock, begun = Clock(utc(2026, 1, 5, 12, 0)), []

    def night():
        begun.append(clock.now())
        clock.time += timedelta(hours=25)
        if len(begun) == 2:
            raise Stopped("SIGTERM")

    with pytest.raises(Stopped):
        serve_nights(night, TWO, Tally(), clock)
    assert begun == [utc(2026, 1, day, 1, 0) for day in (6, 8)]


def test_a_signal_ends_what_goes_on():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match="SIGTERM"), stopped_by_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("went on")
    assert signal.getsignal(signal.SIGTERM) == before
