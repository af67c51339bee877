"""Publish signals to an MQTT broker, and the state and the recipe of the line as retained messages."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog
from paho.mqtt import client as paho
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.gateway.outputs.mqtt_client import mqtt_client
from services.gateway.outputs.port import LineRecipe, LineStatus, OutputUnavailable, Signal, Trouble
from services.gateway.outputs.recipe_requests import RecipeRequests
from services.gateway.outputs.settings import MqttSettings
from shared.addresses import host_and_port
from shared.messages import Name

QOS: Final = 1
KEEP_ALIVE: Final = 5
"""Seconds. The broker publishes the last will after one and a half times as long without a packet."""
STARTING: Final = LineStatus(Trouble.GATEWAY, "the gateway starts")
ENDED: Final = LineStatus(Trouble.GATEWAY, "the gateway is gone")
MUTE: Final = "the broker does not answer"

_log = structlog.stdlib.get_logger("outputs")


class RecipeRequest(BaseModel):
    """A request of the plant to inspect the next parts of a line by another recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Name
    id: str | None = Field(None, max_length=64, description="repeated in the answer")


class RecipeAnswer(BaseModel):
    """The recipe of a line, and what came of the last request."""

    model_config = ConfigDict(frozen=True)

    recipe: str | None = Field(description="None: the workers' own")
    recipes: tuple[str, ...] = Field(description="recipes that have a model in production")
    id: str | None = Field(None, description="of the last request")
    refusal: str = Field("", description="why the last request was refused; empty: it was done")


class MqttOutput:
    """Publishes signals to an MQTT broker.

    If the broker does not confirm a signal in time, the connection is closed and its client discarded. The client would
    otherwise publish the signal after the next connect, when its deadline may have passed.
    """

    group: Final = 100
    collect_seconds: Final = 0.0
    longest_pause: Final = 10.0
    seconds_needed: Final = 0.0

    def __init__(
        self, settings: MqttSettings, line: str, recipe: LineRecipe | None = None, *, only_checks: bool = False
    ) -> None:
        """See `services.gateway.outputs.opening.open_output`."""
        self._settings = settings
        self._address = host_and_port(settings.host, settings.port)
        self._decisions, self._state, self._recipe, self._request = (
            f"{settings.topic}/{line}/{name}" for name in ("decision", "state", "recipe", "recipe/set")
        )
        self._announces = not only_checks
        self._requests = RecipeRequests(recipe, f"mqtt:{settings.user or 'anonymous'}") if recipe else None
        self._answered_request: tuple[str | None, str] = None, ""
        """The id of the last request of a recipe, and its refusal."""
        self._connected = threading.Event()
        self._answered = threading.Event()
        """Set after the broker has accepted or refused the connection."""
        self._reason = MUTE
        self._client: paho.Client | None = None
        self._status = STARTING
        self._published: dict[str, bytes] = {}
        """What was last published on each retained topic, since the connection began."""

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
            self._disconnect()
            raise OutputUnavailable(f"{self._address}: {reason}")
        return len(signals)

    def show(self, status: LineStatus) -> None:
        """See the port. The state and the recipe are published when they change."""
        self._status = status
        self._publish_retained()

    def check(self) -> None:
        """See the port."""
        self._connect()

    def close(self) -> None:
        """See the port. The state becomes offline."""
        self._disconnect()
        if self._requests:
            self._requests.close()

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        if self._connected.is_set() and self._announces:
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
            self._disconnect()
            raise OutputUnavailable(f"{self._address}: {self._reason}")
        return self._client

    def _start(self) -> paho.Client:
        settings = self._settings
        self._reason = MUTE
        try:
            client = mqtt_client(settings)
            if self._announces:
                client.will_set(self._state, _state(ENDED), QOS, retain=True)
            client.on_connect = self._on_connect
            client.on_disconnect = self._on_disconnect
            client.on_subscribe = self._on_subscribe
            client.on_message = self._on_message
            client.connect(settings.host, settings.port, KEEP_ALIVE)
        except OSError as error:
            raise OutputUnavailable(f"{self._address}: {error}") from error
        client.loop_start()
        return client

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._reason = str(reason)
        else:
            self._published = {}
            self._connected.set()
            if self._requests:
                client.subscribe(self._request, QOS)
            self._publish_retained(client)
        self._answered.set()

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._connected.is_set():
            self._connected.clear()
            self._answered.clear()
            self._reason = str(reason)

    def _on_subscribe(self, _client: paho.Client, _data: Any, _id: int, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            _log.warning(
                "the plant can't change the recipe: allow the user of the gateway to read the topic",
                topic=self._request,
                broker=self._address,
            )

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        """Take a request of a recipe. A retained one may be days old, and is ignored."""
        if message.retain or self._requests is None:
            _log.warning("ignored a retained request of a recipe, because it is too old", topic=message.topic)
            return
        try:
            request = RecipeRequest.model_validate_json(message.payload)
        except ValidationError:
            self._answer(None, 'not understood: publish a document such as {"recipe": "seam"}')
            return
        self._requests.change(request.recipe, lambda refusal: self._answer(request.id, refusal))

    def _answer(self, request_id: str | None, refusal: str) -> None:
        self._answered_request = request_id, refusal
        self._published.pop(self._recipe, None)  # also the same answer again is one
        self._publish_retained()

    def _publish_retained(self, client: paho.Client | None = None) -> None:
        """Publish the state and the recipe if they have changed."""
        client = client or self._client
        if client is None or not self._connected.is_set() or not self._announces:
            return
        documents = {self._state: _state(self._status)}
        if self._requests:
            line, (request_id, refusal) = self._requests.line, self._answered_request
            answer = RecipeAnswer(recipe=line.current, recipes=line.choices, id=request_id, refusal=refusal)
            documents[self._recipe] = answer.model_dump_json().encode()
        for topic, document in documents.items():
            if self._published.get(topic) != document:
                self._published[topic] = document
                client.publish(topic, document, QOS, retain=True)


def _state(status: LineStatus) -> bytes:
    return json.dumps(
        {
            "online": status.online,
            "ready": status.ready,
            "error": status.trouble.value,
            "reason": status.reason or status.check_due,
        }
    ).encode()
