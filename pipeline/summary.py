"""`summary.json`: what a run did, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from reid_pipeline.pipeline.monitor import StageClock, peak_rss_mb, percentiles
from reid_pipeline.pipeline.runner import Camera
from reid_pipeline.storage.records import Totals

Summary = dict[str, Any]  # it is JSON

_NO_FRAMES: Final[Summary] = {
    "state": "finished before",
    "frames_read": 0,
    "frames_processed": 0,
    "frames_dropped": {},
    "detections": 0,
}


@dataclass(frozen=True, slots=True)
class RunTimes:
    """Moments of a run by `time.monotonic`, seconds; no first frame where nothing was read."""

    started_s: float
    first_frame_s: float | None
    committed_s: float


def summarise(
    names: Sequence[str], cameras: Sequence[Camera], totals: Totals, clock: StageClock, times: RunTimes
) -> Summary:
    """Totals at the top level and the same for each camera under ``cameras``; see the README for the fields.

    Args:
        names: All cameras of the configuration; those that were read to their end before have no part in `cameras`.
        cameras: The cameras of this run.
        totals: What this run stored.
        clock: Time by stage.
        times: Moments of the run.
    """
    found = {entry.camera: entry for entry in totals.cameras}
    running = {camera.name: camera for camera in cameras}
    by_camera = {}
    for name in names:
        counts, camera = found.get(name), running.get(name)
        frames = _count_frames(camera) if camera else {**_NO_FRAMES}
        by_camera[name] = {
            **frames,
            "tracklets": counts.tracklets if counts else 0,
            "identities": counts.identities if counts else 0,
            "fps": _rate(frames["frames_processed"], times),
            "latency_ms": percentiles(camera.monitor.latencies_ms if camera else []),
        }
    dropped: Counter[str] = Counter()
    for entry in by_camera.values():
        dropped.update(entry["frames_dropped"])
    processed = sum(entry["frames_processed"] for entry in by_camera.values())
    return {
        "frames_read": sum(entry["frames_read"] for entry in by_camera.values()),
        "frames_processed": processed,
        "frames_dropped": dict(dropped),
        "detections": sum(entry["detections"] for entry in by_camera.values()),
        "tracklets": totals.tracklets,
        "identities": totals.identities,
        "fps": _rate(processed, times),
        "wall_s": round(times.committed_s - times.started_s, 3),
        "start_s": None if times.first_frame_s is None else round(times.first_frame_s - times.started_s, 3),
        "latency_ms": percentiles([value for camera in cameras for value in camera.monitor.latencies_ms]),
        "stages_s": clock.seconds(),
        "peak_rss_mb": peak_rss_mb(),
        "cameras": by_camera,
    }


def _count_frames(camera: Camera) -> Summary:
    """State and counts of one camera; the frames read are those processed and those dropped."""
    dropped = dict(camera.feed.dropped)
    processed = camera.monitor.frames_processed
    waiting = camera.feed.frames_read - processed - sum(dropped.values())
    if camera.live and waiting:  # when the run was stopped; a file gives them again next time
        dropped["stopped"] = waiting
    return {
        "state": camera.feed.state,
        "frames_read": processed + sum(dropped.values()),
        "frames_processed": processed,
        "frames_dropped": dropped,
        "detections": camera.monitor.detections,
    }


def print_summary(summary: Summary, console: Console, data_dir: Path) -> None:
    """Shows the summary to a person."""
    table = Table("camera", "frames", "dropped", "tracklets", "people", "fps", "p95 ms", box=None, header_style="bold")
    for name, entry in summary["cameras"].items():
        table.add_row(name, *_cells(entry))
    if len(summary["cameras"]) > 1:
        table.add_row("all", *_cells(summary), style="bold")
    console.print(table)
    for name, entry in summary["cameras"].items():
        if entry["state"] == "broken":
            console.print(f"[yellow]![/] {name}: the file breaks off; what was read is kept")
    console.print(f"[green]✓[/] {summary['wall_s']:.1f} s; everything is in {data_dir}", highlight=False)


def _cells(entry: Summary) -> tuple[str, ...]:
    dropped = sum(count for reason, count in entry["frames_dropped"].items() if reason != "sampled")
    p95 = entry["latency_ms"]["p95"]
    return (
        str(entry["frames_processed"]),
        str(dropped),
        str(entry["tracklets"]),
        str(entry["identities"]),
        f"{entry['fps'] or 0:.1f}",
        "" if p95 is None else f"{p95:.0f}",
    )


def _rate(frames: int, times: RunTimes) -> float | None:
    if times.first_frame_s is None:
        return None
    return round(frames / max(times.committed_s - times.first_frame_s, 1e-9), 2)
