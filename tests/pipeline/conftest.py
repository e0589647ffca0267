"""Small real videos whose frames carry their own number, and an observer of feeds, for the tests of this folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from reid_pipeline.pipeline.datatypes import Image
from reid_pipeline.pipeline.feed import FeedState

PATIENCE_S = 30.0
WIDTH, HEIGHT, FPS = 64, 48, 10


def numbered_image(number: int) -> np.ndarray:
    """Draws a number below 256 as eight white or black bars over noise, so that a lossy codec cannot hide it."""
    image = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    bits = [255 * (number >> bit & 1) for bit in range(8)]
    image[: HEIGHT // 2] = np.repeat(bits, WIDTH // 8)[None, :, None]
    return image


def read_number(image: np.ndarray) -> int:
    """Reads the number that `numbered_image` drew."""
    bars = image[2 : HEIGHT // 2 - 2].reshape(HEIGHT // 2 - 4, 8, WIDTH // 8, 3)[:, :, 2:-2].mean(axis=(0, 2, 3))
    return sum(1 << bit for bit in range(8) if bars[bit] > 127)


def write_clip(path: Path, frames: int, *, gop: int, b_frames: int, codec: str, movflags: str) -> Path:
    """Encodes numbered frames, 1 first, at `FPS`."""
    options = {"movflags": movflags} if movflags else {}
    with av.open(str(path), "w", format="h264" if path.suffix == ".264" else None, options=options) as container:
        stream = container.add_stream(codec, rate=FPS, options={"qp": "20"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, b_frames
        for number in range(1, frames + 1):
            picture = av.VideoFrame.from_ndarray(numbered_image(number), format="bgr24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    """Writes a clip of 20 frames into the test's folder; the container is named by the suffix."""

    def make(
        name: str = "clip.mp4",
        frames: int = 20,
        *,
        gop: int = 8,
        b_frames: int = 0,
        codec: str = "libx264",
        movflags: str = "",
    ) -> Path:
        return write_clip(tmp_path / name, frames, gop=gop, b_frames=b_frames, codec=codec, movflags=movflags)

    return make


@pytest.fixture
def number_of() -> Callable[[np.ndarray], int]:
    """Reads the number out of a frame of a clip."""
    return read_number


@pytest.fixture
def make_image() -> Callable[[int], np.ndarray]:
    """Draws the frame of a number."""
    return numbered_image


class Observer:
    """Hears of everything that a feed does, and lets the test wait for it."""

    def __init__(self) -> None:
        self.states: list[tuple[FeedState, str]] = []
        self.prepared = 0
        self._condition = threading.Condition()

    def wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def on_state(self, state: FeedState, detail: str) -> None:
        with self._condition:
            self.states.append((state, detail))
            self._condition.notify_all()

    def prepare(self, image: Image) -> Image:
        with self._condition:
            self.prepared += 1
            self._condition.notify_all()
        return image[::2, ::2]

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits until something holds; looks again after each sign of the feed, and now and then."""
        deadline_s = time.monotonic() + PATIENCE_S
        with self._condition:
            while not holds():
                assert time.monotonic() < deadline_s, f"waited in vain; states so far: {self.states}"
                self._condition.wait(0.02)

    def names(self) -> list[FeedState]:
        return [state for state, _ in self.states]


@pytest.fixture
def observer() -> Observer:
    """Hears of everything that the test's feeds do."""
    return Observer()
