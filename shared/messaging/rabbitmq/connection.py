"""Reaching RabbitMQ: where it is, what its refusals mean, and the topology it must have."""

from __future__ import annotations

import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
BLOCKED_SECONDS: Final = 30
"""How long a broker may refuse to read (its disk or memory is full) before the connection is given up."""
ATTEMPT_SECONDS: Final = 10
LONGEST_PAUSE: Final = 10.0
"""Seconds between two attempts to connect."""
NO_LIMIT: Final = 1_000_000_000
"""Of redeliveries. RabbitMQ 4 has a limit of its own unless one is set, and 3 does not know -1 for none."""

REFUSALS: Final = 3
"""A broker that starts, or reads its users anew, refuses for a moment: so many refusals in a row are believed."""
RAISED_BY_PIKA: Final = (
    exceptions.AMQPError,
    exceptions.ChannelError,
    AMQPConnectorException,
    OSError,
    struct.error,  # of a frame that is none
)
"""On connecting and in use. What is not here is a defect of ours."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Address:
    """Where a RabbitMQ is, and who is asking."""

    url: str
    user: str
    password: str = field(repr=False)
    heartbeat_seconds: int = HEARTBEAT_SECONDS
    service: str = "seamline"
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)
    """How to check a server with TLS; None: as the system does."""

    @property
    def host(self) -> str:
        """Name or number of the machine."""
        return urlsplit(self.url).hostname or "localhost"

    @property
    def port(self) -> int:
        """5672, or 5671 with TLS, unless the address says another."""
        return urlsplit(self.url).port or (5671 if self._encrypted else 5672)

    @property
    def virtual_host(self) -> str:
        """``/`` unless the address says another."""
        return unquote(urlsplit(self.url).path[1:]) or "/"

    @property
    def topology_is_given(self) -> bool:
        """``?topology=given``: exchanges and queues are there already, and the user has no right to make any."""
        return parse_qs(urlsplit(self.url).query).get("topology") == ["given"]

    @property
    def _encrypted(self) -> bool:
        return urlsplit(self.url).scheme == "amqps"

    def parameters(self, part: str) -> pika.ConnectionParameters:
        """For pika; ``part`` is how the connection is named in RabbitMQ's lists."""
        tls = pika.SSLOptions(self.tls or ssl.create_default_context(), self.host) if self._encrypted else None
        return pika.ConnectionParameters(
            self.host,
            self.port,
            self.virtual_host,
            pika.PlainCredentials(self.user, self.password),
            heartbeat=self.heartbeat_seconds,
            blocked_connection_timeout=BLOCKED_SECONDS,
            socket_timeout=ATTEMPT_SECONDS,
            stack_timeout=ATTEMPT_SECONDS,
            ssl_options=tls,
            client_properties={"connection_name": f"{self.service} {part}"},
        )

    def failure(self, error: BaseException) -> MessagingError:
        """What an error of pika means here, and what to do: `BrokerUnavailable` may pass, all others last."""
        where = f"RabbitMQ at {self.host}:{self.port}"
        kind: type[MessagingError]
        code, text = getattr(error, "reply_code", 0), getattr(error, "reply_text", "")
        match error:
            case exceptions.ProbableAuthenticationError() | exceptions.ProbableAccessDeniedError() if not _was_told(
                error
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
    def plain_errors(self) -> Iterator[None]:
        """Turn pika's errors into the port's."""
        try:
            yield
        except RAISED_BY_PIKA as error:
            raise self.failure(error) from error


def _was_told(guess: BaseException) -> bool:
    """Whether the broker refused (403 a login, 530 a virtual host); pika guesses that of every cut in a handshake."""
    return any(f"{exceptions.ConnectionClosedByBroker.__name__}: ({code})" in str(guess) for code in (403, 530))


def _reason(error: BaseException) -> str:
    """The system's words, which pika wraps several times."""
    inner = getattr(error, "exceptions", None) or [getattr(error, "exception", None), *error.args]
    causes = [cause for cause in inner if isinstance(cause, BaseException)]
    if causes:
        return _reason(causes[-1])
    if "_ALERT_" in str(error) or "SSLEOFError" in str(error):
        return "it ended the TLS handshake; if it asks for a certificate, check TLS_CERT and TLS_KEY of this service"
    words = error.strerror if isinstance(error, OSError) else str(error)
    return " ".join((words or type(error).__name__).split())


def patiently(
    stop: threading.Event,
    attempt: Callable[[], Result],
    *,
    passing: type[MessagingError] = BrokerUnavailable,
    tell: Callable[[MessagingError], None] = lambda _error: None,
) -> Result:
    """What ``attempt`` returns; tried again, with longer and longer pauses, after errors that are ``passing``.

    Each of them is told. When ``stop`` is set, the last one is raised.
    """

    def told(state: RetryCallState) -> None:
        if state.outcome and isinstance(error := state.outcome.exception(), MessagingError):
            tell(error)

    return retrying(stop, passing, longest=LONGEST_PAUSE, before_pause=told)(attempt)


def connect(address: Address, part: str, queues: Sequence[Queue]) -> pika.BlockingConnection:
    """A connection to a broker that has the topology.

    Raises:
        BrokerUnavailable: nothing answers.
        BrokerRefusedLogin: the user or the password is wrong.
        MessagingError: the virtual host, the permissions or the topology are others than they must be.
    """
    believed = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, MessagingError) and not may_pass(error)),
        stop=stop_after_attempt(REFUSALS),
        wait=wait_exponential(multiplier=0.5),
        reraise=True,
    )
    connection: pika.BlockingConnection = believed(_connect_once, address, part, queues)
    return connection


def may_pass(failure: MessagingError) -> bool:
    """Whether it is worth trying again."""
    return isinstance(failure, BrokerUnavailable)


def _connect_once(address: Address, part: str, queues: Sequence[Queue]) -> pika.BlockingConnection:
    with address.plain_errors():
        connection = pika.BlockingConnection(address.parameters(part))
        try:
            channel = connection.channel()
            (look_for if address.topology_is_given else declare)(channel, queues)
            channel.close()
        except BaseException:
            if connection.is_open:
                connection.close()
            raise
        return connection


def declare(channel: Any, queues: Sequence[Queue]) -> None:
    """Create the exchanges, queues and bindings that are not there."""
    for exchange in topology.EXCHANGES:
        channel.exchange_declare(exchange, "topic", durable=True)
    for exchange in direct_exchanges(queues):
        channel.exchange_declare(exchange, "direct", durable=True)
    for queue in queues:
        for name, arguments in arguments_of(queue).items():
            channel.queue_declare(name, durable=True, arguments=arguments)
        for exchange, name, key in bindings_of(queue):
            channel.queue_bind(name, exchange, key)


def look_for(channel: Any, queues: Sequence[Queue]) -> None:
    """Ask for each exchange and queue: every user may.

    Raises:
        MessagingError: one is not there.
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
            f"RabbitMQ has not the topology that it was said to have: {error.reply_text}. Import "
            "deploy/rabbitmq/definitions.json into it, or leave ?topology=given out of its address"
        ) from error


def direct_exchanges(queues: Sequence[Queue]) -> list[str]:
    """The exchanges whose routing keys are names of queues."""
    return [topology.REPLAYS, *sorted({queue.dead_letters for queue in queues})]


def bindings_of(queue: Queue) -> list[tuple[str, str, str]]:
    """Exchange, queue and key of each binding of a queue, its suspects and its parked."""
    return [
        (queue.exchange, queue.name, queue.binding),
        (topology.REPLAYS, queue.name, queue.name),
        (queue.dead_letters, queue.suspects, queue.suspects),
        (queue.dead_letters, queue.parked, queue.parked),
    ]


def arguments_of(queue: Queue) -> dict[str, dict[str, object]]:
    """What RabbitMQ is told of a queue, its suspects and its parked.

    A queue that sheds has no dead letters: RabbitMQ would send what it sheds there. Its reader makes the suspects.
    Readers alone park: RabbitMQ would park what was cut off too often, see `shared.messaging.rabbitmq.trials`.
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
        "x-overflow": WhenFull.REFUSE.value,  # at-least-once asks for it
    }
    arguments: dict[str, dict[str, object]] = {
        queue.name: limits | ({} if queue.when_full is WhenFull.SHED else dead_letters),
        queue.suspects: {"x-delivery-limit": NO_LIMIT},
        queue.parked: {"x-delivery-limit": NO_LIMIT},
    }
    return {name: {"x-queue-type": "quorum", **rest} for name, rest in arguments.items()}
