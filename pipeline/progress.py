"""What a person sees while `run` works: a live table on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

logger = logging.getLogger(__name__)

REFRESH_S: Final = 0.5
LOG_EVERY_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class CameraProgress:
    """Where one camera stands.

    Attributes:
        camera: Name.
        state: Of the feed: connecting, online, reconnecting, ended, broken, failed.
        frames: Frames processed so far.
        total: Frames that there will be, where it is known.
        dropped: Frames dropped so far.
        lag_ms: Age of the last decision.
    """

    camera: str
    state: str
    frames: int
    total: int | None
    dropped: int
    lag_ms: float | None


class RunProgress:
    """Shows the cameras of a run; use it as a context manager.

    Args:
        console: Where to; a terminal gets a live table, anything else log lines.
    """

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        self._start_s = time.monotonic()
        self._shown_s = self._start_s

    def __enter__(self) -> RunProgress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def due(self) -> bool:
        """Whether it is time to show again."""
        return time.monotonic() - self._shown_s >= (LOG_EVERY_S if self._live is None else REFRESH_S)

    def show(self, cameras: Sequence[CameraProgress]) -> None:
        """Shows where the cameras stand."""
        self._shown_s = time.monotonic()
        elapsed_s = max(self._shown_s - self._start_s, 1e-9)
        if self._live is not None:
            self._live.update(_table(cameras, elapsed_s), refresh=True)
            return
        for entry in cameras:
            logger.info("%s: %s", entry.camera, ", ".join(filter(None, _cells(entry, elapsed_s))))


def _table(cameras: Sequence[CameraProgress], elapsed_s: float) -> Table:
    table = Table("camera", "state", "frames", "rate", "left", "lag", "dropped", box=None, header_style="dim")
    for entry in cameras:
        table.add_row(entry.camera, *_cells(entry, elapsed_s))
    return table


def _cells(entry: CameraProgress, elapsed_s: float) -> tuple[str, ...]:
    rate = entry.frames / elapsed_s
    frames, left = f"{entry.frames} frames", ""
    if entry.total:
        frames = f"{entry.frames}/{entry.total} ({100 * entry.frames / entry.total:.0f} %)"
        left = f"eta {(entry.total - entry.frames) / rate:.0f} s" if rate > 0 and entry.total > entry.frames else "done"
    lag = "" if entry.lag_ms is None else f"lag {entry.lag_ms:.0f} ms"
    return entry.state, frames, f"{rate:.1f} fps", left, lag, f"{entry.dropped} dropped"
