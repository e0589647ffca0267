"""How a dashboard asks a run what goes on: a socket in the data folder, which only its owner can open.

A request is one line of JSON, and so is the head of each answer:

    {"state": true}                                 one line, `LiveState`, then the end
    {"camera": "hall", "fps": 5, "width": 960, "boxes": true}
                                                    pictures until somebody hangs up: a line, `LiveHead`, then the JPEG

Nothing is drawn or compressed while nobody asks.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

SOCKET_NAME: Final = "live.sock"
LONGEST_REQUEST: Final = 1000  # bytes
_LONGEST_PATH: Final = 100  # bytes; what a socket's address holds, less some
_PATIENCE_S: Final = 2.0

PixelBox = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class CameraState:
    """Where a camera of a run stands.

    Attributes:
        camera: Its name.
        state: Of its feed: connecting, online, reconnecting, ended, broken, failed.
        since_us: Wall-clock time since when.
        detail: Why, in a line; may be empty.
        live: Whether it is a stream; else a recording.
        fps: Frames processed a second, over the last seconds.
        frames: Frames processed so far.
        dropped: Frames dropped so far, by reason.
        lag_ms: Age of the last decision when it was made.
        people: How many people are in the picture.
    """

    camera: str
    state: str
    since_us: int
    detail: str
    live: bool
    fps: float
    frames: int
    dropped: Mapping[str, int]
    lag_ms: float | None
    people: int


@dataclass(frozen=True, slots=True)
class LiveState:
    """What a run does now.

    Attributes:
        run_id: Its number.
        at_us: Wall-clock time of this.
        cameras: In the order of the configuration.
        stages_s: Seconds that each stage has taken so far.
        waiting: Commits that wait for the disk.
        rss_mb: Memory in use.
    """

    run_id: int
    at_us: int
    cameras: tuple[CameraState, ...]
    stages_s: Mapping[str, float]
    waiting: int
    rss_mb: float

    def to_line(self) -> bytes:
        """As one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> LiveState:
        """From one line of JSON.

        Raises:
            ValueError: It is none.
        """
        try:
            fields = json.loads(line)
            return cls(**{**fields, "cameras": tuple(CameraState(**each) for each in fields["cameras"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"live state: expected the fields of LiveState, got {line[:80]!r}") from error


@dataclass(frozen=True, slots=True)
class LiveBox:
    """A tracklet in a picture: x1 y1 x2 y2 in its pixels, and who it is, where that is known."""

    tracklet: int
    identity: int | None
    box: PixelBox


@dataclass(frozen=True, slots=True)
class LiveHead:
    """What a picture shows; its JPEG, ``length`` bytes, follows."""

    camera: str
    time_us: int
    frame: int
    width: int
    height: int
    boxes: tuple[LiveBox, ...]
    length: int

    def to_line(self) -> bytes:
        """As one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> LiveHead:
        """From one line of JSON.

        Raises:
            ValueError: It is none.
        """
        try:
            fields = json.loads(line)
            boxes = tuple(LiveBox(each["tracklet"], each["identity"], tuple(each["box"])) for each in fields["boxes"])
            return cls(**{**fields, "boxes": boxes})
        except (TypeError, KeyError) as error:
            raise ValueError(f"live picture: expected the fields of LiveHead, got {line[:80]!r}") from error


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """Pictures of a camera, so many a second at most and so many pixels wide at most; `boxes` drawn in, or left out."""

    camera: str
    fps: float = 5.0
    width: int = 960
    boxes: bool = True

    def to_line(self) -> bytes:
        """As one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"


STATE_REQUEST: Final = b'{"state": true}\n'


def parse_request(line: bytes) -> PictureRequest | Literal["state"]:
    """What somebody asks for.

    Raises:
        ValueError: It is no request.
    """
    fields = json.loads(line)
    if fields == {"state": True}:
        return "state"
    try:
        camera, fps, width = str(fields["camera"]), float(fields["fps"]), int(fields["width"])
        boxes = bool(fields["boxes"])
    except (TypeError, KeyError) as error:
        raise ValueError(f"expected camera, fps, width and boxes, got {line[:80]!r}") from error
    if not (0 < fps <= 60 and 16 <= width <= 8192):
        raise ValueError(f"expected fps up to 60 and width from 16 to 8192, got {fps} and {width}")
    return PictureRequest(camera, fps, width, boxes)


@contextmanager
def socket_address(data_dir: Path) -> Iterator[str]:
    """The address of a folder's socket, which is short however long the path of the folder is."""
    path = str(data_dir / SOCKET_NAME)
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield path
        return
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_NAME}"
    finally:
        os.close(folder)


def read_live_state(data_dir: Path) -> LiveState | None:
    """What the run on a data folder does now; None where none goes on."""
    try:
        with _connect(data_dir) as connection, connection.makefile("rb") as answer:
            connection.sendall(STATE_REQUEST)
            return LiveState.from_line(answer.readline())
    except (OSError, ValueError):  # nobody is there, or ended just now
        return None


def read_live_picture(data_dir: Path, request: PictureRequest) -> tuple[LiveHead, bytes] | None:
    """The newest picture of a camera; None where no run goes on, or it has none yet."""
    try:
        with _connect(data_dir) as connection, connection.makefile("rb") as answer:
            connection.sendall(request.to_line())
            head = LiveHead.from_line(answer.readline())
            jpeg = answer.read(head.length)
            return (head, jpeg) if len(jpeg) == head.length else None
    except (OSError, ValueError):
        return None


@contextmanager
def _connect(data_dir: Path) -> Iterator[socket.socket]:
    with socket_address(data_dir) as address, socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE_S)
        connection.connect(address)
        yield connection
