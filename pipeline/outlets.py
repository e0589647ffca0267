"""The ways out that a site's settings ask for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from types import TracebackType

from reid_pipeline.configs.settings import Settings
from reid_pipeline.pipeline.events import Event
from reid_pipeline.pipeline.mqtt_delivery import MqttDelivery
from reid_pipeline.pipeline.outlet import BackOff, Outlet
from reid_pipeline.pipeline.webhook_delivery import WebhookDelivery


class Outlets:
    """All of them, as one context manager."""

    def __init__(self, outlets: Sequence[Outlet]) -> None:
        self._outlets = outlets
        self._stack = ExitStack()

    def tell(self, events: Sequence[Event]) -> None:
        """Queues events with each and returns at once."""
        for outlet in self._outlets:
            outlet.tell(events)

    def told(self) -> dict[str, dict[str, int]]:
        """By name how many events were handed on, and how many were not."""
        return {outlet.name: asdict(outlet.told()) for outlet in self._outlets}

    def __enter__(self) -> Outlets:
        for outlet in self._outlets:
            self._stack.enter_context(outlet)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stack.close()


def build_outlets(settings: Settings) -> Outlets:
    """Those of ``outputs.mqtt`` and ``outputs.webhook``; none of them is reached before they are entered."""
    found = []
    mqtt, webhook = settings.outputs.mqtt, settings.outputs.webhook
    if mqtt is not None:
        once_a_second = BackOff(most_s=1.0)  # the client itself waits longer and longer before it connects again
        found.append(Outlet("mqtt", MqttDelivery(mqtt, settings.site.name), mqtt.types, once_a_second))
    if webhook is not None:
        found.append(Outlet("webhook", WebhookDelivery(webhook), webhook.types))
    return Outlets(found)
