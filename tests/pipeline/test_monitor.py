import time

import pytest

from reid_pipeline.pipeline.monitor import CameraMonitor, StageClock, peak_rss_mb, percentiles


def test_an_inner_stage_is_not_counted_in_the_outer_one_too():
    clock, start = StageClock(), time.perf_counter()
    with clock.stage("track"):
        for _ in range(2):
            with clock.stage("encode"):
                time.sleep(0.05)
    wall = time.perf_counter() - start
    seconds = clock.seconds()
    assert set(seconds) == {"track", "encode"}
    assert seconds["track"] < seconds["encode"]
    assert sum(seconds.values()) <= wall + 0.001  # they are rounded


def test_stages_side_by_side_inside_a_third():
    clock, start = StageClock(), time.perf_counter()
    with clock.stage("outer"):
        with clock.stage("first"), clock.stage("deep"):
            time.sleep(0.03)
        with clock.stage("second"):
            time.sleep(0.03)
        time.sleep(0.03)
    wall = time.perf_counter() - start
    seconds = clock.seconds()
    assert seconds["first"] < min(seconds[name] for name in ("outer", "deep", "second"))
    assert sum(seconds.values()) <= wall + 0.002


def test_a_stage_that_fails_is_counted():
    clock = StageClock()
    with pytest.raises(KeyError), clock.stage("track"), clock.stage("encode"):
        time.sleep(0.02)
        raise KeyError
    assert clock.seconds()["encode"] > clock.seconds()["track"]


def test_a_camera_counts_frames_detections_and_ages():
    monitor, now = CameraMonitor(), time.monotonic()
    monitor.frame(3, now - 10)
    monitor.frame(0, now)
    old, new = monitor.latencies_ms
    assert (monitor.frames_processed, monitor.detections) == (2, 3)
    assert old >= 10_000
    assert 0 <= new < old


def test_old_ages_are_dropped_but_frames_stay_counted():
    monitor = CameraMonitor()
    for _ in range(45_000):
        monitor.frame(1, time.monotonic())
    assert (monitor.frames_processed, monitor.detections) == (45_000, 45_000)
    assert 10_000 <= len(monitor.latencies_ms) <= 20_000


def test_percentiles_by_hand():
    assert percentiles([float(value) for value in range(101)]) == {"p50": 50.0, "p95": 95.0}
    assert percentiles([7.04]) == {"p50": 7.0, "p95": 7.0}
    assert percentiles([]) == {"p50": None, "p95": None}


def test_peak_memory_never_shrinks():
    before = peak_rss_mb()
    block = bytearray(64 << 20)
    after = peak_rss_mb()
    assert len(block) == 64 << 20
    assert after >= before > 10
