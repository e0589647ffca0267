from __future__ import annotations

from fractions import Fraction

import pytest

from reid_pipeline.pipeline.capture_time import FileClock, LiveClock

MS = 1_000_000  # of nanoseconds


def file_times(stamps_ns: list[int | None], fps: int = 10, fixed: bool = False) -> list[int]:
    clock = FileClock(1_000_000, Fraction(fps), fixed)
    return [clock.time_us(index, stamp) for index, stamp in enumerate(stamps_ns, 1)]


def test_file_times_count_from_the_first_stamp():
    assert file_times([200 * MS, 240 * MS, 300 * MS]) == [1_000_000, 1_040_000, 1_100_000]


def test_a_given_rate_replaces_the_stamps():
    assert file_times([0, 40 * MS, 80 * MS], fps=7, fixed=True) == [1_000_000, 1_142_857, 1_285_714]


def test_no_stamps_at_all_give_the_nominal_rate():
    assert file_times([None, None, None], fps=3) == [1_000_000, 1_333_333, 1_666_667]


def test_a_missing_or_falling_stamp_steps_on_by_one_frame():
    assert file_times([0, None, 150 * MS, 150 * MS, 120 * MS]) == [
        1_000_000,
        1_100_000,
        1_150_000,
        1_250_000,
        1_350_000,
    ]


def test_jitter_of_delivery_does_not_show():
    clock = LiveClock()
    # Captured every 40 ms at 5,000,000 + stamp; delivered 0, 90, 30, 0 ms late.
    times = [
        clock.time_us(stamp, 5_000_000 + stamp + late) for stamp, late in ((0, 0), (40_000, 90_000), (80_000, 30_000))
    ]
    assert times == [5_000_000, 5_040_000, 5_080_000]
    assert clock.delay_us == 30_000


def test_a_less_delayed_frame_corrects_the_clock_but_time_never_falls():
    clock = LiveClock()
    assert clock.time_us(0, 1_000_000) == 1_000_000
    # 300 ms less delayed than the first: 40,000 + 700,000 would be before the first frame.
    assert clock.time_us(40_000, 740_000) == 1_000_001
    assert clock.time_us(400_000, 1_150_000) == 1_100_000


def test_the_clock_follows_a_camera_that_drifts():
    clock = LiveClock()
    # The camera's clock is slow by 1 ms a second: after the window of 20 s its old offset must be forgotten.
    for second in range(100):
        last = clock.time_us(second * 999_000, second * 1_000_000)
    assert last == 99_000_000 - 20_000


def test_a_jump_of_the_streams_clock_is_anchored_anew():
    clock = LiveClock()
    clock.time_us(500_000_000, 1_000_000)
    assert clock.time_us(0, 2_000_000) == 2_000_000


def test_the_cameras_own_time_takes_off_the_shared_delay():
    clock = LiveClock()
    assert clock.time_us(0, 10_000_000) == 10_000_000
    # The camera says that stamp 0 was at 9,900,000: all frames are 100 ms on their way.
    assert clock.time_us(1_000_000, 11_000_000, reference_us=9_900_000) == 10_900_000
    assert clock.time_us(2_000_000, 12_020_000) == 11_900_000


def test_a_camera_clock_that_is_off_by_a_day_is_not_believed():
    assert LiveClock().time_us(0, 10_000_000, reference_us=-86_400_000_000) == 10_000_000


@pytest.mark.parametrize("reference_us", [None, 5])
def test_a_frame_without_stamp_has_its_time_of_arrival(reference_us):
    assert LiveClock().time_us(None, 7, reference_us) == 7
