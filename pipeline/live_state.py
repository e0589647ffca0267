"""What a run does now, as its dashboard shows it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psutil

from reid_pipeline.pipeline.live_socket import CameraState, LiveState
from reid_pipeline.pipeline.monitor import StageClock
from reid_pipeline.pipeline.runner import Camera, Signals
from reid_pipeline.storage.writer import Writer


def live_state(
    run_id: int, cameras: Sequence[Camera], signals: Signals, clock: StageClock, writer: Writer
) -> LiveState:
    """Reads it; callable from any thread."""
    return LiveState(
        run_id=run_id,
        at_us=time.time_ns() // 1000,
        cameras=tuple(_camera_state(camera, signals) for camera in cameras),
        stages_s=clock.seconds(),
        waiting=writer.pending,
        rss_mb=round(psutil.Process().memory_info().rss / 2**20, 1),
    )


def _camera_state(camera: Camera, signals: Signals) -> CameraState:
    since_us, detail = signals.since.get(camera.name, (signals.started_us, ""))
    latencies = camera.monitor.latencies_ms
    return CameraState(
        camera=camera.name,
        state=camera.feed.state,
        since_us=since_us,
        detail=detail,
        live=camera.live,
        fps=round(camera.monitor.rate(), 1),
        frames=camera.monitor.frames_processed,
        dropped=camera.feed.dropped,
        lag_ms=round(latencies[-1], 1) if latencies else None,
        people=len(camera.identities),
    )
