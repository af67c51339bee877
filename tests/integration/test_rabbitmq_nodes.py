"""An address with several nodes of a RabbitMQ: a service goes to another one when its node is away."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial

import pytest

from shared.messages import FrameCaptured, decode
from shared.messaging.port import BrokerUnavailable
from shared.messaging.rabbitmq.connection import RabbitAddress
from shared.topology import INFERENCE_FRAMES
from tests.broker_address import BrokerAddress
from tests.messages import captured
from tests.processes import free_port, wait_until
from tests.servers import Endpoint
from tests.soak.proxy import Proxy


@pytest.fixture
def proxies(rabbitmq_server: Endpoint) -> Iterator[Sequence[Proxy]]:
    """Two ways to one RabbitMQ, each in place of a node."""
    made = [Proxy(rabbitmq_server.port), Proxy(rabbitmq_server.port)]
    yield made
    for proxy in made:
        proxy.cut()


def at_nodes(rabbitmq: BrokerAddress, *ports: int) -> BrokerAddress:
    nodes = ",".join(f"127.0.0.1:{port}" for port in ports)
    return BrokerAddress(f"amqp://{nodes}/{rabbitmq.url.rpartition('/')[2]}", rabbitmq.user, rabbitmq.password)


def test_a_node_that_is_away_at_the_start_is_passed_over(rabbitmq: BrokerAddress, rabbitmq_server: Endpoint) -> None:
    address = at_nodes(rabbitmq, free_port(), rabbitmq_server.port, free_port())
    for _ in range(4):
        broker = address.open()
        broker.publisher().publish(captured(1)).result(60)
        broker.close()


def test_connections_move_to_another_node_when_theirs_goes_away(
    rabbitmq: BrokerAddress, proxies: Sequence[Proxy]
) -> None:
    broker = at_nodes(rabbitmq, *(proxy.port for proxy in proxies)).open()
    publisher, subscription = broker.publisher(), broker.subscribe(INFERENCE_FRAMES, 10)
    received: list[int] = []

    def is_published(sequence: int) -> bool:
        try:
            publisher.publish(captured(sequence)).result(60)
        except BrokerUnavailable:
            return False
        return True

    def is_received(sequence: int) -> bool:
        with suppress(BrokerUnavailable):
            deliveries = subscription.receive(10, 0.2)
            frames = [decode(delivery.body) for delivery in deliveries]
            subscription.acknowledge(deliveries)
            received.extend(frame.frame.sequence for frame in frames if isinstance(frame, FrameCaptured))
        return sequence in received

    for sequence, away in enumerate(proxies):
        with away.refuse():
            wait_until(partial(is_published, sequence), 60, "the frame to be confirmed by the other node")
            wait_until(partial(is_received, sequence), 60, "the frame to arrive from the other node")
    broker.close()


def test_a_node_is_chosen_without_a_number_of_the_generator_that_others_seed() -> None:
    address = RabbitAddress("amqp://rabbitmq/", "u", "p")
    before = random.getstate()
    assert address.answering_node() == ("rabbitmq", 5672)
    assert random.getstate() == before


@pytest.mark.parametrize(
    ("url", "nodes"),
    [
        ("amqp://rabbitmq/seamline", (("rabbitmq", 5672),)),
        ("amqp://a:5673,b,[::1]:9/seamline?topology=given", (("a", 5673), ("b", 5672), ("::1", 9))),
        ("amqps://a,b", (("a", 5671), ("b", 5671))),
    ],
)
def test_an_address_names_its_nodes(url: str, nodes: object) -> None:
    address = RabbitAddress(url, "u", "p")
    assert address.nodes == nodes
    assert address.topology_is_given is ("topology" in url)


def test_an_address_says_when_a_silent_node_is_given_up(rabbitmq: BrokerAddress, rabbitmq_server: Endpoint) -> None:
    url = at_nodes(rabbitmq, rabbitmq_server.port).url
    assert RabbitAddress(url, "u", "p").parameters("test").heartbeat == 20
    assert RabbitAddress(f"{url}?topology=given&heartbeat=7", "u", "p").parameters("test").heartbeat == 7
