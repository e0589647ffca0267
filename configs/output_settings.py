"""The settings of ``outputs``: what a run writes, and whom it tells."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, Field, SecretStr, WithJsonSchema
from pydantic_core import PydanticCustomError

from reid_pipeline.configs.setting_types import Flag, SettingsModel, Text

EventName = Literal["new", "update", "end", "merge", "split", "enter", "dwell", "leave", "alert", "camera"]
EVENT_NAMES: Final[tuple[EventName, ...]] = get_args(EventName)


def _check_address(address: SecretStr) -> SecretStr:
    if not address.get_secret_value().startswith(("http://", "https://")):
        raise PydanticCustomError("expected", "expected an address that begins with https:// or http://")
    return address


def _check_topic(topic: str) -> str:
    if set(topic) & set("+#\0") or topic.startswith(("/", "$")) or topic.endswith("/"):
        raise PydanticCustomError("expected", "expected a topic without + and #, and no / at its ends")
    return topic


Secret = Annotated[SecretStr, WithJsonSchema({"type": "string", "examples": ["{REID_PASSWORD}"]})]
Address = Annotated[
    SecretStr,  # many carry a token in their path
    AfterValidator(_check_address),
    WithJsonSchema({"type": "string", "examples": ["https://example.org/hook"]}),
]


class MqttSettings(SettingsModel):
    """A broker that is told what happens, at ``<topic>/<site>/<type>``."""

    host: Text = Field(description="Name or address of the broker.", examples=["10.0.0.9"])
    port: Annotated[int, Field(ge=1, le=65535)] = Field(default=1883, description="Its port; 8883 is usual with TLS.")
    topic: Annotated[str, Field(min_length=1), AfterValidator(_check_topic)] = Field(
        default="reid-pipeline", description="What all topics begin with."
    )
    user: Text | None = Field(default=None, description="Who logs in. null: nobody.")
    password: Secret | None = Field(default=None, description="Theirs.")
    tls: Flag = Field(default=False, description="true: encrypted, the broker's certificate is checked.")
    types: tuple[EventName, ...] = Field(default=EVENT_NAMES, description="Which events: types of events.ndjson.")


class WebhookSettings(SettingsModel):
    """An address that gets each event as JSON by POST."""

    url: Address = Field(description="Where to.")
    secret: Secret | None = Field(
        default=None, description="Signs each body: X-Reid-Signature is its HMAC-SHA256. null: unsigned."
    )
    types: tuple[EventName, ...] = Field(default=("alert",), description="Which events: types of events.ndjson.")


class OutputsSettings(SettingsModel):
    """What a run writes into data_dir, beside the database, and whom it tells."""

    tracks: Flag = Field(default=True, description="tracks/: MOTChallenge text, a file a camera, and tracks/mtmc.txt.")
    events: Flag = Field(default=True, description="events.ndjson: what happened, one JSON object a line.")
    video: Flag = Field(default=False, description="videos/: the footage with boxes and identities drawn.")
    mqtt: MqttSettings | None = Field(default=None, description="An MQTT broker that is told what happens.")
    webhook: WebhookSettings | None = Field(default=None, description="An address that is told of alerts.")
