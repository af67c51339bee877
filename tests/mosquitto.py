"""An MQTT broker for tests, mosquitto of the system's package, and a client of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.processes import ChildServer, free_port, listens, wait_until
from tests.servers import program

USER = "gateway"
PASSWORD = "a password of the tests"


class Mosquitto:
    """On loopback, with one user; what it retains is lost with it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.password_file = folder / "password"
        self.password_file.write_text(f"{PASSWORD}\n")
        users = folder / "users"
        users.touch(0o600)
        tool = program("mosquitto_passwd", "mosquitto")
        subprocess.run([tool, "-b", users, USER, PASSWORD], check=True, capture_output=True)
        own = "user root\n" if os.geteuid() == 0 else ""
        configuration = folder / "mosquitto.conf"
        configuration.write_text(
            f"listener {self.port} 127.0.0.1\n{own}allow_anonymous false\npassword_file {users}\npersistence false\n"
        )
        command: list[str | Path] = [program("mosquitto", "mosquitto"), "-c", configuration]
        self.server = ChildServer(command, folder / "server.log", lambda: listens(self.port))

    @property
    def settings(self) -> dict[str, Any]:
        """Of an output that publishes here."""
        where = {"host": "127.0.0.1", "port": self.port, "user": USER, "password_file": str(self.password_file)}
        return {"type": "mqtt", "timeout_seconds": 60, **where}

    @contextmanager
    def subscriber(self, topic: str) -> Iterator[Subscriber]:
        subscriber = Subscriber(self.port, topic)
        try:
            yield subscriber
        finally:
            subscriber.close()


class Subscriber:
    """Receives what is published on topics; connects again by itself."""

    def __init__(self, port: int, topic: str) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self._ready = False
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.username_pw_set(USER, PASSWORD)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *_: setattr(self, "_ready", True)
        self._client.on_message = lambda _client, _data, message: self.messages.append(
            (message.topic, json.loads(message.payload))
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_until(lambda: self._ready, 120, "the subscription")

    def until(self, enough: Callable[[list[tuple[str, dict[str, Any]]]], bool], seconds: float = 120) -> None:
        wait_until(lambda: enough(self.messages), seconds, "messages of the broker")

    def publish(self, topic: str, document: str) -> None:
        """Publish, and wait until the broker has confirmed it."""
        self._client.publish(topic, document, 1).wait_for_publish(30)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
