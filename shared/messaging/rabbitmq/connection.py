"""Connect to RabbitMQ: its address, its errors, and the topology that it must have."""

from __future__ import annotations

import random
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import pika
from pika import exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException, AMQPConnectorStackTimeout
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from shared import topology
from shared.messaging.port import BrokerRefusedLogin, BrokerUnavailable, MessagingError
from shared.retry import retrying
from shared.topology import Queue, WhenFull

HEARTBEAT_SECONDS: Final = 20
"""AMQP heartbeat timeout in seconds: a connection over which nothing comes for this long counts as lost."""
BLOCKED_SECONDS: Final = 30
"""Seconds that a broker may block publishers (full disk or memory) before the connection is closed."""
ATTEMPT_SECONDS: Final = 10
"""Most seconds of one attempt to connect."""
PROBE_SECONDS: Final = 1.0
"""A node of a cluster that accepts no connection within this time is passed over."""
LONGEST_PAUSE: Final = 10.0
"""Most seconds between two attempts to connect."""
NO_LIMIT: Final = 1_000_000_000
"""A limit of redeliveries that is never reached.

RabbitMQ 4 has a default limit. RabbitMQ 3 does not accept -1, which means no limit in RabbitMQ 4.
"""

REFUSALS: Final = 3
"""Attempts to connect before an error that looks permanent is raised, see `may_pass`.

A broker that starts or reloads its users refuses logins for a moment.
"""
RAISED_BY_PIKA: Final = (
    exceptions.AMQPError,
    exceptions.ChannelError,
    AMQPConnectorException,
    OSError,
    struct.error,  # of a malformed frame
)
"""The errors of pika, on connecting and later. Any other error is a defect of Seamline."""

_rng: Final = random.Random()  # noqa: S311  its own generator: a seed elsewhere must not choose the node

Result = TypeVar("Result")


@dataclass(frozen=True)
class RabbitAddress:
    """The address of a RabbitMQ node or cluster, the user, and the name of the service that connects."""

    url: str
    user: str
    password: str = field(repr=False)
    heartbeat_seconds: int = HEARTBEAT_SECONDS
    service: str = "seamline"
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)
    """The context for TLS; None for the default of the system."""

    @property
    def nodes(self) -> tuple[tuple[str, int], ...]:
        """Return host and port of each node of the cluster; the port is by default 5672, or 5671 with TLS."""
        usual = 5671 if self._encrypted else 5672
        parts = (urlsplit(f"//{node}") for node in urlsplit(self.url).netloc.split(","))
        return tuple((part.hostname or "localhost", part.port or usual) for part in parts)

    @property
    def name(self) -> str:
        """Return the nodes as text, for errors."""
        return ", ".join(f"{host}:{port}" for host, port in self.nodes)

    @property
    def virtual_host(self) -> str:
        """Return the virtual host of the address, by default ``/``."""
        return unquote(urlsplit(self.url).path[1:]) or "/"

    @property
    def topology_is_given(self) -> bool:
        """Return whether the address has ``?topology=given``: exchanges and queues exist, and are not created."""
        return parse_qs(urlsplit(self.url).query).get("topology") == ["given"]

    @property
    def heartbeat(self) -> int:
        """Return the heartbeat timeout in seconds: that of the address (``?heartbeat=10``), or the default."""
        return int(parse_qs(urlsplit(self.url).query).get("heartbeat", [self.heartbeat_seconds])[-1])

    @property
    def _encrypted(self) -> bool:
        return urlsplit(self.url).scheme == "amqps"

    def parameters(self, part: str) -> pika.ConnectionParameters:
        """Return pika's parameters for one of the nodes; ``part`` names the connection in RabbitMQ's lists."""
        host, port = self.answering_node()
        tls = pika.SSLOptions(self.tls or ssl.create_default_context(), host) if self._encrypted else None
        return pika.ConnectionParameters(
            host,
            port,
            self.virtual_host,
            pika.PlainCredentials(self.user, self.password),
            heartbeat=self.heartbeat,
            blocked_connection_timeout=BLOCKED_SECONDS,
            socket_timeout=ATTEMPT_SECONDS,
            stack_timeout=ATTEMPT_SECONDS,
            ssl_options=tls,
            client_properties={"connection_name": f"{self.service} {part}"},
        )

    def answering_node(self) -> tuple[str, int]:
        """Return a node that accepts connections, chosen at random so that connections are spread.

        If no node accepts one, return any node: pika then raises the error.
        """
        nodes = _rng.sample(self.nodes, len(self.nodes))
        for node in nodes if len(nodes) > 1 else ():
            with suppress(OSError), socket.create_connection(node, timeout=PROBE_SECONDS):
                return node
        return nodes[0]

    def failure(self, error: BaseException) -> MessagingError:
        """Translate an error of pika into one of `shared.messaging.port`.

        It is `BrokerUnavailable` if a later attempt may succeed, else another `MessagingError`.
        """
        where = f"RabbitMQ at {self.name}"
        kind: type[MessagingError]
        code, text = getattr(error, "reply_code", 0), getattr(error, "reply_text", "")
        match error:
            case exceptions.ProbableAuthenticationError() | exceptions.ProbableAccessDeniedError() if (
                not _refused_by_broker(error)
            ):
                kind, words = BrokerUnavailable, ": the connection was cut while it was made"
            case exceptions.ProbableAuthenticationError() | exceptions.AuthenticationError():
                kind, words = BrokerRefusedLogin, f" refuses user {self.user!r} or the password: check both"
            case exceptions.ProbableAccessDeniedError():
                kind, words = (
                    MessagingError,
                    (
                        f" does not let {self.user!r} into virtual host {self.virtual_host!r}: "
                        "create it, or give the user its permissions"
                    ),
                )
            case exceptions.ChannelClosedByBroker() if code == 406:
                kind, words = (
                    MessagingError,
                    (
                        f" has another topology than this version of Seamline: {text}. Let the queue run empty and "
                        "delete it, or give this version a virtual host of its own"
                    ),
                )
            case exceptions.ChannelClosedByBroker() if code == 403:
                kind, words = MessagingError, f" does not permit what Seamline needs: {text}"
            case ssl.SSLCertVerificationError():
                kind, words = MessagingError, f" has a certificate that is not trusted here: {error.verify_message}"
            case AMQPConnectorStackTimeout():
                kind, words = BrokerUnavailable, f": no answer within {ATTEMPT_SECONDS} s"
            case _:
                kind, words = BrokerUnavailable, f": {text or _reason(error)}"
        return kind(where + words)

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Translate errors of pika into those of `shared.messaging.port` while the block runs."""
        try:
            yield
        except RAISED_BY_PIKA as error:
            raise self.failure(error) from error


def _refused_by_broker(error: BaseException) -> bool:
    """Return whether the broker refused the login (403) or the virtual host (530).

    pika raises the same error for every connection that is lost in the handshake.
    """
    return any(f"{exceptions.ConnectionClosedByBroker.__name__}: ({code})" in str(error) for code in (403, 530))


def _reason(error: BaseException) -> str:
    """Return the reason of the innermost error: pika wraps errors of the system several times."""
    inner = getattr(error, "exceptions", None) or [getattr(error, "exception", None), *error.args]
    causes = [cause for cause in inner if isinstance(cause, BaseException)]
    if causes:
        return _reason(causes[-1])
    if "_ALERT_" in str(error) or "SSLEOFError" in str(error):
        return "it ended the TLS handshake; if it asks for a certificate, check TLS_CERT and TLS_KEY of this service"
    words = error.strerror if isinstance(error, OSError) else str(error)
    return " ".join((words or type(error).__name__).split())


def connect_with_retry(
    stop: threading.Event,
    attempt: Callable[[], Result],
    *,
    retry_on: type[MessagingError] = BrokerUnavailable,
    on_error: Callable[[MessagingError], None] = lambda _error: None,
) -> Result:
    """Repeat ``attempt`` with backoff while it raises an error of the class ``retry_on``.

    Each of these errors is passed to ``on_error``. When ``stop`` is set, the last error is raised instead of another
    attempt.
    """

    def before_pause(state: RetryCallState) -> None:
        if state.outcome and isinstance(error := state.outcome.exception(), MessagingError):
            on_error(error)

    return retrying(stop, retry_on, longest=LONGEST_PAUSE, before_pause=before_pause)(attempt)


def connect(address: RabbitAddress, part: str, queues: Sequence[Queue]) -> pika.BlockingConnection:
    """Connect to a broker, and create or check its topology.

    An error that looks permanent is raised after `REFUSALS` attempts, `BrokerUnavailable` after the first one.

    Raises:
        BrokerUnavailable: the broker does not answer.
        BrokerRefusedLogin: the user or the password is wrong.
        MessagingError: the certificate, the virtual host, the permissions or the topology are wrong.
    """
    # callers repeat attempts after errors that may pass, see `connect_with_retry`
    connect_again = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, MessagingError) and not may_pass(error)),
        stop=stop_after_attempt(REFUSALS),
        wait=wait_exponential(multiplier=0.5),
        reraise=True,
    )
    connection: pika.BlockingConnection = connect_again(_connect_once, address, part, queues)
    return connection


def may_pass(failure: MessagingError) -> bool:
    """Return whether a later attempt may succeed without a change of settings."""
    return isinstance(failure, BrokerUnavailable)


def _connect_once(address: RabbitAddress, part: str, queues: Sequence[Queue]) -> pika.BlockingConnection:
    with address.translated_errors():
        connection = pika.BlockingConnection(address.parameters(part))
        try:
            channel = connection.channel()
            (check_topology if address.topology_is_given else declare)(channel, queues)
            channel.close()
        except BaseException:
            if connection.is_open:
                connection.close()
            raise
        return connection


def declare(channel: Any, queues: Sequence[Queue]) -> None:
    """Create the exchanges, queues and bindings that do not exist."""
    for exchange in topology.EXCHANGES:
        channel.exchange_declare(exchange, "topic", durable=True)
    for exchange in direct_exchanges(queues):
        channel.exchange_declare(exchange, "direct", durable=True)
    for queue in queues:
        for name, arguments in arguments_of(queue).items():
            channel.queue_declare(name, durable=True, arguments=arguments)
        for exchange, name, key in bindings_of(queue):
            channel.queue_bind(name, exchange, key)


def check_topology(channel: Any, queues: Sequence[Queue]) -> None:
    """Check that each exchange and queue exists. RabbitMQ permits this check to every user.

    Raises:
        MessagingError: an exchange or a queue does not exist.
    """
    try:
        for exchange in (*topology.EXCHANGES, *direct_exchanges(queues)):
            channel.exchange_declare(exchange, passive=True)
        for queue in queues:
            for name in arguments_of(queue):
                channel.queue_declare(name, passive=True)
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code != 404:
            raise
        raise MessagingError(
            f"RabbitMQ lacks a part of the topology that ?topology=given promises: {error.reply_text}. Import "
            "deploy/rabbitmq/definitions.json into it, or leave ?topology=given out of its address"
        ) from error


def direct_exchanges(queues: Sequence[Queue]) -> list[str]:
    """Return the exchanges whose routing keys are names of queues."""
    return [topology.REPLAYS, *sorted({queue.dead_letters for queue in queues})]


def bindings_of(queue: Queue) -> list[tuple[str, str, str]]:
    """Return exchange, queue and key of each binding of a queue, its suspects queue and its parked queue.

    `shared.topology` describes these queues.
    """
    return [
        (queue.exchange, queue.name, queue.binding),
        (topology.REPLAYS, queue.name, queue.name),
        (queue.dead_letters, queue.suspects, queue.suspects),
        (queue.dead_letters, queue.parked, queue.parked),
    ]


def arguments_of(queue: Queue) -> dict[str, dict[str, object]]:
    """Return RabbitMQ's arguments of a queue, its suspects queue and its parked queue, by their names.

    A queue that drops its oldest messages when it is full (`WhenFull.SHED`) has no dead-letter exchange, because
    RabbitMQ would also send the dropped messages to it. Its reader moves messages that were delivered too often to the
    suspects queue. Only readers park messages: RabbitMQ would also park messages whose readers lost their connections
    too often, see `shared.messaging.rabbitmq.trials`.
    """
    limits: dict[str, object] = {
        "x-max-length": queue.limit,
        "x-max-length-bytes": queue.limit_bytes,
        "x-overflow": queue.when_full.value,
    }
    if queue.one_reader:
        limits["x-single-active-consumer"] = True
    dead_letters = {
        "x-delivery-limit": topology.DELIVERY_LIMIT,
        "x-dead-letter-exchange": queue.dead_letters,
        "x-dead-letter-routing-key": queue.suspects,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": WhenFull.REFUSE.value,  # RabbitMQ requires it for the strategy at-least-once
    }
    arguments: dict[str, dict[str, object]] = {
        queue.name: limits | ({} if queue.when_full is WhenFull.SHED else dead_letters),
        queue.suspects: {"x-delivery-limit": NO_LIMIT},
        queue.parked: {"x-delivery-limit": NO_LIMIT},
    }
    return {name: {"x-queue-type": "quorum", **rest} for name, rest in arguments.items()}
