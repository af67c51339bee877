"""Accept triggers over MQTT; the answers are published on another topic."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from ulid import ULID

from services.camera.settings import CameraSettings, MqttBroker
from services.camera.triggers.trigger import Answer, Cause, InvalidTrigger, Trigger
from services.camera.triggers.triggers import REMEMBERED_SECONDS, Triggers

QOS: Final = 1
KEEP_ALIVE: Final = 5
"""Seconds. The broker publishes the last will after one and a half times as long without a packet."""
LONGEST_PAUSE: Final = 10
"""Most seconds between two attempts to connect."""
CLOSING_SECONDS: Final = 1.0
"""Most seconds that `MqttTriggers.close` waits for the broker's confirm."""

log = structlog.get_logger(__name__)


class MqttTriggers:
    """A client of an MQTT broker, which connects again after it loses the connection.

    The broker stores the triggers that are published while the camera is not connected. They are too old for a capture.
    So after each connect the client publishes a mark to itself, and a trigger that arrives before the mark is missed.
    """

    def __init__(self, triggers: Triggers, broker: MqttBroker, settings: CameraSettings) -> None:
        self._triggers = triggers
        base = f"{settings.trigger_topic}/{settings.line}/{settings.name}"
        self._trigger, self._answer, self._ready, self._mark = (
            f"{base}/{name}" for name in ("trigger", "answer", "ready", "mark")
        )
        self._awaited_mark = ""
        """The mark that has not arrived yet; empty after it has arrived."""
        self._failure = ""
        self._received: dict[int, tuple[float, int]] = {}
        """When each message came, in seconds of the steady clock, and the hash of its payload, by packet identifier."""
        client = self._client = paho.Client(
            CallbackAPIVersion.VERSION2, f"seamline-{settings.line}-{settings.name}", clean_session=False
        )
        client.will_set(self._ready, _ready("the camera is gone"), QOS, retain=True)
        if settings.trigger_user:
            password = settings.trigger_password
            client.username_pw_set(settings.trigger_user, password.get_secret_value() if password else None)
        if broker.tls:
            client.tls_set_context(settings.client_tls())
        client.reconnect_delay_set(1, LONGEST_PAUSE)
        client.on_connect = self._on_connect
        client.on_connect_fail = lambda *_: self._fail("it can't be reached")
        client.on_disconnect = lambda _client, _data, _flags, reason, _properties: self._fail(str(reason))
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.connect_async(broker.host, broker.port, KEEP_ALIVE)
        triggers.watch(self._show)
        client.loop_start()

    def close(self) -> None:
        """Publish that the camera is not ready any more, and disconnect."""
        if self._client.is_connected():
            last_message = self._client.publish(self._ready, _ready("the camera ends"), QOS, retain=True)
            with suppress(RuntimeError, ValueError):  # the connection is lost
                last_message.wait_for_publish(CLOSING_SECONDS)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._fail(str(reason))
            return
        self._failure = ""
        self._awaited_mark = str(ULID())
        client.subscribe([(self._trigger, QOS), (self._mark, QOS)])

    def _on_subscribe(
        self, client: paho.Client, _data: Any, _id: int, reasons: Sequence[Any], _properties: Any
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._fail(f"the broker refuses to deliver {self._trigger} or {self._mark}: allow its user to read them")
        else:
            client.publish(self._mark, _mark(self._awaited_mark), QOS)

    def _fail(self, reason: str) -> None:
        if reason != self._failure:
            log.warning("no triggers over MQTT", reason=reason)
        self._failure = reason

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if message.topic == self._mark:
            if message.payload == _mark(self._awaited_mark):
                self._awaited_mark = ""
                self._show()
            return
        if message.retain:
            log.warning("ignored a retained trigger, because it is too old", topic=message.topic)
            return
        if self._is_repeated(message):
            log.info("the MQTT broker sent a trigger again, which is not counted again")
            return
        try:
            trigger = Trigger.read(message.payload)
        except InvalidTrigger as error:
            self._publish(self._triggers.miss(Cause.REFUSED, str(error)))
            return

        def publish(answer: Future[Answer]) -> None:
            self._publish(answer.result())

        away = "it came while the camera was not connected to the MQTT broker" if self._awaited_mark else ""
        self._triggers.fire(trigger, away).add_done_callback(publish)

    def _is_repeated(self, message: paho.MQTTMessage) -> bool:
        """Return whether the broker sends a message again whose acknowledgement it has not received."""
        now, payload = time.monotonic(), hash(message.payload)
        received_at, before = self._received.get(message.mid, (-math.inf, 0))
        self._received[message.mid] = now, payload
        return bool(message.dup) and before == payload and now - received_at < REMEMBERED_SECONDS

    def _publish(self, answer: Answer) -> None:
        self._client.publish(self._answer, answer.model_dump_json(), QOS)

    def _show(self) -> None:
        if self._client.is_connected() and not self._awaited_mark:
            self._client.publish(self._ready, _ready(self._triggers.away), QOS, retain=True)


def _mark(mark: str) -> bytes:
    return json.dumps({"mark": mark}).encode()


def _ready(reason: str) -> bytes:
    return json.dumps({"ready": not reason, "reason": reason}).encode()
