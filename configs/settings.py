"""Every setting of cameras.yaml: its meaning, unit, bounds and default. Names are the keys of the file.

The models check what was read; they read nothing themselves. `loading.load_settings` builds them, resolves relative
paths and lets the cameras inherit ``defaults``. Two sections stand in modules of their own: ``cameras`` in
`camera_settings`, ``outputs`` in `output_settings`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta, tzinfo
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from reid_pipeline.configs.camera_settings import Cameras, DetectSettings
from reid_pipeline.configs.log import redact_url
from reid_pipeline.configs.output_settings import OutputsSettings
from reid_pipeline.configs.setting_types import Duration, Flag, Fraction, Number, SettingsModel, Text
from reid_pipeline.configs.sizes import SIZE, format_size, parse_size
from reid_pipeline.configs.times import check_timezone, find_timezone

_DATABASE_URL = r"^postgres(ql)?://[^/\s]*/[^/?\s]+(\?\S*)?$"  # with the name of the database


def _check_key_source(source: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9+/]{43}=", source.strip()):
        raise PydanticCustomError("expected", "expected where the key is, env:REID_MASTER_KEY or a file: not the key")
    if source.startswith("env:") and not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*", source):
        raise PydanticCustomError("expected", "expected env: and the name of a variable: env:REID_MASTER_KEY")
    return source


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size),
    WithJsonSchema({"type": "string", "pattern": SIZE, "examples": ["500MB", "10GB"]}),
]
Timezone = Annotated[
    str, AfterValidator(check_timezone), WithJsonSchema({"type": "string", "examples": ["UTC", "Europe/Berlin"]})
]
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


class DefaultsSettings(SettingsModel):
    """What each camera inherits unless it says otherwise."""

    detect: DetectSettings = Field(default=DetectSettings(), description="How often persons are looked for.")


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
    cameras: Cameras = Field(
        description="The cameras by name. Names are 1 to 64 letters, digits, _ and -.",
        json_schema_extra={"additionalProperties": False},
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
