"""What a run does now, from what it said at two moments: where the time goes, and how fast it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reid_pipeline.pipeline.live_socket import CameraState, LiveState

_WINDOW_US: Final = 10_000_000  # rates are of about so long
_KEPT: Final = 90


@dataclass(frozen=True, slots=True)
class StageRate:
    """A stage of the work: milliseconds that a frame takes in it, and its part of the run's time, 0 to 1."""

    name: str
    frame_ms: float
    share: float


def kept(states: Sequence[LiveState], now: LiveState) -> list[LiveState]:
    """Some moments of a run and now, oldest first; only now where another run has begun."""
    same = [each for each in states if each.run_id == now.run_id and each.at_us < now.at_us]
    return [*same[-_KEPT + 1 :], now]


def stage_rates(states: Sequence[LiveState]) -> tuple[StageRate, ...]:
    """Where the time went over the last seconds, most first; empty where there is but one moment, or no frame came."""
    now = states[-1]
    before = next((each for each in states if now.at_us - each.at_us <= _WINDOW_US), now)
    frames = sum(each.frames for each in now.cameras) - sum(each.frames for each in before.cameras)
    passed_s = (now.at_us - before.at_us) / 1e6
    if frames <= 0 or passed_s <= 0:
        return ()
    spent = {name: seconds - before.stages_s.get(name, 0.0) for name, seconds in now.stages_s.items()}
    rates = [StageRate(name, 1000 * each / frames, each / passed_s) for name, each in spent.items() if each > 0]
    return tuple(sorted(rates, key=lambda rate: -rate.share))


def seen_by(state: LiveState, cameras: Sequence[str]) -> tuple[CameraState, ...]:
    """The cameras of a run that somebody may see."""
    return tuple(each for each in state.cameras if each.camera in cameras)


def total_fps(cameras: Sequence[CameraState]) -> float:
    """Frames a second of some cameras together."""
    return sum(each.fps for each in cameras)


def worst_lag_ms(cameras: Sequence[CameraState]) -> float | None:
    """The age of the oldest of the newest decisions; None where there is none."""
    return max((each.lag_ms for each in cameras if each.lag_ms is not None), default=None)


def dropped(cameras: Sequence[CameraState]) -> int:
    """Frames that were dropped, for whatever reason."""
    return sum(sum(each.dropped.values()) for each in cameras)
