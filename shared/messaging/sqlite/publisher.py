"""Publish to the embedded broker: messages that arrive during a commit are written with the next one."""

from __future__ import annotations

import json
import queue
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.messages import Message
from shared.messaging.port import BrokerUnavailable, EncodedMessage, MessagingError, PublishRefused, UnroutableMessage
from shared.messaging.sqlite.routing import matches
from shared.messaging.sqlite.schema import SMALL, check_room, connect, translated_errors, writing
from shared.messaging.window import Window

CLOSING_SECONDS: Final = 5.0
GROUP: Final = 256
"""Most messages of one commit: readers wait for its end."""


@dataclass
class _Parcel:
    message: EncodedMessage
    confirmed: Future[None]

    @property
    def size(self) -> int:
        return len(self.message.body)


@dataclass
class _Target:
    """A queue with its number of messages in this transaction."""

    name: str
    exchange: str
    binding: str
    most: int | None
    most_bytes: int | None
    sheds: bool
    ready: int
    ready_bytes: int

    def wants(self, message: EncodedMessage) -> bool:
        return self.exchange == message.exchange and matches(self.binding, message.routing_key)

    def overflows(self, messages: int = 0, size: int = 0) -> bool:
        """Return whether the queue exceeds a limit with these additional messages."""
        too_many = self.most is not None and self.ready + messages > self.most
        return too_many or (self.most_bytes is not None and self.ready_bytes + size > self.most_bytes)


class SqlitePublisher:
    """See `shared.messaging.port.Publisher`."""

    def __init__(self, path: Path, sender: str = "") -> None:
        self._path = path
        self._sender = sender
        with translated_errors(path):
            self._connection = connect(path, durable=True)
        self._window = Window()
        self._parcels: queue.SimpleQueue[_Parcel | None] = queue.SimpleQueue()
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="publisher", daemon=True)
        self._writer.start()

    def publish(self, message: Message | EncodedMessage) -> Future[None]:
        """See the port."""
        confirmed: Future[None] = Future()
        confirmed.set_running_or_notify_cancel()
        if self._closed:
            confirmed.set_exception(MessagingError("this publisher is closed"))
            return confirmed
        encoded = message if isinstance(message, EncodedMessage) else EncodedMessage.of(message)
        parcel = _Parcel(encoded, confirmed)
        self._window.enter(parcel.size)
        self._parcels.put(parcel)
        return confirmed

    def trouble(self, silence_seconds: float) -> str:
        """Return what is wrong, in a few words; empty if the publisher is healthy."""
        if not self._writer.is_alive() and not self._closed:
            return "the publisher's thread has ended"
        if self._window.seconds_still() > silence_seconds:
            return f"the publisher waits for a commit since {self._window.seconds_still():.0f} s"
        return ""

    def close(self) -> None:
        """See the port."""
        if self._closed:
            return
        self._closed = True
        self._parcels.put(None)
        self._writer.join(CLOSING_SECONDS)

    def _write(self) -> None:
        while (first := self._parcels.get()) is not None:
            parcels = [first]
            closing = False
            while len(parcels) < GROUP and not self._parcels.empty():
                parcel = self._parcels.get()
                if parcel is None:
                    closing = True
                    break
                parcels.append(parcel)
            self._confirm(parcels)
            if closing:
                break
        self._connection.close()

    def _confirm(self, parcels: Sequence[_Parcel]) -> None:
        """Commit a group; on a full disk only its small messages, after which their inputs are deleted."""
        large = [parcel for parcel in parcels if parcel.size > SMALL]
        try:
            with translated_errors(self._path, takes_room=bool(large)):
                check_room(self._path, self._connection, max(parcel.size for parcel in parcels))
                with writing(self._connection):
                    targets = [
                        _Target(*row)
                        for row in self._connection.execute(
                            "SELECT name, exchange, binding, most, most_bytes, sheds, ready, ready_bytes "
                            "FROM queue WHERE exchange != ''"
                        )
                    ]
                    outcomes = [self._enqueue(parcel, targets) for parcel in parcels]
        except MessagingError as error:
            refused = large or parcels
            self._settle(refused, [BrokerUnavailable(str(error))] * len(refused))
            if len(refused) < len(parcels):
                self._confirm([parcel for parcel in parcels if parcel.size <= SMALL])
        else:
            self._settle(parcels, outcomes)

    def _settle(self, parcels: Sequence[_Parcel], outcomes: Sequence[MessagingError | None]) -> None:
        for parcel, failure in zip(parcels, outcomes, strict=True):
            self._window.leave(parcel.size)
            if failure:
                parcel.confirmed.set_exception(failure)
            else:
                parcel.confirmed.set_result(None)

    def _enqueue(self, parcel: _Parcel, targets: Sequence[_Target]) -> MessagingError | None:
        """Insert a message into every queue that receives it, or into none."""
        message, size = parcel.message, parcel.size
        wanting = [target for target in targets if target.wants(message)]
        if not wanting:
            return UnroutableMessage(f"no queue wants {message.routing_key!r} on {message.exchange}")
        full = [target.name for target in wanting if not target.sheds and target.overflows(1, size)]
        if full:
            return PublishRefused(f"queue {', '.join(full)} is full")
        headers = json.dumps(dict(message.headers)) if message.headers else ""
        for target in wanting:
            cursor = self._connection.execute(
                "INSERT INTO message (queue, size, routing_key, sender, headers) VALUES (?, ?, ?, ?, ?)",
                (target.name, size, message.routing_key, self._sender, headers),
            )
            self._connection.execute(
                "INSERT INTO body (message, content) VALUES (?, ?)", (cursor.lastrowid, message.body)
            )
            target.ready += 1
            target.ready_bytes += size
            while target.sheds and target.overflows():
                _shed(self._connection, target)
        return None


def _shed(connection: sqlite3.Connection, target: _Target) -> None:
    oldest, size = connection.execute(
        "SELECT id, size FROM message WHERE queue = ? AND reader IS NULL ORDER BY id LIMIT 1", (target.name,)
    ).fetchone()
    connection.execute("DELETE FROM message WHERE id = ?", (oldest,))
    target.ready -= 1
    target.ready_bytes -= size
