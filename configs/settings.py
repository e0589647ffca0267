"""Every setting of cameras.yaml: its meaning, unit, bounds and default. Names are the keys of the file.

The models check what was read; they read nothing themselves. `loading.load_settings` builds them, resolves relative
paths and lets the cameras inherit ``defaults``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from reid_pipeline.configs.durations import DURATION, format_duration, parse_duration
from reid_pipeline.configs.floor_points import find_fault, is_mirrored
from reid_pipeline.configs.log import redact_url
from reid_pipeline.configs.output_settings import OutputsSettings
from reid_pipeline.configs.setting_types import Flag, Number, SettingsModel, Text
from reid_pipeline.configs.sizes import SIZE, format_size, parse_size
from reid_pipeline.configs.times import check_timezone, find_timezone, parse_time

RESERVED_CAMERA_NAMES: Final = frozenset({"mtmc"})  # tracks/mtmc.txt holds all cameras

_CORNERS: Final = "Corners of a polygon, at least 3: [x, y] as parts of width and height, 0 to 1 from the top left."
_PLAIN_NAME = r"^[A-Za-z0-9_\-]{1,64}$"
_DATABASE_URL = r"^postgres(ql)?://[^/\s]*/[^/?\s]+(\?\S*)?$"  # with the name of the database
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


def _check_key_source(source: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9+/]{43}=", source.strip()):
        raise PydanticCustomError("expected", "expected where the key is, env:REID_MASTER_KEY or a file: not the key")
    if source.startswith("env:") and not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*", source):
        raise PydanticCustomError("expected", "expected env: and the name of a variable: env:REID_MASTER_KEY")
    return source


def _check_single(inputs: tuple[InputSettings, ...]) -> tuple[InputSettings, ...]:
    if len(inputs) > 1:
        raise PydanticCustomError("expected", "several inputs are not built yet: expected one")
    return inputs


FramesPerSecond = Annotated[Number, Field(gt=0, le=1000)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION, "examples": ["90s", "30m", "48h", "7d"]}),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size),
    WithJsonSchema({"type": "string", "pattern": SIZE, "examples": ["500MB", "10GB"]}),
]
Time = Annotated[
    datetime,
    BeforeValidator(parse_time),
    WithJsonSchema({"type": "string", "examples": ["2026-11-20T08:00:00Z", "2026-11-20T09:00:00+01:00"]}),
]
Timezone = Annotated[
    str, AfterValidator(check_timezone), WithJsonSchema({"type": "string", "examples": ["UTC", "Europe/Berlin"]})
]
CameraName = Annotated[
    str, AfterValidator(_check_camera_name), WithJsonSchema({"type": "string", "pattern": _PLAIN_NAME})
]
ZoneName = Annotated[str, AfterValidator(_check_zone_name), WithJsonSchema({"type": "string", "pattern": _PLAIN_NAME})]
Corners = Annotated[tuple[tuple[Fraction, Fraction], ...], Field(min_length=3)]
FloorPoints = Annotated[tuple[tuple[Fraction, Fraction], ...], Field(min_length=4, max_length=24)]
FloorPlaces = Annotated[tuple[tuple[Number, Number], ...], Field(min_length=4, max_length=24)]
KeySource = Annotated[str, Field(min_length=1), AfterValidator(_check_key_source)]
DatabaseUrl = Annotated[
    str, Field(pattern=_DATABASE_URL, examples=["postgresql://reid:{REID_DB_PASSWORD}@db.example.org/site"])
]
RuntimeSetting = Annotated[
    Literal["auto", "openvino", "onnxruntime", "torch", "tensorrt"],
    Field(description="What computes it. auto: the fastest that agrees with the reference, measured once."),
]


class SiteSettings(SettingsModel):
    """The place that the cameras watch."""

    name: str = Field(default="site", min_length=1, max_length=64, description="Name of the site in reports.")
    timezone: Timezone = Field(default="UTC", description="IANA time zone of times without one, and of days.")
    data_dir: Path = Field(
        default=Path("data"),
        description="Folder of everything that is kept, relative to this file. Made where it is missing.",
    )
    database: DatabaseUrl | None = Field(
        default=None,
        description="null: SQLite in data_dir. Else a database of a PostgreSQL server, 15 or newer.",
    )
    master_key: KeySource | None = Field(
        default=None,
        description="Where the key is that pictures, clips and embeddings are encrypted by: env:NAME of a variable, or "
        "a file, relative to this one. null: they are not encrypted.",
        examples=["env:REID_MASTER_KEY", "/etc/reid-pipeline/key"],
    )
    blur_heads: Flag = Field(
        default=True, description="true: heads are blurred before anything is encoded, stored or drawn."
    )

    @property
    def tz(self) -> tzinfo:
        """The time zone of ``timezone``."""
        return find_timezone(self.timezone)


class DetectSettings(SettingsModel):
    """How often persons are looked for."""

    fps: FramesPerSecond | None = Field(
        default=None,
        description="Frames a second to process, above 0. null: every frame of a file, 5 a second of a stream.",
    )


class DefaultsSettings(SettingsModel):
    """What each camera inherits unless it says otherwise."""

    detect: DetectSettings = Field(default=DetectSettings(), description="How often persons are looked for.")


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


class DetectorSettings(SettingsModel):
    """What finds persons in a frame."""

    model: Text = Field(
        default="bundled",
        description="bundled, the name of an Ultralytics model, or a path to a model.",
        examples=["bundled", "models/detector.xml"],
    )
    min_confidence: Annotated[Number, Field(gt=0, lt=1)] = Field(
        default=0.4,
        description="Confidence, above 0 and below 1, that starts a tracklet; weaker boxes may continue one.",
    )
    trust: Flag = Field(
        default=False,
        description="true: load a pickle (.pt, .pt2). It can run any code, so only for files of known origin.",
    )
    runtime: RuntimeSetting = "auto"


class EncoderSettings(SettingsModel):
    """What turns crops of persons into embeddings."""

    model: Text = Field(
        default="bundled",
        description="bundled, the name of a model, or a path to a model.",
        examples=["bundled", "models/encoder.xml"],
    )
    pinned: Flag = Field(
        default=False,
        description="true: this very model. false: what was last promoted of those adapted from it, if any.",
    )
    trust: Flag = Field(
        default=False,
        description="true: load a torch program (.pt2). It can run any code, so only for files of known origin.",
    )
    runtime: RuntimeSetting = "auto"


class AssociationSettings(SettingsModel):
    """How tracklets are joined to identities."""

    target_false_merge_rate: Fraction = Field(
        default=0.002, description="How many of the joins to somebody who was seen before may be wrong, 0 to 1."
    )
    memory: Duration = Field(
        default=timedelta(hours=48),
        description="How long somebody who left is still recognised: a number and s, m, h or d.",
        json_schema_extra={"default": "48h"},
    )


class CorpusSettings(SettingsModel):
    """Unlabelled crops that are kept to learn from."""

    collect: Flag = Field(default=True, description="true: a run keeps some good crops of each tracklet.")
    max_size: Size = Field(
        default=10**10,
        description="The most that they may take; beyond it the oldest go: a number and MB, GB or TB.",
        json_schema_extra={"default": "10GB"},
    )


def _kept(default: timedelta, written: str, what: str) -> Any:
    description = f"{what}: a number and s, m, h or d."
    return Field(default=default, description=description, json_schema_extra={"default": written})


class RetentionSettings(SettingsModel):
    """How long things are kept, by the time they were taken."""

    crops: Duration = _kept(timedelta(hours=72), "72h", "Pictures of tracklets")
    embeddings: Duration = _kept(timedelta(days=30), "30d", "What people are recognised by")
    clips: Duration = _kept(timedelta(hours=72), "72h", "Footage that `record` keeps")
    corpus: Duration = _kept(timedelta(days=30), "30d", "Crops to learn from")
    tracks: Duration = _kept(timedelta(days=30), "30d", "Where and when people were, with all that is left of them")
    events: Duration = _kept(timedelta(days=30), "30d", "events.ndjson, and decisions about who is who")
    reports: Duration = _kept(timedelta(days=365), "365d", "Reports of learning")
    backups: Duration = _kept(timedelta(days=30), "30d", "Backups in data_dir")
    audit: Duration = _kept(timedelta(days=365), "365d", "The audit log")


class Settings(SettingsModel):
    """A whole cameras.yaml."""

    site: SiteSettings = Field(default=SiteSettings(), description="The place that the cameras watch.")
    defaults: DefaultsSettings = Field(default=DefaultsSettings(), description="What each camera inherits.")
    cameras: Annotated[Mapping[CameraName, CameraSettings], Field(min_length=1), AfterValidator(_check_cameras)] = (
        Field(
            description="The cameras by name. Names are 1 to 64 letters, digits, _ and -.",
            json_schema_extra={"additionalProperties": False},
        )
    )
    detector: DetectorSettings = Field(default=DetectorSettings(), description="What finds persons.")
    encoder: EncoderSettings = Field(default=EncoderSettings(), description="What tells persons apart.")
    association: AssociationSettings = Field(default=AssociationSettings(), description="How identities are made.")
    corpus: CorpusSettings = Field(default=CorpusSettings(), description="Crops that are kept to learn from.")
    retention: RetentionSettings = Field(default=RetentionSettings(), description="How long things are kept.")
    outputs: OutputsSettings = Field(default=OutputsSettings(), description="What a run writes into data_dir.")

    @model_validator(mode="after")
    def _check_encryption(self) -> Self:
        if self.site.master_key is not None and self.outputs.video:
            raise PydanticCustomError(
                "expected", "expected false with site.master_key: videos are not encrypted", {"key": "outputs"}
            )
        return self


def non_default(settings: Settings) -> dict[str, object]:
    """Lists what differs from the default, for reports.

    Returns:
        Values by dotted key (``cameras.hall.detect.fps``), ready for JSON, passwords hidden.
    """
    return dict(_differences("", settings))


def _differences(prefix: str, model: BaseModel) -> Iterator[tuple[str, object]]:
    for name, field in type(model).model_fields.items():
        # What was not given is a default, also where loading made a path absolute or a camera inherited it.
        if name not in model.model_fields_set:
            continue
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _differences(f"{prefix}{name}.", value)
        elif isinstance(value, Mapping):
            for key, entry in value.items():
                yield from _differences(f"{prefix}{name}.{key}.", entry)
        elif name == "inputs":
            for index, entry in enumerate(value):
                yield from _differences(f"{prefix}{name}[{index}].", entry)
        elif field.is_required() or value != field.default:
            yield f"{prefix}{name}", _plain(model.model_dump(mode="json", include={name})[name])


def _plain(value: object) -> object:
    return redact_url(value) if isinstance(value, str) else value
