"""Cameras as the user names them, and the source that reads each kind.

path                               kind      live   read by
recordings/lobby.mp4               FILE      no     PyAV, or GStreamer by choice
recordings/lobby/                  FOLDER    no     OpenCV: pictures in natural order
rtsp://..., rtsps://..., udp://... STREAM    yes    PyAV, or GStreamer by choice
http://..., https://...            HTTP      by its duration: with one it is a file, without one live
/dev/video0, usb:0                 DEVICE    yes    PyAV, or GStreamer by choice
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from reid_pipeline.configs.camera_settings import CameraSettings
from reid_pipeline.configs.log import redact_url
from reid_pipeline.pipeline.errors import InputError, SourceNotFound
from reid_pipeline.pipeline.privacy import Polygon
from reid_pipeline.pipeline.protocols import Source
from reid_pipeline.pipeline.sampling import Wanted, every_frame

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_DEVICE = re.compile(r"(/dev/video|usb:)\d+$")
_FINGERPRINT_BYTES = 64 * 1024


class SourceKind(Enum):
    """What a path names."""

    FILE = auto()
    FOLDER = auto()
    STREAM = auto()
    HTTP = auto()
    DEVICE = auto()


@dataclass(frozen=True, slots=True, eq=False)
class SourceSpec:
    """One camera's input.

    Attributes:
        camera: Name of the camera.
        path: File, folder, address or device; secrets are in it, so it is never shown: see `redacted`. Empty where
            `pipeline` has a source of its own: that is live.
        transport: How RTSP carries the video.
        backend: Decoder; ``auto`` is PyAV.
        pipeline: GStreamer description, which decides the decoder; it has an ``appsink name=out`` of its own, or no
            sink at all.
        fps: Rate that replaces the time stamps of a file, or names the rate of a folder; None keeps them.
        start_us: Capture time of a file's first frame, microseconds since 1970 UTC.
        skip_frames: How many frames at the start of a file are numbered and timed but not yielded.
        masks: Privacy polygons, each ``(K, 2)`` in 0-1 of width and height.
    """

    camera: str
    path: str = field(repr=False)
    transport: Literal["tcp", "udp"] = "tcp"
    backend: Literal["auto", "ffmpeg", "gstreamer"] = "auto"
    pipeline: str | None = field(default=None, repr=False)
    fps: float | None = None
    start_us: int = 0
    skip_frames: int = 0
    masks: tuple[Polygon, ...] = ()

    @property
    def redacted(self) -> str:
        """The path, or the pipeline, without user name and password, for people to read."""
        return redact_url(self.path or self.pipeline or "")

    @property
    def kind(self) -> SourceKind:
        """What the path names; a pipeline without a path is a stream."""
        return SourceKind.STREAM if self.pipeline and not self.path else classify(self.path)

    def hide_secrets(self, text: str) -> str:
        """Takes the path, the pipeline and their secrets out of a library's message."""
        for secret in (self.path, self.pipeline):
            if secret:
                text = text.replace(secret, redact_url(secret))
        return redact_url(text)


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source holds: size in pixels, frames a second, number of frames where it is known, live or not."""

    width: int
    height: int
    fps: float
    frames: int | None
    live: bool


class InspectableSource(Source, Protocol):
    """A source that can say what it holds before it is run."""

    def info(self) -> SourceInfo:
        """Opens the source, decodes its first frame and closes it again.

        Raises:
            SourceNotFound: It does not exist, or nothing in it can be decoded.
            SourceLost: A live source does not answer.
        """
        ...


def spec_of(name: str, camera: CameraSettings, started_us: int) -> SourceSpec:
    """The input of a camera of cameras.yaml.

    Args:
        name: Of the camera.
        camera: Its settings.
        started_us: Capture time of the first frame of a file whose settings do not say.
    """
    entry = camera.inputs[0] if camera.inputs else None
    return SourceSpec(
        camera=name,
        path=entry.path if entry else "",
        transport=entry.transport if entry else "tcp",
        backend=camera.backend,
        pipeline=camera.pipeline,
        fps=entry.fps if entry else None,
        start_us=started_us if camera.start is None else round(camera.start.timestamp() * 1_000_000),
        masks=tuple(np.array(mask.points) for mask in camera.privacy),
    )


def classify(path: str) -> SourceKind:
    """Tells what a path names; a path that does not exist is a file.

    Raises:
        InputError: It is empty, or of a scheme that carries no video.
    """
    if not path:
        raise InputError("path: is empty; give a file, a folder, an address or a device")
    if _DEVICE.match(path):
        return SourceKind.DEVICE
    if scheme := _SCHEME.match(path):
        match scheme[1].lower():
            case "http" | "https":
                return SourceKind.HTTP
            case "rtsp" | "rtsps" | "rtmp" | "rtmps" | "rtp" | "srt" | "udp" | "tcp":
                return SourceKind.STREAM
            case other:
                raise InputError(f"path {redact_url(path)}: {other}:// is not known; give a file, rtsp:// or http://")
    return SourceKind.FOLDER if Path(path).is_dir() else SourceKind.FILE


def is_live(spec: SourceSpec) -> bool:
    """Whether the source cannot wait. Asks the server of an http address, and takes one that is away for live."""
    match spec.kind:
        case SourceKind.FILE | SourceKind.FOLDER:
            return False
        case SourceKind.STREAM | SourceKind.DEVICE:
            return True
        case SourceKind.HTTP:
            from reid_pipeline.pipeline.source_ffmpeg import has_no_end

            return has_no_end(spec)


def build_source(spec: SourceSpec, wanted: Wanted = every_frame) -> InspectableSource:
    """Makes the source of a camera; nothing but an http address is opened yet.

    Args:
        spec: The camera's input.
        wanted: Asked for each frame in order with its capture time. Frames that it does not want are not converted
            and count in ``dropped["sampled"]``.

    Raises:
        InputError: The path is of no known kind, or GStreamer is asked for and not installed.
    """
    if spec.pipeline is not None or (spec.backend == "gstreamer" and spec.kind is not SourceKind.FOLDER):
        from reid_pipeline.pipeline.source_gstreamer import GStreamerSource

        return GStreamerSource(spec, is_live(spec), wanted)
    if spec.kind is SourceKind.FOLDER:
        from reid_pipeline.pipeline.source_images import ImageFolderSource

        return ImageFolderSource(spec, wanted)
    from reid_pipeline.pipeline.source_ffmpeg import FFmpegSource

    return FFmpegSource(spec, is_live(spec), wanted)


def check_source(spec: SourceSpec) -> SourceInfo:
    """Decodes the first frame of a source, so that a bad path is found before a run has written anything.

    Raises:
        SourceNotFound: It does not exist, or nothing in it can be decoded.
        SourceLost: A live source does not answer.
    """
    return build_source(spec).info()


def fingerprint(path: str) -> str:
    """Tells a file or folder from another one, without reading all of it.

    Returns:
        Size in bytes and SHA-256 of the first and last 64 KiB; for a folder SHA-256 over its names and sizes.

    Raises:
        SourceNotFound: It does not exist or may not be read.
    """
    digest = hashlib.sha256()
    root = Path(path)
    try:
        if root.is_dir():
            for entry in sorted(root.iterdir()):
                digest.update(f"{entry.name}\0{entry.stat().st_size}\0".encode())
            return digest.hexdigest()
        size = root.stat().st_size
        with root.open("rb") as file:
            digest.update(file.read(_FINGERPRINT_BYTES))
            file.seek(max(0, size - _FINGERPRINT_BYTES))
            digest.update(file.read(_FINGERPRINT_BYTES))
    except OSError as error:
        raise SourceNotFound(f"{path} cannot be read: {error.strerror}; expected a video file or a folder") from error
    return f"{size}-{digest.hexdigest()}"
