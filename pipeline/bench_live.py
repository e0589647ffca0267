"""The bar for live cameras: streams from a real RTSP server beside the run, on the same processors."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av

# A key frame every two seconds, as cameras send them: who joins a stream waits for one.
_CAMERA_CODEC: Final = {"preset": "veryfast", "bf": "0", "g": "10"}
_START_S: Final = 3.0  # until all cameras are connected; counted by nobody
_STOP_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """What a run on live cameras gave.

    Attributes:
        fps: Frames processed a second, all cameras together.
        spread: Largest difference of one camera's frames from the mean, as a part of the mean.
        p95_ms: 95th percentile of the age of decisions.
    """

    fps: float
    spread: float
    p95_ms: float


def measure_live(
    folder: Path,
    video: Path,
    write_config: Callable[[Mapping[str, Mapping[str, object]]], Path],
    *,
    cameras: int,
    fps: float,
    seconds: float,
) -> LiveFigures | None:
    """Plays one video as many cameras and runs on them; None where GStreamer's RTSP server is not installed.

    Args:
        folder: An empty folder to work in.
        video: What the cameras show.
        write_config: Writes a cameras.yaml with these inputs.
        cameras: How many streams.
        fps: Frames a second of each.
        seconds: How long to run.
    """
    if importlib.util.find_spec("gi") is None:
        return None
    clip = folder / "clip.mp4"
    _thin_out(video, clip, fps)
    names = [f"camera{number}" for number in range(1, cameras + 1)]
    with _serve(clip, names) as address:
        config = write_config({name: {"path": f"{address}{name}", "transport": "tcp"} for name in names})
        summary = _run_for(config, seconds)
    frames = [camera["frames_processed"] for camera in summary["cameras"].values()]
    mean = max(sum(frames) / len(frames), 1e-9)
    spread = max(abs(count - mean) for count in frames) / mean
    return LiveFigures(summary["fps"], spread, summary["latency_ms"]["p95"] or float("inf"))


def _thin_out(video: Path, target: Path, fps: float) -> None:
    """Encodes a video again with fewer frames a second, in H.264."""
    with av.open(str(video)) as source, av.open(str(target), "w") as sink:
        stream = source.streams.video[0]
        step = max(round(float(stream.average_rate or 25) / fps), 1)
        out = sink.add_stream("libx264", rate=round(fps), options=_CAMERA_CODEC)
        out.codec_context.thread_count = 1  # more would cut each picture into slices
        out.width, out.height, out.pix_fmt = stream.width, stream.height, "yuv420p"
        for index, frame in enumerate(source.decode(stream)):
            if index % step == 0:
                sink.mux(out.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="yuv420p"), format="yuv420p")))
        sink.mux(out.encode(None))


@contextmanager
def _serve(clip: Path, names: list[str]) -> Iterator[str]:
    command = [sys.executable, "-m", "reid_pipeline.pipeline.bench_rtsp_server"]
    command += [part for name in names for part in ("--mount", f"/{name}={clip}")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            yield line.removeprefix("ready").strip()
        finally:
            server.kill()


def _run_for(config: Path, seconds: float) -> Any:
    command = [sys.executable, "-m", "reid_pipeline.pipeline.cli", "run", str(config), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        time.sleep(seconds + _START_S)
        run.send_signal(signal.SIGTERM)
        output, _ = run.communicate(timeout=_STOP_S)
    return json.loads(output)
