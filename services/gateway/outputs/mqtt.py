"""Publish signals to an MQTT broker, and the state of the line as a retained message with a last will."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from paho.mqtt import client as paho

from services.gateway.outputs.mqtt_client import mqtt_client
from services.gateway.outputs.port import LineStatus, OutputUnavailable, Signal, Trouble
from services.gateway.outputs.settings import MqttSettings
from shared.addresses import host_and_port

QOS: Final = 1
KEEP_ALIVE: Final = 5
"""Seconds. The broker publishes the last will after one and a half times as long without a packet."""
STARTING: Final = LineStatus(Trouble.GATEWAY, "the gateway starts")
ENDED: Final = LineStatus(Trouble.GATEWAY, "the gateway is gone")


class MqttOutput:
    """Publishes signals to an MQTT broker.

    If the broker does not confirm a signal in time, the connection is closed and its client discarded. The client would
    otherwise publish the signal after the next connect, when its deadline may have passed.
    """

    group: Final = 100
    collect_seconds: Final = 0.0
    longest_pause: Final = 10.0
    seconds_needed: Final = 0.0

    def __init__(self, settings: MqttSettings, line: str) -> None:
        self._settings = settings
        self._address = host_and_port(settings.host, settings.port)
        self._decisions = f"{settings.topic}/{line}/decision"
        self._state = f"{settings.topic}/{line}/state"
        self._connected = threading.Event()
        self._answered = threading.Event()
        """Set after the broker has accepted or refused the connection."""
        self._reason = "not connected yet"
        self._client: paho.Client | None = None
        self._status = STARTING

    def send(self, signals: Sequence[Signal]) -> int:
        """See the port."""
        client = self._connect()
        until = time.monotonic() + self._settings.timeout_seconds
        reason = "the broker did not confirm in time"
        try:
            sent = [client.publish(self._decisions, signal.encode(), QOS) for signal in signals]
            for each in sent:
                each.wait_for_publish(max(0.0, until - time.monotonic()))
            confirmed = all(each.is_published() for each in sent)
        except (OSError, ValueError, RuntimeError) as error:
            confirmed, reason = False, f"{type(error).__name__}: {error}"
        if not confirmed:
            self.close()
            raise OutputUnavailable(reason)
        return len(signals)

    def show(self, status: LineStatus) -> None:
        """See the port. The state is published when it changes."""
        before, self._status = self._status, status
        client = self._client
        if client and self._connected.is_set() and _state(before) != _state(status):
            client.publish(self._state, _state(status), QOS, retain=True)

    def check(self) -> None:
        """See the port."""
        self._connect()

    def close(self) -> None:
        """See the port. The state becomes offline."""
        client, self._client = self._client, None
        if client is None:
            return
        if self._connected.is_set():
            client.publish(self._state, _state(ENDED), QOS, retain=True).wait_for_publish(1)
        client.disconnect()
        client.loop_stop()
        self._connected.clear()
        self._answered.clear()

    def _connect(self) -> paho.Client:
        if self._client is None:
            self._client = self._start()
        self._answered.wait(self._settings.timeout_seconds)
        if not self._connected.is_set():
            self.close()
            raise OutputUnavailable(f"{self._address}: {self._reason}")
        return self._client

    def _start(self) -> paho.Client:
        settings = self._settings
        client = mqtt_client(settings)
        client.will_set(self._state, _state(ENDED), QOS, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        try:
            client.connect(settings.host, settings.port, KEEP_ALIVE)
        except OSError as error:
            raise OutputUnavailable(f"{self._address}: {error}") from error
        client.loop_start()
        return client

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._reason = str(reason)
        else:
            client.publish(self._state, _state(self._status), QOS, retain=True)
            self._connected.set()
        self._answered.set()

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._connected.is_set():
            self._connected.clear()
            self._answered.clear()
            self._reason = str(reason)


def _state(status: LineStatus) -> bytes:
    return json.dumps(
        {
            "online": status.online,
            "ready": status.ready,
            "error": status.trouble.value,
            "reason": status.reason or status.check_due,
        }
    ).encode()
