"""Events to an MQTT broker: each at ``<topic>/<site>/<type>`` with QoS 1, so at least once.

``<topic>/<site>/status`` is ``online`` while a run tells the broker, and else ``offline``: the broker itself says so
(the last will) where the run can not. Both are retained, for who asks later.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Final

from reid_pipeline.configs.output_settings import MqttSettings
from reid_pipeline.pipeline.events import Event, event_line
from reid_pipeline.pipeline.outlet import NotDelivered

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

_MOST_UNCONFIRMED: Final = 100
_PATIENCE_S: Final = 2.0
_KEEP_ALIVE_S: Final = 30
_RECONNECT_S: Final = 1, 30  # the first and the longest wait
_QOS: Final = 1


class MqttDelivery:
    """See `outlet.Delivery`. The client connects, connects again and repeats what is unconfirmed by itself.

    Args:
        settings: The broker.
        site: Name of the site; what topics cannot have in it becomes ``_``.
    """

    def __init__(self, settings: MqttSettings, site: str) -> None:
        self._settings = settings
        self._prefix = f"{settings.topic}/{re.sub(r'[/+#]', '_', site)}"
        self._client = self._build_client()
        self._unconfirmed = 0
        self._connected = False
        self._refused = ""
        self._changed = threading.Condition()  # guards the three above; never held while the client is called

    def open(self) -> None:
        """See `outlet.Delivery`."""
        self._client.connect_async(self._settings.host, self._settings.port, _KEEP_ALIVE_S)
        self._client.loop_start()

    def deliver(self, event: Event) -> bool:
        """See `outlet.Delivery`."""
        with self._changed:
            ready = self._changed.wait_for(self._is_ready, _PATIENCE_S)
            why = self._refused or ("does not answer" if self._connected else "cannot be reached")
        if not ready:
            raise NotDelivered(f"the broker {self._settings.host}:{self._settings.port} {why}")
        self._publish(event.type, event_line(event), retain=False)
        return True

    def close(self) -> int:
        """See `outlet.Delivery`."""
        with self._changed:
            connected = self._connected
        if connected:
            self._publish("status", "offline", retain=True)
        with self._changed:
            self._changed.wait_for(lambda: not self._unconfirmed or not self._connected, _PATIENCE_S)
            unconfirmed = max(self._unconfirmed - connected, 0)
        self._client.disconnect()
        self._client.loop_stop()
        return unconfirmed

    def _build_client(self) -> Client:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2)
        client.reconnect_delay_set(*_RECONNECT_S)
        client.will_set(f"{self._prefix}/status", "offline", _QOS, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        password = self._settings.password
        if self._settings.user is not None:
            client.username_pw_set(self._settings.user, None if password is None else password.get_secret_value())
        if self._settings.tls:
            client.tls_set()
        return client

    def _publish(self, name: str, text: str, *, retain: bool) -> None:
        with self._changed:
            self._unconfirmed += 1
        self._client.publish(f"{self._prefix}/{name}", text, _QOS, retain)

    def _is_ready(self) -> bool:
        return self._connected and self._unconfirmed < _MOST_UNCONFIRMED

    def _on_connect(
        self, client: Client, _: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        with self._changed:
            self._connected = not reason.is_failure
            self._refused = f"refuses: {reason}" if reason.is_failure else ""
            self._changed.notify_all()
        if not reason.is_failure:
            self._publish("status", "online", retain=True)

    def _on_disconnect(
        self, client: Client, _: object, flags: DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        with self._changed:
            self._connected = False
            self._changed.notify_all()

    def _on_publish(self, client: Client, _: object, message: int, reason: ReasonCode, properties: Properties) -> None:
        with self._changed:
            self._unconfirmed -= 1
            self._changed.notify_all()
