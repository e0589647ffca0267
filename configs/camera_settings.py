"""The settings of ``cameras``: where frames come from, what of a picture counts, and where its floor is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from reid_pipeline.configs.floor_points import find_fault, is_mirrored
from reid_pipeline.configs.setting_types import Duration, Flag, Fraction, Number, SettingsModel, Text
from reid_pipeline.configs.times import parse_time

RESERVED_CAMERA_NAMES: Final = frozenset({"mtmc"})  # tracks/mtmc.txt holds all cameras

_CORNERS: Final = "Corners of a polygon, at least 3: [x, y] as parts of width and height, 0 to 1 from the top left."
_PLAIN_NAME = r"^[A-Za-z0-9_\-]{1,64}$"
_MIN_ZONE_AREA: Final = 1e-4  # of the picture; what is smaller is a line, or corners in the wrong order


def _check_camera_name(name: str) -> str:
    if not re.fullmatch(_PLAIN_NAME, name):
        raise PydanticCustomError("expected", "expected 1 to 64 letters (a-z), digits, _ and -: it names files")
    if name.lower() in RESERVED_CAMERA_NAMES:
        raise PydanticCustomError("expected", "expected another name: tracks/mtmc.txt holds all cameras")
    return name


def _check_cameras(cameras: Mapping[str, CameraSettings]) -> Mapping[str, CameraSettings]:
    seen: dict[str, str] = {}
    for name in cameras:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise PydanticCustomError(
                "expected", "expected a name that differs from {other} in more than case", {"other": other, "key": name}
            )
    _check_one_floor(cameras)
    return cameras


def _check_one_floor(cameras: Mapping[str, CameraSettings]) -> None:
    sides = {name: is_mirrored(*camera.floor.sides) for name, camera in cameras.items() if camera.floor}
    first = next(iter(sides), "")
    for name, mirrored in sides.items():
        if mirrored is not sides[first]:
            raise PydanticCustomError(
                "expected", "expected metres as in {other}: one of the two is mirrored", {"other": first, "key": name}
            )


def _check_zone_name(name: str) -> str:
    if not re.fullmatch(_PLAIN_NAME, name):
        raise PydanticCustomError("expected", "expected 1 to 64 letters (a-z), digits, _ and -")
    return name


def _check_area(points: Corners) -> Corners:
    sides = zip(points, points[1:] + points[:1], strict=True)
    if abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in sides)) / 2 < _MIN_ZONE_AREA:
        raise PydanticCustomError(
            "expected", "expected corners in their order around an area: these enclose next to nothing"
        )
    return points


def _check_single(inputs: tuple[InputSettings, ...]) -> tuple[InputSettings, ...]:
    if len(inputs) > 1:
        raise PydanticCustomError("expected", "several inputs are not built yet: expected one")
    return inputs


FramesPerSecond = Annotated[Number, Field(gt=0, le=1000)]
Time = Annotated[
    datetime,
    BeforeValidator(parse_time),
    WithJsonSchema({"type": "string", "examples": ["2026-11-20T08:00:00Z", "2026-11-20T09:00:00+01:00"]}),
]
CameraName = Annotated[
    str, AfterValidator(_check_camera_name), WithJsonSchema({"type": "string", "pattern": _PLAIN_NAME})
]
ZoneName = Annotated[str, AfterValidator(_check_zone_name), WithJsonSchema({"type": "string", "pattern": _PLAIN_NAME})]
Corners = Annotated[tuple[tuple[Fraction, Fraction], ...], Field(min_length=3)]
FloorPoints = Annotated[tuple[tuple[Fraction, Fraction], ...], Field(min_length=4, max_length=24)]
FloorPlaces = Annotated[tuple[tuple[Number, Number], ...], Field(min_length=4, max_length=24)]


class DetectSettings(SettingsModel):
    """How often persons are looked for."""

    fps: FramesPerSecond | None = Field(
        default=None,
        description="Frames a second to process, above 0. null: every frame of a file, 5 a second of a stream.",
    )


class InputSettings(SettingsModel):
    """Where a camera's frames come from."""

    path: Text = Field(
        description="A video file, a folder of images, a device or a URL; files are relative to this file. Secrets "
        "come from the environment: rtsp://{REID_USER}:{REID_PASSWORD}@10.0.0.5/main.",
        examples=["recordings/hall.mp4", "rtsp://10.0.0.5/main"],
    )
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="How an RTSP stream is carried: tcp or udp.")
    fps: FramesPerSecond | None = Field(
        default=None,
        description="Frames a second, above 0, where the file says nothing or something wrong. null: as it says.",
    )


class PrivacySettings(SettingsModel):
    """An area that is blanked before anything else sees the frame."""

    points: Corners = Field(description=_CORNERS)


class ZoneSettings(SettingsModel):
    """A part of the picture. People are in it when the bottom centre of their box is."""

    points: Annotated[Corners, AfterValidator(_check_area)] = Field(description=_CORNERS)
    dwell: Duration | None = Field(
        default=None, description="How long somebody stays until that is an event of its own. null: no such event."
    )


class FloorSettings(SettingsModel):
    """Where points of the picture lie on the site's floor, which all cameras that have one share."""

    points: FloorPoints = Field(
        description="Points on the floor, 4 to 24: [x, y] as parts of width and height, 0 to 1 from the top left."
    )
    metres: FloorPlaces = Field(
        description="The same points in the same order: [x, y] in metres on the floor, from one origin for all cameras."
    )

    @property
    def sides(self) -> tuple[FloorPoints, FloorPlaces]:
        """``points`` and ``metres``."""
        return self.points, self.metres

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        fault = find_fault(*self.sides) if len(self.points) == len(self.metres) else "as many as points: {count}"
        if fault:
            raise PydanticCustomError("expected", f"expected {fault}", {"count": len(self.points), "key": "metres"})
        return self


class CameraSettings(SettingsModel):
    """One camera."""

    enabled: Flag = Field(default=True, description="false: keep the settings but do not run this camera.")
    inputs: Annotated[tuple[InputSettings, ...], AfterValidator(_check_single)] = Field(
        default=(),
        description="Where the frames come from: one entry.",
        json_schema_extra={"minItems": 1, "maxItems": 1},
    )
    backend: Literal["auto", "ffmpeg", "gstreamer"] = Field(
        default="auto",
        description="What decodes: auto, ffmpeg, gstreamer.",
    )
    pipeline: Text | None = Field(
        default=None,
        description="A GStreamer description that delivers the frames, in place of `backend`. null: none.",
    )
    privacy: tuple[PrivacySettings, ...] = Field(default=(), description="Areas that are blanked in every frame.")
    zones: Mapping[ZoneName, ZoneSettings] = Field(
        default={},
        description="Parts of the picture by name; who enters and leaves them is told in events.ndjson. Names are 1 to "
        "64 letters, digits, _ and -.",
        json_schema_extra={"additionalProperties": False},
    )
    floor: FloorSettings | None = Field(
        default=None, description="Where the floor lies in the picture. null: what two cameras share of it is learnt."
    )
    detect: DetectSettings = Field(default=DetectSettings(), description="As in `defaults`, for this camera.")
    start: Time | None = Field(
        default=None,
        description="When the file's first frame was taken, ISO-8601; without a time zone in that of the site. "
        "null: when the run starts.",
    )

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if not self.inputs and self.pipeline is None:
            raise PydanticCustomError("expected", "expected inputs: [{path: ...}]", {"key": "inputs"})
        if self.pipeline is not None and self.backend == "ffmpeg":
            raise PydanticCustomError("expected", "expected gstreamer or auto beside `pipeline`", {"key": "backend"})
        return self


Cameras = Annotated[Mapping[CameraName, CameraSettings], Field(min_length=1), AfterValidator(_check_cameras)]
