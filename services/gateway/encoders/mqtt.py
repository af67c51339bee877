"""Read the count of an encoder from a topic of an MQTT broker."""

from __future__ import annotations

import threading
from typing import Any, Final

from paho.mqtt import client as paho
from pydantic_core import from_json

from services.gateway.encoders.encoder import Encoder
from services.gateway.encoders.settings import MqttEncoderSettings
from services.gateway.outputs.mqtt_client import mqtt_client
from services.gateway.outputs.port import OutputUnavailable
from shared.addresses import host_and_port
from shared.health import Health

KEEP_ALIVE: Final = 5
"""Seconds; a broker that is silent for one and a half times as long is gone."""
BEAT_SECONDS: Final = 1.0
LONGEST_PAUSE: Final = 2
"""Most seconds between two attempts to connect."""


class MqttEncoderReader:
    """A subscriber, which connects again after it loses the connection."""

    def __init__(self, settings: MqttEncoderSettings) -> None:
        self._settings = settings
        self._address = host_and_port(settings.host, settings.port)

    def run(self, encoder: Encoder, stop: threading.Event, health: Health) -> None:
        """See the port."""
        client = self._client(encoder.fail, lambda: None)
        client.reconnect_delay_set(1, LONGEST_PAUSE)
        client.on_message = lambda _client, _data, message: self._note(encoder, message.payload)
        client.connect_async(self._settings.host, self._settings.port, KEEP_ALIVE)
        client.loop_start()
        while not stop.wait(BEAT_SECONDS):
            health.beat()
        client.disconnect()
        client.loop_stop()

    def check(self) -> None:
        """See the port. The broker is asked for the topic; whether a count is published there is not known."""
        answered, failures = threading.Event(), list[str]()

        def fail(reason: str) -> None:
            failures.append(reason)
            answered.set()

        client = self._client(fail, answered.set)
        try:
            client.connect(self._settings.host, self._settings.port, KEEP_ALIVE)
        except OSError as error:
            raise OutputUnavailable(f"{self._address}: {error}") from error
        client.loop_start()
        in_time = answered.wait(self._settings.timeout_seconds)
        failure = "" if in_time else f"{self._address}: no answer in time"
        if failures:
            failure = failures[0]
        client.disconnect()
        client.loop_stop()
        if failure:
            raise OutputUnavailable(failure)

    def _client(self, fail: Any, subscribed: Any) -> paho.Client:
        """Return a client that subscribes to the topic whenever it has connected."""
        client, settings = mqtt_client(self._settings), self._settings

        def on_connect(client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            if reason.is_failure:
                fail(f"{self._address}: {reason}")
            else:
                client.subscribe(settings.topic, 1)

        def on_subscribe(_client: paho.Client, _data: Any, _mid: Any, reasons: Any, _properties: Any) -> None:
            if any(reason.is_failure for reason in reasons):
                fail(f"{self._address}: the broker refuses the topic {settings.topic}: allow its user to read it")
            else:
                subscribed()

        client.on_connect = on_connect
        client.on_subscribe = on_subscribe
        client.on_connect_fail = lambda *_: fail(f"{self._address}: it can't be reached")
        client.on_disconnect = lambda _client, _data, _flags, reason, _properties: fail(f"{self._address}: {reason}")
        return client

    def _note(self, encoder: Encoder, payload: bytes) -> None:
        try:
            document = from_json(payload)
        except ValueError:
            document = None
        count = document.get("count") if isinstance(document, dict) else document
        if isinstance(count, int) and not isinstance(count, bool):
            encoder.note(count)
        else:
            encoder.fail(f'the topic {self._settings.topic} has no count: publish a number, or {{"count": 4711}}')
