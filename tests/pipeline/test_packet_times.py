from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import av
import pytest

from reid_pipeline.pipeline.packet_times import FileTimes, LiveTimes, SteadyStamps, in_us

MILLISECOND = Fraction(1, 1000)
START_US = 1_763_640_000_000_000


def packet(shown, decoded=None):
    made = av.Packet(b"x")
    made.pts, made.dts = shown, decoded
    return made


def live(arrivals, time_base=MILLISECOND, reference_us=None):
    """Times of a stream whose packets arrive at given times."""
    container = SimpleNamespace(start_time_realtime=reference_us)
    return LiveTimes(container, time_base, now_us=iter(arrivals).__next__)


def test_the_stamps_of_a_file_count_from_its_start():
    times = FileTimes([500, 700, 600], MILLISECOND, START_US, None)

    assert [times.stamp(packet(*each)) for each in ((500, 400), (700, 500), (600, 600))] == [
        (500, 400),
        (700, 500),
        (600, 600),
    ]
    assert times.offset_us + in_us(500, times.time_base) == START_US


@pytest.mark.parametrize("stamps", [[0, 300, 100, 200], [5, 9, 6, 7], [None, None, None, None]])
def test_a_fixed_rate_counts_pictures_as_they_are_shown(stamps):
    times = FileTimes(stamps, MILLISECOND, START_US, Fraction(7))

    found = [times.stamp(packet(None)) for _ in stamps]

    shown, decoded = zip(*found, strict=True)
    order = (0, 3, 1, 2) if stamps[0] is not None else (0, 1, 2, 3)
    assert shown == tuple(round(rank * 1e6 / 7) for rank in order)
    assert all(one >= other for one, other in found)
    assert list(decoded) == sorted(set(decoded))
    assert (times.time_base, times.offset_us) == (Fraction(1, 1_000_000), START_US)


def test_a_stream_is_timed_by_its_least_delayed_packet():
    times = live([START_US + 300_000, START_US + 1_100_000, START_US + 2_400_000])

    offsets = []
    for shown in (90_000, 91_000, 92_000):
        assert times.stamp(packet(shown, shown)) == (shown, shown)
        offsets.append(times.offset_us)

    assert [offset + 90_000_000 - START_US for offset in offsets] == [300_000, 100_000, 100_000]


def test_what_a_camera_says_of_its_clock_is_believed():
    times = live([START_US + 300_000], reference_us=START_US)
    times.stamp(packet(0, 0))
    assert times.offset_us == START_US


def test_a_picture_that_arrives_after_what_is_shown_later_says_nothing_of_the_time():
    times = live([START_US, START_US + 200_000, START_US + 100_000])
    for shown in (0, 200, 100):
        times.stamp(packet(shown, None))
    assert times.offset_us == START_US


def test_a_stream_without_stamps_is_timed_by_when_it_arrives():
    times = live([0] * 10 + [START_US, START_US + 40_000, START_US + 90_000], reference_us=START_US - 7)
    assert [times.stamp(packet(None)) for _ in range(10)] == [None] * 10

    assert [times.stamp(packet(None)) for _ in range(3)] == [(0, 0), (40_000, 40_000), (90_000, 90_000)]
    assert (times.time_base, times.offset_us) == (Fraction(1, 1_000_000), START_US)


def test_the_first_packets_of_a_stream_may_lack_stamps():
    times = live([START_US] * 3)
    assert [times.stamp(packet(*each)) for each in ((None,), (None,), (9_000, 9_000))] == [None, None, (9_000, 9_000)]
    assert (times.time_base, times.offset_us) == (MILLISECOND, START_US - 9_000_000)


@pytest.mark.parametrize("leap", [-50_000, 50_000])
def test_a_stream_that_sets_its_clock_is_timed_anew(leap):
    times = live([START_US, START_US + 100_000, START_US + 200_000])
    times.stamp(packet(100_000, 100_000))
    times.stamp(packet(100_100, 100_100))

    assert times.stamp(packet(100_200 + leap, 100_200 + leap)) == (100_200 + leap, 100_200 + leap)
    assert times.offset_us + in_us(100_200 + leap, MILLISECOND) == START_US + 200_000


def test_stamps_that_no_file_may_have_are_mended():
    steady = SteadyStamps(MILLISECOND)

    found = [steady.stamp(*each) for each in ((5, None), (5, None), (9, 2), (3, 9), (None, None))]

    assert [decoded for _, decoded in found] == sorted({decoded for _, decoded in found})
    assert all(shown >= decoded for shown, decoded in found)
    assert found[2] == (9, 2)
