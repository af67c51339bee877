"""The topology as data: every message has an exchange and a queue, and every queue a service."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared import messages, topology
from shared.messages import Message, decode
from shared.messaging.sqlite.routing import matches
from shared.topology import EXCHANGE_OF, EXCHANGES, QUEUES, Queue
from tests.unit.shared.test_messages import GOLDEN, golden

REPOSITORY = Path(__file__).parents[3]
KINDS = [kind for kind in Message.types.values() if kind.__module__ == messages.__name__]


def example(kind: type[Message]) -> Message:
    body, _ = golden(GOLDEN / f"{kind.__name__}.{kind.version}.json")
    return decode(body)


def wanting(message: Message) -> list[Queue]:
    exchange = EXCHANGE_OF[type(message)]
    return [queue for queue in QUEUES if queue.exchange == exchange and matches(queue.binding, message.routing_key)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_message_has_an_exchange_and_a_queue_that_wants_it(kind: type[Message]) -> None:
    assert EXCHANGE_OF[kind] in EXCHANGES
    assert wanting(example(kind))


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
def test_every_queue_is_named_after_the_service_that_reads_it(queue: Queue) -> None:
    service, holds = queue.name.split(".")
    assert (REPOSITORY / "services" / service).is_dir()
    assert re.fullmatch("[a-z]+", holds)
    assert (queue.suspects, queue.parked) == (f"{queue.name}.suspects", f"{queue.name}.parked")


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
def test_every_queue_is_fed_by_some_message(queue: Queue) -> None:
    assert any(queue in wanting(example(kind)) for kind in KINDS)


def test_a_queue_that_refuses_never_waits_for_one_that_sheds() -> None:
    """Of two queues that receive a message, only a necessary one may refuse it."""
    sheds = {queue.name for queue in QUEUES if queue.when_full is topology.WhenFull.SHED}
    assert sheds == {"explainer.flagged", "gateway.verdicts", "gateway.reports", "dashboard.reports"}


def test_a_broadcast_is_received_by_a_queue_as_well() -> None:
    """Otherwise a broadcast without running workers would be unroutable."""
    binding, exchange = topology.PROMOTIONS.binding, topology.PROMOTIONS.exchange
    heard = [kind for kind in KINDS if EXCHANGE_OF[kind] == exchange and matches(binding, example(kind).routing_key)]
    assert heard == [messages.ModelPromoted]
    assert wanting(example(messages.ModelPromoted))


@pytest.mark.parametrize(
    ("binding", "key", "fits"),
    [
        ("captured.#", "captured.line-1", True),
        ("captured.#", "captured", True),
        ("captured.#", "captured.a.b.c", True),
        ("captured.#", "capturedx.a", False),
        ("captured.*", "captured.line-1", True),
        ("captured.*", "captured", False),
        ("captured.*", "captured.a.b", False),
        ("#", "", True),
        ("#", "any.thing", True),
        ("*.promoted.#", "happened.promoted.seam", True),
        ("#.promoted", "happened.promoted", True),
        ("#.promoted", "promoted", True),
        ("#.promoted", "happened.promoted.seam", False),
        ("a.#.b", "a.b", True),
        ("a.#.b", "a.x.y.b", True),
        ("a.b", "a+b", False),
    ],
)
def test_bindings_match_as_in_rabbitmq(binding: str, key: str, fits: bool) -> None:
    assert matches(binding, key) is fits
