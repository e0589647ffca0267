"""What the models of settings are made of: their base, and types that several of them use."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, Strict, WithJsonSchema

from reid_pipeline.configs.durations import DURATION, format_duration, parse_duration

Number = Annotated[float, Strict()]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Flag = Annotated[bool, Strict()]
Text = Annotated[str, Field(min_length=1)]
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION, "examples": ["90s", "30m", "48h", "7d"]}),
]


class SettingsModel(BaseModel):
    """A mapping of cameras.yaml: frozen, and what it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())
