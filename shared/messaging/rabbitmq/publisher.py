"""Publish to RabbitMQ: a background thread with its own connection, and a window of unconfirmed messages.

`pika.BlockingConnection` waits for the confirm of each message, which is too slow for a camera.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

import pika

from shared.messages import Message
from shared.messaging.port import BrokerUnavailable, EncodedMessage, MessagingError, PublishRefused, UnroutableMessage
from shared.messaging.rabbitmq.connection import ATTEMPT_SECONDS, RabbitAddress, connect, connect_with_retry
from shared.messaging.window import Window
from shared.topology import Queue

CLOSING_SECONDS: Final = 5.0
RECONNECT_SECONDS: Final = 0.2
"""Seconds between a lost connection and the first try to connect again."""


@dataclass(eq=False)
class _Parcel:
    message: EncodedMessage
    confirmed: Future[None]
    returned: bool = False


class RabbitPublisher:
    """See `shared.messaging.port.Publisher`. Without a connection, a publish fails at once."""

    def __init__(self, address: RabbitAddress, queues: Sequence[Queue]) -> None:
        self._address = address
        self._queues = queues
        self._window = Window()
        self._closing = threading.Event()
        self._connected_once = threading.Event()
        self._unavailable: MessagingError = BrokerUnavailable(f"RabbitMQ at {address.name}: not connected yet")
        self._session = self._open()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()
        self._connected_once.wait(ATTEMPT_SECONDS)

    def publish(self, message: Message | EncodedMessage) -> Future[None]:
        """See the port."""
        confirmed: Future[None] = Future()
        confirmed.set_running_or_notify_cancel()
        encoded = message if isinstance(message, EncodedMessage) else EncodedMessage.of(message)
        parcel = _Parcel(encoded, confirmed)
        self._window.enter(len(encoded.body))
        if not self._session.send(parcel):
            self._settle(parcel, self._unavailable)
        return confirmed

    @property
    def ended(self) -> bool:
        """Return whether the publisher is closed and its thread has ended."""
        return self._closing.is_set() and not self._thread.is_alive()

    def trouble(self, silence_seconds: float) -> str:
        """Return what is wrong, in a few words; empty if the publisher is healthy."""
        if not self._thread.is_alive() and not self._closing.is_set():
            return "the publisher's thread has ended"
        if self._window.seconds_still() > silence_seconds:
            return f"the publisher waits for a confirm since {self._window.seconds_still():.0f} s"
        return ""

    def close(self, seconds: float = CLOSING_SECONDS) -> None:
        """See the port."""
        if self._closing.is_set():
            return
        until = time.monotonic() + seconds
        self._window.wait_empty(seconds)
        self._closing.set()
        self._session.hang_up()
        self._thread.join(max(0.0, until - time.monotonic()))

    def _settle(self, parcel: _Parcel, failure: MessagingError | None) -> None:
        self._window.leave(len(parcel.message.body))
        if failure:
            parcel.confirmed.set_exception(failure)
        else:
            parcel.confirmed.set_result(None)

    def _run(self) -> None:
        """Serve until closed. While the broker refuses the connection, each publish fails with its reason."""
        while True:
            self._fail(self._session.run())
            self._connected_once.set()
            if self._closing.wait(RECONNECT_SECONDS):
                return
            try:
                self._session = connect_with_retry(
                    self._closing, self._open, retry_on=MessagingError, on_error=self._fail
                )
            except MessagingError as error:
                self._fail(error)
                return

    def _fail(self, failure: MessagingError) -> None:
        self._unavailable = failure

    def _open(self) -> _Session:
        with self._address.translated_errors():
            # a broker that restarted may have lost the topology; and errors are clearer here than in a callback
            connect(self._address, "topology", self._queues).close()
            return _Session(self._address, self._settle, self._connected_once.set)


class _Session:
    """One connection, from connecting to its loss. All callbacks run in the thread that called `run`."""

    def __init__(
        self,
        address: RabbitAddress,
        settle: Callable[[_Parcel, MessagingError | None], None],
        on_ready: Callable[[], None],
    ) -> None:
        self._address = address
        self._settle = settle
        self._on_ready = on_ready
        self._lock = threading.Lock()
        self._ready = False
        self._outgoing: deque[_Parcel] = deque()
        self._unconfirmed: dict[int, _Parcel] = {}
        self._failure: MessagingError | None = None
        self._channel: Any = None
        self._last_tag = 0
        self._connection = pika.SelectConnection(
            address.parameters("publisher"),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._on_channel),
            on_open_error_callback=self._on_refused,
            on_close_callback=self._on_closed,
        )

    def run(self) -> MessagingError:
        """Serve until the connection is lost, and return the reason."""
        try:
            with self._address.translated_errors():
                self._connection.ioloop.start()
        except MessagingError as error:
            self._failure = self._failure or error
        finally:
            # futures without a confirm fail
            with self._lock:
                self._ready = False
                self._connection.ioloop.close()
            for parcel in [*self._unconfirmed.values(), *self._outgoing]:
                self._settle(parcel, self._failure or BrokerUnavailable("closed"))
        return self._failure or BrokerUnavailable("closed")

    def send(self, parcel: _Parcel) -> bool:
        """Send a message, from any thread. Return False without a connection."""
        with self._lock:
            if self._ready:
                self._outgoing.append(parcel)
                if len(self._outgoing) == 1:
                    self._connection.ioloop.add_callback_threadsafe(self._send)
            return self._ready

    def hang_up(self) -> None:
        """Close the connection, from any thread."""
        with self._lock:
            if self._ready:
                self._connection.ioloop.add_callback_threadsafe(self._connection.close)

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=self._on_confirming)

    def _on_confirming(self, _frame: Any) -> None:
        with self._lock:
            self._ready = True
        self._on_ready()

    def _send(self) -> None:
        with self._lock:
            parcels = list(self._outgoing)
            self._outgoing.clear()
        for parcel in parcels:
            tag = self._last_tag = self._last_tag + 1
            self._unconfirmed[tag] = parcel
            if self._channel.is_open:
                # a message that no queue receives is returned with its properties before it is confirmed
                message = parcel.message
                properties = pika.BasicProperties(
                    delivery_mode=2,
                    message_id=str(tag),
                    user_id=self._address.user,
                    headers=dict(message.headers) or None,
                )
                self._channel.basic_publish(
                    message.exchange, message.routing_key, message.body, properties, mandatory=True
                )

    def _on_return(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        self._unconfirmed[int(properties.message_id)].returned = True

    def _on_confirm(self, frame: Any) -> None:
        refused = isinstance(frame.method, pika.spec.Basic.Nack)
        last = frame.method.delivery_tag
        tags = [tag for tag in self._unconfirmed if tag <= last] if frame.method.multiple else [last]
        for tag in tags:
            parcel = self._unconfirmed.pop(tag)
            message = parcel.message
            failure: MessagingError | None = None
            if parcel.returned:
                failure = UnroutableMessage(f"no queue wants {message.routing_key!r} on {message.exchange}")
            elif refused:
                failure = PublishRefused(f"a queue for {message.routing_key!r} on {message.exchange} is full")
            self._settle(parcel, failure)

    def _on_channel_closed(self, _channel: Any, reason: BaseException) -> None:
        if self._connection.is_open:
            self._failure = self._address.failure(reason)
            self._connection.close()

    def _on_refused(self, connection: Any, reason: BaseException) -> None:
        """Record a refusal as temporary: the next `connect` shows whether it lasts."""
        self._failure = BrokerUnavailable(str(self._address.failure(reason)))
        connection.ioloop.stop()

    def _on_closed(self, connection: Any, reason: BaseException) -> None:
        self._failure = self._failure or self._address.failure(reason)
        connection.ioloop.stop()
