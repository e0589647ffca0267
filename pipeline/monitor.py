"""Where the time goes, how old decisions are, how much memory is used."""

from __future__ import annotations

import resource
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

_KEPT_LATENCIES: Final = 20_000  # per camera; older ones are dropped
_RATE_S: Final = 5.0  # what the present rate is counted over


class StageClock:
    """Adds up the time of one thread by stage; a stage inside another is not counted in both."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._inner: list[float] = [0.0]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the time until the block ends, less that of stages within."""
        start = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self._seconds[name] += spent - self._inner.pop()
            self._inner[-1] += spent

    def seconds(self) -> dict[str, float]:
        """Seconds by stage so far."""
        return {name: round(value, 3) for name, value in sorted(self._seconds.items())}


class CameraMonitor:
    """Counts of one camera and the ages of its decisions."""

    def __init__(self) -> None:
        self.frames_processed = 0
        self.detections = 0
        self._latencies: list[float] = []
        self._processed_s: deque[float] = deque(maxlen=1000)
        self._started_s = time.monotonic()

    def frame(self, detections: int, received_s: float) -> None:
        """Notes a processed frame: what was found in it, and when it came (`time.monotonic`)."""
        self._processed_s.append(time.monotonic())
        self.frames_processed += 1
        self.detections += detections
        if len(self._latencies) >= _KEPT_LATENCIES:
            del self._latencies[: _KEPT_LATENCIES // 2]
        self._latencies.append((time.monotonic() - received_s) * 1000)

    def rate(self) -> float:
        """Frames processed a second now; may be called from any thread."""
        since_s = time.monotonic() - _RATE_S
        recent = [each for each in tuple(self._processed_s) if each >= since_s]
        return len(recent) / min(_RATE_S, max(time.monotonic() - self._started_s, 1.0))

    @property
    def latencies_ms(self) -> list[float]:
        """Milliseconds from capture (live) or decoding (file) to decision, of the last frames."""
        return self._latencies


def percentiles(latencies_ms: list[float]) -> dict[str, float | None]:
    """The median and the 95th percentile in milliseconds; None without any value."""
    if not latencies_ms:
        return {"p50": None, "p95": None}
    p50, p95 = np.percentile(np.array(latencies_ms), [50, 95]).tolist()
    return {"p50": round(p50, 1), "p95": round(p95, 1)}


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in megabytes of 2^20 bytes."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
