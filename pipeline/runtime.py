"""Graphs that run: many requests at once on one compiled graph, each answered on its own.

On a processor every request runs on one thread, and there are as many threads as processors. This gives the highest
throughput (cameras never wait for one another, as they would in a batch), and the result of a request does not depend
on how many processors there are or on what runs beside it: the same files give the same bytes.

The runtimes themselves: `runtime_openvino`, `runtime_onnx`, `runtime_torch`, `runtime_tensorrt`. Which of them serves a
model is decided in `runtime_choice`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.storage.model_card import InputCard

Array = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Size = tuple[int, int]  # height, width in pixels

RuntimeName = Literal["openvino", "onnxruntime", "torch", "tensorrt"]
Precision = Literal["f32", "bf16", "f16"]

QUEUED: Final = 2  # requests that wait their turn, so that a thread never runs dry


@dataclass(frozen=True, slots=True)
class Engine:
    """What computes a graph: which library, in which precision, where.

    Example:
        >>> str(Engine("openvino", "bf16"))
        'openvino bf16 on cpu'
    """

    runtime: RuntimeName
    precision: Precision
    device: Literal["cpu", "cuda"] = "cpu"

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision} on {self.device}"


class PendingOutput(Protocol):
    """An answer on its way."""

    def done(self) -> bool:
        """Whether `result` returns at once."""
        ...

    def result(self) -> Array:
        """Waits for the first output of the graph."""
        ...


class Runtime(Protocol):
    """A graph compiled for inputs ``(1, H, W, 3) uint8`` BGR; scaling and colour order are done inside."""

    @property
    def engine(self) -> Engine:
        """What computes."""
        ...

    @property
    def capacity(self) -> int:
        """Requests that may be under way at once."""
        ...

    def start(self, pixels: Pixels, when_done: Callable[[], None] | None = None) -> PendingOutput:
        """Starts one request; waits where `capacity` requests are under way."""
        ...


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_folder() -> Path:
    """Where compiled graphs are kept; it can be deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "reid-pipeline"


def to_network(pixels: Pixels, card: InputCard) -> Array:
    """Prepares pixels as the card says: ``(N, H, W, 3) uint8`` BGR to ``(N, 3, H, W) float32``."""
    ordered = pixels[..., ::-1] if card.colour == "RGB" else pixels
    scaled = ordered.astype(np.float32) * np.float32(card.pixel_scale)
    normal = (scaled - np.array(card.mean, np.float32)) / np.array(card.std, np.float32)
    return np.ascontiguousarray(normal.transpose(0, 3, 1, 2), np.float32)
