from dataclasses import replace

from reid_pipeline.dashboard.run_rates import StageRate, dropped, kept, seen_by, stage_rates, total_fps, worst_lag_ms
from reid_pipeline.pipeline.live_socket import CameraState, LiveState


def camera(name="hall", frames=0, **other):
    fields = {"fps": 5.0, "lag_ms": 20.0, "dropped": {}} | other
    return CameraState(name, "online", 0, "", live=True, frames=frames, people=1, **fields)


def state(second, frames, stages, run=1):
    return LiveState(run, second * 1_000_000, (camera(frames=frames), camera("door")), stages, 0, 100.0)


def test_the_time_of_the_last_seconds_by_stage():
    states = [
        state(0, 0, {"detect": 9.0}),
        state(20, 100, {"detect": 10.0, "encode": 1.0}),
        state(25, 150, {"detect": 11.0, "encode": 3.5, "track": 0.5, "idle": 0.0}),
    ]
    assert stage_rates(states) == (
        StageRate("encode", 50.0, 0.5),
        StageRate("detect", 20.0, 0.2),
        StageRate("track", 10.0, 0.1),
    )


def test_nothing_is_said_of_one_moment_or_without_frames():
    assert stage_rates([state(1, 10, {"detect": 1.0})]) == ()
    assert stage_rates([state(1, 10, {"detect": 1.0}), state(2, 10, {"detect": 1.5})]) == ()


def test_moments_of_another_run_are_forgotten_and_old_ones_too():
    now = state(200, 5, {}, run=2)
    assert kept([state(1, 1, {})], now) == [now]
    before = [state(second, 1, {}) for second in range(150)]
    found = kept(before, state(200, 5, {}))
    assert len(found) == 90
    assert found[-2] == before[-1]


def test_only_what_may_be_seen_is_counted():
    cameras = (camera(dropped={"late": 2, "torn": 1}), camera("door", lag_ms=None, fps=2.0))
    whole = replace(state(1, 0, {}), cameras=cameras)
    assert [each.camera for each in seen_by(whole, ["door"])] == ["door"]
    assert (total_fps(cameras), worst_lag_ms(cameras), dropped(cameras)) == (7.0, 20.0, 3)
    assert worst_lag_ms(cameras[1:]) is None
