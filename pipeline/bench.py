"""`reid-pipeline bench pipeline`: the speed bars, measured from outside on real footage, beside the floor and a peer.

Speed is frames over time between two runs of different length, so that start and end cancel out; each figure is the
median of several rounds, with the floor measured before and after each one, because machines are noisy.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from rich.console import Console
from rich.table import Table

from reid_pipeline.pipeline.errors import InputError, PipelineError
from reid_pipeline.pipeline.runtime import cache_folder, processors

ROUNDS: Final = 3
ONE_CAMERA_FRAMES: Final = (100, 700)
FOUR_CAMERA_FRAMES: Final = (50, 290)
PEER_FRAMES: Final = 300
LIVE_CAMERAS, LIVE_FPS, LIVE_S = 10, 5.0, 30.0
_TIMEOUT_S: Final = 1800
_PEER_PACKAGES: Final = ("boxmot==25.0.0", "ultralytics-opencv-headless", "openvino", "onnxruntime")

Inputs = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure beside what it has to reach; `passed` is None where there is no bar."""

    name: str
    value: float
    unit: str
    bar: str = ""
    passed: bool | None = None


@dataclass(frozen=True, slots=True)
class Footage:
    """Where the footage and the models are, as in the folder that REID_TEST_DATA names."""

    root: Path

    @property
    def detector(self) -> Path:
        """The detector of the bars."""
        return self.root / "weights" / "yolo11n_int8_openvino_model"

    @property
    def encoder(self) -> Path:
        """The encoder of the bars."""
        return self.root / "weights" / "osnet_x0_25_msmt17"

    @property
    def one(self) -> Inputs:
        """One camera."""
        return {"view1": {"path": str(self.root / "video/pets09_s2l1/View_001.mp4"), "fps": 7}}

    @property
    def four(self) -> Inputs:
        """Four cameras, two of them 1080p."""
        return {
            **self.one,
            "view6": {"path": str(self.root / "video/pets09_s2l1/View_006.mp4"), "fps": 7},
            "retail": {"path": str(self.root / "video/clips/retail_1080p.mp4")},
            "street": {"path": str(self.root / "video/clips/street_1080p.mp4")},
        }


def find_footage() -> Footage:
    """The footage that the environment variable REID_TEST_DATA names.

    Raises:
        InputError: It is not set, or something is missing there.
    """
    root = os.environ.get("REID_TEST_DATA")
    if not root:
        raise InputError("REID_TEST_DATA is not set: expected the folder with the footage and weights of the bars")
    footage = Footage(Path(root))
    for path in (footage.detector, footage.encoder, *(Path(str(entry["path"])) for entry in footage.four.values())):
        if not path.exists():
            raise InputError(f"REID_TEST_DATA: {path} is missing")
    return footage


def bench_command(*, json_output: bool, with_peer: bool) -> int:
    """Measures, shows a table, and prints JSON where asked; returns 1 when a bar is missed."""
    footage = find_footage()
    console = Console(stderr=True)
    steps: list[tuple[str, Callable[[], list[Bar]]]] = [
        ("one camera", lambda: _one_camera(footage)),
        ("four cameras", lambda: _four_cameras(footage)),
        ("ten live cameras", lambda: _live_cameras(footage)),
    ]
    bars: list[Bar] = []
    for name, measure in steps:
        with console.status(f"measuring {name}"):
            bars += measure()
    if with_peer:
        try:
            with console.status("measuring BoxMOT, which is installed the first time"):
                bars += _peer(footage)
        except PipelineError as error:  # somebody else's program: its failure takes nothing from our figures
            console.print(f"[yellow]![/] BoxMOT was not measured: {error}")
    show_bars(bars, console)
    if json_output:
        sys.stdout.write(json.dumps(_as_json(bars, footage)) + "\n")
    return 1 if any(bar.passed is False for bar in bars) else 0


def _one_camera(footage: Footage) -> list[Bar]:
    speeds, ratios, starts = [], [], []
    for _ in range(ROUNDS):
        speed, ratio, short_s = _round(footage, footage.one, ONE_CAMERA_FRAMES)
        speeds.append(speed)
        ratios.append(ratio)
        starts.append(short_s - ONE_CAMERA_FRAMES[0] / speed)
    ratio, start_s = statistics.median(ratios), statistics.median(starts)
    return [
        Bar("one camera", statistics.median(speeds), "frames/s"),
        Bar("one camera / detector alone", ratio, "", ">= 0.80", ratio >= 0.80),
        Bar("start and end of a run", start_s, "s", "< 3", start_s < 3),
    ]


def _four_cameras(footage: Footage) -> list[Bar]:
    rounds = [_round(footage, footage.four, FOUR_CAMERA_FRAMES) for _ in range(ROUNDS)]
    ratio = statistics.median(entry[1] for entry in rounds)
    rss_mb = _run(footage, footage.four, FOUR_CAMERA_FRAMES[1])[1]["peak_rss_mb"]
    return [
        Bar("four cameras", statistics.median(entry[0] for entry in rounds), "frames/s"),
        Bar("four cameras / detector alone", ratio, "", ">= 0.75", ratio >= 0.75),
        Bar("four cameras, peak memory", rss_mb, "MB", "< 1500", rss_mb < 1500),
    ]


def _round(footage: Footage, inputs: Inputs, frames: tuple[int, int]) -> tuple[float, float, float]:
    """Frames per second, their ratio to the floor, and the seconds of the shorter run."""
    floor_before = _floor(footage)
    short_s, long_s = (_run(footage, inputs, count)[0] for count in frames)
    floor_after = _floor(footage)
    speed = (frames[1] - frames[0]) * len(inputs) / (long_s - short_s)
    return speed, speed / ((floor_before + floor_after) / 2), short_s


def _floor(footage: Footage) -> float:
    command = [sys.executable, "-m", "reid_pipeline.pipeline.bench_floor", str(footage.detector)]
    return float(_output(command))


def _run(footage: Footage, inputs: Inputs, frames: int) -> tuple[float, dict[str, Any]]:
    """Runs the cameras from nothing, in a process of its own; returns its seconds and its summary."""
    with tempfile.TemporaryDirectory() as folder:
        config = _write_config(Path(folder), footage, inputs)
        command = [sys.executable, "-m", "reid_pipeline.pipeline.cli", "run", str(config), "--json"]
        start = time.perf_counter()
        summary: dict[str, Any] = json.loads(_output([*command, "--max-frames", str(frames)]))
        return time.perf_counter() - start, summary


def _write_config(folder: Path, footage: Footage, inputs: Inputs) -> Path:
    config = {
        "site": {"name": "bench", "data_dir": str(folder / "data")},
        "cameras": {name: {"inputs": [dict(entry)]} for name, entry in inputs.items()},
        "detector": {"model": str(footage.detector)},
        "encoder": {"model": str(footage.encoder)},
    }
    path = folder / "cameras.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def _live_cameras(footage: Footage) -> list[Bar]:
    """Ten 720p streams from an RTSP server beside the run, which shares the processors with it."""
    from reid_pipeline.pipeline.bench_live import measure_live

    with tempfile.TemporaryDirectory() as folder:
        measured = measure_live(
            Path(folder),
            footage.root / "video/clips/overhead_720p.mp4",
            lambda inputs: _write_config(Path(folder), footage, inputs),
            cameras=LIVE_CAMERAS,
            fps=LIVE_FPS,
            seconds=LIVE_S,
        )
    if measured is None:
        return []
    spread = measured.spread
    return [
        Bar("ten live cameras", measured.fps, "frames/s"),
        Bar("largest difference from the mean share", 100 * spread, "%", "<= 10", spread <= 0.10),
        Bar("95th percentile of the decisions' age", measured.p95_ms, "ms", "< 1000", measured.p95_ms < 1000),
    ]


def _peer(footage: Footage) -> list[Bar]:
    python = _peer_python()
    script = Path(__file__).with_name("bench_boxmot.py")
    video = str(footage.one["view1"]["path"])
    encoder = footage.encoder / "osnet_x0_25_msmt17.onnx"
    command = [str(python), str(script), video, str(footage.detector), str(encoder), str(PEER_FRAMES)]
    peer, ratios = [], []
    for _ in range(ROUNDS):
        peer.append(float(_output(command).strip().splitlines()[-1]))
        ratios.append(_round(footage, footage.one, ONE_CAMERA_FRAMES)[0] / peer[-1])
    return [
        Bar("BoxMOT's loop, one camera", statistics.median(peer), "frames/s"),
        Bar("one camera / BoxMOT's loop", statistics.median(ratios), ""),
    ]


def _peer_python() -> Path:
    """The interpreter of the peer's own environment, which is made the first time."""
    folder = cache_folder() / "peers" / "boxmot"
    python = folder / "bin" / "python"
    if not (folder / "ready").is_file():
        _output([sys.executable, "-m", "venv", "--clear", str(folder)])
        _output([str(python), "-m", "pip", "install", "--quiet", *_PEER_PACKAGES])
        (folder / "ready").touch()
    return python


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr.strip() or "no reason given").splitlines()
        raise PipelineError(f"bench: {' '.join(command[:4])}: exit {error.returncode}: {lines[-1]}") from error
    return done.stdout


def show_bars(bars: Sequence[Bar], console: Console) -> None:
    """Shows figures beside their bars."""
    table = Table("figure", "value", "bar", "", box=None, header_style="bold")
    marks = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}
    for bar in bars:
        table.add_row(bar.name, f"{bar.value:.2f} {bar.unit}", bar.bar, marks[bar.passed])
    console.print(table)


def _as_json(bars: Sequence[Bar], footage: Footage) -> dict[str, object]:
    return {
        **{bar.name: round(bar.value, 4) for bar in bars},
        "passed": all(bar.passed is not False for bar in bars),
        "machine": {"processors": processors(), "processor": platform.processor(), "python": platform.python_version()},
        "detector": footage.detector.name,
        "encoder": footage.encoder.name,
        "rounds": ROUNDS,
    }
