"""A RabbitMQ that accepts connections and is mute, or cuts or refuses them for a moment: it is waited for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pika
import pytest
from pika import frame, spec
from structlog.testing import capture_logs

from shared.health import Health
from shared.messaging.loop import consume
from shared.messaging.port import BrokerRefusedLogin, BrokerUnavailable, Delivery, Subscription
from shared.messaging.rabbitmq import connection as connecting
from shared.topology import DASHBOARD_VERDICTS, INFERENCE_FRAMES
from tests.broker_address import BrokerAddress
from tests.contract.test_messaging import collect, sequences
from tests.messages import captured
from tests.processes import wait_until
from tests.servers import Endpoint
from tests.soak.proxy import Proxy

QUEUES = [INFERENCE_FRAMES]


@pytest.fixture
def proxy(rabbitmq_server: Endpoint) -> Iterator[Proxy]:
    proxy = Proxy(rabbitmq_server.port)
    yield proxy
    proxy.cut()


@pytest.fixture
def behind(proxy: Proxy, rabbitmq: BrokerAddress, rabbitmq_server: Endpoint) -> BrokerAddress:
    """The same RabbitMQ, by way of the proxy."""
    url = rabbitmq.url.replace(f":{rabbitmq_server.port}/", f":{proxy.port}/")
    return BrokerAddress(url, rabbitmq.user, rabbitmq.password)


def test_publisher_and_subscription_outlive_a_broker_that_accepts_and_is_mute(
    proxy: Proxy, behind: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = behind.open(QUEUES)
    publisher, subscription = broker.publisher(), broker.subscribe(INFERENCE_FRAMES, prefetch=10)

    def attempts_time_out() -> bool:
        failure = publisher.publish(captured(1)).exception(60)
        return isinstance(failure, BrokerUnavailable) and "no answer within" in str(failure)

    with monkeypatch.context() as hasty, proxy.mute():
        hasty.setattr(connecting, "ATTEMPT_SECONDS", 1)
        proxy.cut()
        with pytest.raises(BrokerUnavailable):
            subscription.receive(1, 60)
        wait_until(attempts_time_out, 60, "an attempt to connect that is not answered")
        assert broker.troubles(silence_seconds=30) == [], "it is waited for"
    proxy.cut()
    wait_until(lambda: publisher.publish(captured(2)).exception(60) is None, 60, "the publisher to be back")
    assert set(sequences(collect(subscription, 1))) == {2}
    assert broker.troubles(silence_seconds=30) == []
    broker.close()


def test_an_outage_is_logged_once(proxy: Proxy, behind: BrokerAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []
    connects = pika.BlockingConnection

    def counted(parameters: pika.ConnectionParameters) -> pika.BlockingConnection:
        attempts.append(len(attempts))
        return connects(parameters)

    broker, stop = behind.open([*QUEUES, DASHBOARD_VERDICTS]), threading.Event()
    subscription, publisher = broker.subscribe(INFERENCE_FRAMES, prefetch=1), broker.publisher()
    monkeypatch.setattr(pika, "BlockingConnection", counted)
    options = {"most": 1, "wait_seconds": 0.1, "stop": stop, "health": Health()}
    loop = threading.Thread(target=consume, args=[subscription, publisher, lambda _messages: []], kwargs=options)
    with capture_logs() as lines:
        loop.start()
        with proxy.refuse():
            wait_until(lambda: len(attempts) >= 8, 60, "some attempts to connect")
        stop.set()
        loop.join(60)
    assert [line["event"] for line in lines] == ["the broker is unavailable; waiting for it"]
    broker.close()


def test_a_publisher_that_waits_for_a_mute_broker_says_so(proxy: Proxy, behind: BrokerAddress) -> None:
    broker = behind.open(QUEUES)
    publisher = broker.publisher()
    publisher.publish(captured(1)).result(60)
    with proxy.mute():
        confirm = publisher.publish(captured(2))
        wait_until(lambda: bool(broker.troubles(silence_seconds=0.5)), 60, "a trouble")
        (trouble,) = broker.troubles(silence_seconds=0.5)
        assert "the publisher waits for a confirm" in trouble
    confirm.result(60)
    wait_until(lambda: broker.troubles(silence_seconds=0.5) == [], 60, "no trouble any more")
    broker.close()


def test_cuts_of_the_network_park_nothing(proxy: Proxy, behind: BrokerAddress, rabbitmq: BrokerAddress) -> None:
    """Two readers, whose connections go each time that they have the frame in hand; one of them is busy for long."""
    direct = rabbitmq.open(QUEUES)
    readers = [behind.open(QUEUES) for _ in range(2)]
    subscriptions = [reader.subscribe(INFERENCE_FRAMES, prefetch=1) for reader in readers]
    direct.publisher().publish(captured(1)).result(60)
    suspected = 0
    for _ in range(10):
        delivery = taken_by_one_of(subscriptions)
        suspected += delivery.queue == INFERENCE_FRAMES.suspects
        proxy.cut()
    assert suspected > 4, "it is tried alone after the first cuts, and cut off again"
    delivery = taken_by_one_of(subscriptions)
    assert sequences([delivery]) == [1]
    for queue in (INFERENCE_FRAMES.name, INFERENCE_FRAMES.suspects, INFERENCE_FRAMES.parked):
        assert direct.depth(queue).ready == 0
    for broker in (*readers, direct):
        broker.close()


def taken_by_one_of(subscriptions: list[Subscription]) -> Delivery:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for subscription in subscriptions:
            with suppress(BrokerUnavailable):
                for delivery in subscription.receive(1, 0.1):
                    return delivery
    raise AssertionError("the frame does not come again")


START = spec.Connection.Start(0, 9, {"capabilities": {"authentication_failure_close": True}}, "PLAIN AMQPLAIN", "en_US")
TUNE = spec.Connection.Tune(2047, 131072, 60)
REFUSAL = spec.Connection.Close(403, "ACCESS_REFUSED - Login was refused", 0, 0)


@contextmanager
def answering(*says: object) -> Iterator[tuple[BrokerAddress, list[int]]]:
    """A server that says these things, each after it has heard something, and hangs up; and how often it was called."""
    calls: list[int] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            calls.append(len(calls))
            with client:
                for method in says:
                    client.recv(4096)
                    client.sendall(frame.Method(0, method).marshal())
                client.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield BrokerAddress(f"amqp://127.0.0.1:{listening.getsockname()[1]}/", "seamline", "open sesame"), calls
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("says", [(), (START,), (START, TUNE)], ids=["at once", "after start", "after tune"])
def test_a_connection_that_is_cut_in_the_handshake_may_come_later(says: tuple[object, ...]) -> None:
    with answering(*says) as (address, calls), pytest.raises(BrokerUnavailable):
        address.open(QUEUES)
    assert len(calls) == 1


def test_a_refused_login_is_believed_when_it_repeats() -> None:
    with answering(START, REFUSAL) as (address, calls), pytest.raises(BrokerRefusedLogin):
        address.open(QUEUES)
    assert len(calls) == connecting.REFUSALS


def test_a_login_that_is_refused_for_a_moment_ends_nothing(
    rabbitmq: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[int] = []
    connects = pika.BlockingConnection

    def refuse_twice(parameters: pika.ConnectionParameters) -> pika.BlockingConnection:
        if len(refused) < 2:
            refused.append(1)
            parameters.credentials = pika.PlainCredentials(rabbitmq.user, "not yet known")
        return connects(parameters)

    monkeypatch.setattr(pika, "BlockingConnection", refuse_twice)
    rabbitmq.open(QUEUES).close()
    assert len(refused) == 2
