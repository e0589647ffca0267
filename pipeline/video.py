"""`videos/`: the footage with what was found drawn into it."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import av.video.stream
import cv2
import numpy as np

from reid_pipeline.pipeline.datatypes import Frame, Image
from reid_pipeline.pipeline.protocols import TrackedBoxes
from reid_pipeline.pipeline.zones import Zone

_GOLDEN_TURN: Final = 0.618033988749895  # hues of neighbouring numbers lie far apart
_UNKNOWN: Final = (160, 160, 160)
_ZONE: Final = (255, 255, 255)

Colour = tuple[int, int, int]


def identity_colour(identity: int | None) -> Colour:
    """One BGR colour an identity, the same in every camera; grey while it is unknown."""
    if identity is None:
        return _UNKNOWN
    red, green, blue = colorsys.hsv_to_rgb(identity * _GOLDEN_TURN % 1.0, 0.75, 1.0)
    return round(blue * 255), round(green * 255), round(red * 255)


def draw(
    image: Image, tracked: TrackedBoxes, identities: Mapping[int, int | None], zones: Sequence[Zone] = ()
) -> Image:
    """A copy of the image with boxes, tracklet numbers and identities, and below them the zones.

    Args:
        image: ``(H, W, 3)`` BGR.
        tracked: Boxes and tracklet numbers.
        identities: Identity by tracklet number, where it is known.
        zones: What is outlined and named.
    """
    drawn = image.copy()
    scale = max(image.shape[0] / 1080, 0.4)
    thickness = max(round(2 * scale), 1)
    _draw_zones(drawn, zones, scale)
    for number, box in zip(tracked.numbers, tracked.boxes.tolist(), strict=True):
        identity = identities.get(number)
        colour = identity_colour(identity)
        x1, y1, x2, y2 = (round(value) for value in box)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, thickness)
        label = f"{number}" if identity is None else f"{number} : person {identity}"
        _write_label(drawn, label, (x1, y1), colour, scale)
    return drawn


def _draw_zones(image: Image, zones: Sequence[Zone], scale: float) -> None:
    height, width = image.shape[:2]
    for zone in zones:
        corners = np.minimum(zone.outline((height, width)), (width - 1, height - 1)).astype(np.int32)
        cv2.polylines(image, [corners], True, _ZONE, max(round(2 * scale), 1))
        _write_label(image, zone.name, (int(corners[0, 0]), int(corners[0, 1])), _ZONE, scale)


def _write_label(image: Image, text: str, corner: tuple[int, int], colour: Colour, scale: float) -> None:
    size, thickness = 0.8 * scale, max(round(2 * scale), 1)
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thickness)
    x = min(max(corner[0], 0), max(image.shape[1] - width, 0))
    y = max(corner[1] - base, height + base)
    cv2.rectangle(image, (x, y - height - base), (x + width, y + base), colour, -1)
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), thickness, cv2.LINE_AA)


class AnnotatedVideo:
    """Writes one camera's annotated frames to an mp4 file. Its frame rate is constant; frames come one after another.

    Args:
        path: The file; its folder is made.
        fps: Frames per second of the footage.
        zones: What is drawn into every frame.
    """

    def __init__(self, path: Path, fps: float, zones: Sequence[Zone] = ()) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._zones = zones
        self._rate = Fraction(fps).limit_denominator(1000)
        self._container = av.open(str(path), "w")
        self._stream: av.video.stream.VideoStream | None = None

    def write(self, frame: Frame, tracked: TrackedBoxes, identities: Mapping[int, int | None]) -> None:
        """Adds one frame; the first one decides the size."""
        if self._stream is None:
            self._stream = self._open_stream(frame.image)
        even = frame.image[: frame.image.shape[0] // 2 * 2, : frame.image.shape[1] // 2 * 2]  # the codec's need
        drawn = draw(even, tracked, identities, self._zones)
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(drawn), format="bgr24")
        self._container.mux(self._stream.encode(picture))

    def close(self) -> None:
        """Completes the file."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def _open_stream(self, image: Image) -> av.video.stream.VideoStream:
        stream = self._container.add_stream("libx264", rate=self._rate, options={"preset": "veryfast", "crf": "26"})
        stream.height, stream.width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
        stream.pix_fmt = "yuv420p"
        return stream
