from __future__ import annotations

import pytest

from reid_pipeline.pipeline.sampling import SampleGrid


def kept(fps: float, times_us: list[int]) -> list[int]:
    grid = SampleGrid(fps)
    return [index for index, time_us in enumerate(times_us) if grid(time_us)]


def test_25_frames_a_second_give_5_evenly_spaced():
    assert kept(5.0, [index * 40_000 for index in range(25)]) == [0, 5, 10, 15, 20]


def test_a_start_at_any_time_keeps_the_same_frames():
    start_us = 1_795_000_000_123_457
    assert kept(5.0, [start_us + index * 40_000 for index in range(25)]) == [0, 5, 10, 15, 20]


def test_a_rate_that_does_not_divide_keeps_the_right_number_in_the_long_run():
    # 30 frames a second for 10 s, 7 wanted: 70 slots, each with its first frame.
    assert len(kept(7.0, [index * 1_000_000 // 30 for index in range(300)])) == 70


def test_jitter_moves_no_later_slot():
    # Slots of 200 ms: 0-199, 200-399, 400-599. The frame due at 200 comes late, the one due at 400 early.
    assert kept(5.0, [0, 100_000, 230_000, 300_000, 399_000, 400_000]) == [0, 2, 5]


def test_a_slower_stream_keeps_every_frame():
    assert kept(5.0, [0, 300_000, 600_000]) == [0, 1, 2]


def test_a_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match="above 0, got 0"):
        SampleGrid(0)
