"""RabbitMQ stops, dies, hangs or throws its clients out in the middle of the work: every frame is accounted for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest

from shared.health import Health
from shared.messages import FrameCaptured, Message
from shared.messaging.loop import consume
from shared.messaging.port import Broker, BrokerUnavailable, Publisher
from shared.messaging.rabbitmq import RabbitBroker
from shared.topology import DASHBOARD_VERDICTS, INFERENCE_FRAMES
from tests.broker_address import BrokerAddress
from tests.conftest import PrivateRabbit
from tests.contract.test_messaging import collect, sequences
from tests.messages import captured, inspected
from tests.processes import Server, wait_until
from tests.servers import Endpoint

pytestmark = [pytest.mark.xdist_group("private-rabbitmq"), pytest.mark.timeout(600)]

QUEUES = [INFERENCE_FRAMES, DASHBOARD_VERDICTS]
FRAMES = 300
HEARTBEAT_SECONDS = 4


def stop_and_start(server: Server) -> None:
    server.stop()
    server.start()


def kill_and_start(server: Server) -> None:
    server.kill()
    server.start()


def pause_and_resume(server: Server) -> None:
    server.pause()
    time.sleep(3 * HEARTBEAT_SECONDS)  # the outage itself
    server.resume()


def judge(messages: list[Message]) -> Sequence[Message]:
    return [inspected(message.frame.sequence) for message in messages if isinstance(message, FrameCaptured)]


@contextmanager
def worker(broker: Broker) -> Iterator[None]:
    subscription, publisher, stop = broker.subscribe(INFERENCE_FRAMES, 16), broker.publisher(), threading.Event()
    thread = threading.Thread(
        target=consume,
        args=[subscription, publisher, judge],
        kwargs={"most": 16, "wait_seconds": 0.2, "stop": stop, "health": Health()},
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(120)
    assert not thread.is_alive()


def insist(publisher: Publisher, frames: range, confirmed: set[int]) -> None:
    """Publish as a camera with an outbox does: what is not confirmed is published again."""
    while left := [number for number in frames if number not in confirmed]:
        futures = [(number, publisher.publish(captured(number, b"p" * 2000))) for number in left[:20]]
        confirmed |= {number for number, future in futures if future.exception() is None}
        time.sleep(0.02)


@pytest.mark.parametrize("outage", [stop_and_start, kill_and_start, pause_and_resume])
def test_no_frame_is_lost_in_an_outage(private_rabbitmq: PrivateRabbit, outage: Callable[[Server], None]) -> None:
    broker = private_rabbitmq.address.open(QUEUES, heartbeat_seconds=HEARTBEAT_SECONDS)
    confirmed: set[int] = set()
    camera = threading.Thread(target=insist, args=[broker.publisher(), range(FRAMES), confirmed], daemon=True)
    with worker(broker):
        camera.start()
        wait_until(lambda: len(confirmed) >= FRAMES // 4, 120, "the line to run")
        outage(private_rabbitmq.server)
        camera.join(200)
        assert confirmed == set(range(FRAMES))
        judged: set[int] = set()
        reader = private_rabbitmq.address.open(QUEUES).subscribe(DASHBOARD_VERDICTS, prefetch=FRAMES)
        deadline = time.monotonic() + 200
        while judged != confirmed:
            assert time.monotonic() < deadline, f"{len(confirmed - judged)} frames are missing"
            deliveries = reader.receive(FRAMES, 1.0)
            judged |= set(sequences(deliveries))
            reader.acknowledge(deliveries)
        reader.close()
        wait_until(lambda: broker.depth("inference.frames").total == 0, 60, "an empty queue")
    assert broker.depth("inference.frames.parked").total == 0
    broker.close()


def test_while_the_broker_is_away_a_publish_fails_at_once(private_rabbitmq: PrivateRabbit) -> None:
    broker = private_rabbitmq.address.open(QUEUES)
    publisher, subscription = broker.publisher(), broker.subscribe(INFERENCE_FRAMES, prefetch=1)
    private_rabbitmq.server.stop()
    try:
        wait_until(lambda: publisher.publish(captured(1)).exception(timeout=60) is not None, 60, "a failure")
        began = time.monotonic()
        assert isinstance(publisher.publish(captured(1)).exception(timeout=60), BrokerUnavailable)
        assert time.monotonic() - began < 5
        with pytest.raises(BrokerUnavailable):
            subscription.receive(1, 60)
        assert not subscription.receive(1, 0.2), "it is told once"
        with pytest.raises(BrokerUnavailable):
            private_rabbitmq.address.open(QUEUES)
    finally:
        private_rabbitmq.server.start()
    wait_until(lambda: publisher.publish(captured(2)).exception(timeout=60) is None, 120, "the broker to be back")
    assert sequences(collect(subscription, 1, seconds=120)) == [2]
    broker.close()


def close_connections(endpoint: Endpoint, address: BrokerAddress, count: int) -> None:
    """As an operator does, in the management's pages, once these list that many."""
    virtual_host = address.url.split("/")[-1]
    login = (endpoint.user, endpoint.password)
    with httpx.Client(base_url=endpoint.management_url, auth=login, timeout=60) as management:

        def known() -> list[str]:
            return [one["name"] for one in management.get(f"/api/vhosts/{virtual_host}/connections").json()]

        wait_until(lambda: len(known()) == count, 120, "the management to know the connections", pause=0.5)
        for name in known():
            management.delete(f"/api/connections/{name}").raise_for_status()


def test_clients_that_are_thrown_out_come_back(private_rabbitmq: PrivateRabbit) -> None:
    broker = private_rabbitmq.address.open(QUEUES)
    publisher, subscription = broker.publisher(), broker.subscribe(INFERENCE_FRAMES, prefetch=10)
    publisher.publish(captured(1)).result(timeout=60)
    old = collect(subscription, 1)

    close_connections(private_rabbitmq.endpoint, private_rabbitmq.address, 2)
    with pytest.raises(BrokerUnavailable):
        subscription.receive(1, 60)
    again = collect(subscription, 1, seconds=120)
    assert (sequences(again), again[0].redelivered) == ([1], True)
    subscription.acknowledge(old)
    subscription.park(old[0], "of a connection that is gone")
    wait_until(lambda: publisher.publish(captured(2)).exception(timeout=60) is None, 120, "the publisher to be back")
    assert sequences(collect(subscription, 1)) == [2], "the acknowledgement of an old delivery takes nothing away"
    subscription.close()
    wait_until(lambda: broker.depth("inference.frames").ready == 2, 60, "both frames to be back")
    assert broker.depth("inference.frames.parked").total == 0
    broker.close()


def test_a_queue_that_is_deleted_is_made_again_and_read_on(private_rabbitmq: PrivateRabbit) -> None:
    address, endpoint = private_rabbitmq.address, private_rabbitmq.endpoint
    broker = address.open(QUEUES)
    publisher, subscription = broker.publisher(), broker.subscribe(INFERENCE_FRAMES, prefetch=1)
    virtual_host = address.url.split("/")[-1]
    with httpx.Client(base_url=endpoint.management_url, auth=(endpoint.user, endpoint.password), timeout=60) as client:
        client.delete(f"/api/queues/{virtual_host}/{INFERENCE_FRAMES.name}").raise_for_status()
    with pytest.raises(BrokerUnavailable):
        subscription.receive(1, 60)
    wait_until(lambda: publisher.publish(captured(1)).exception(timeout=60) is None, 120, "the queue to be there again")
    assert sequences(collect(subscription, 1, seconds=120)) == [1]
    broker.close()


def test_a_handler_may_compute_for_longer_than_the_heartbeat(rabbitmq: BrokerAddress) -> None:
    broker = rabbitmq.open(QUEUES, heartbeat_seconds=2)
    broker.publisher().publish(captured(1)).result(timeout=60)
    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=1)
    deliveries = collect(subscription, 1)
    busy_until = time.monotonic() + 8
    while time.monotonic() < busy_until:
        sum(range(10_000))
    subscription.acknowledge(deliveries)
    assert not subscription.receive(1, 1.0), "the connection is the same, and the frame is done"
    subscription.close()
    assert broker.depth("inference.frames").total == 0
    broker.close()


def test_publishers_that_were_closed_are_forgotten(rabbitmq: BrokerAddress) -> None:
    broker = rabbitmq.open()
    assert isinstance(broker, RabbitBroker)
    for _ in range(3):
        publisher = broker.publisher()
        publisher.close()
        wait_until(lambda publisher=publisher: publisher.ended, 60, "its thread to end")  # type: ignore[misc]
    assert len(broker._publishers) == 1
    broker.close()
