"""The promises of a broker, on the embedded broker and on RabbitMQ."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared import topology
from shared.messages import FrameCaptured, FrameInspected, Message, TrainingRequested, decode
from shared.messaging.port import (
    SENT_AT,
    Broker,
    Delivery,
    EncodedMessage,
    MessagingError,
    ParkedAction,
    ParkedMessage,
    PublishRefused,
    Subscription,
    UnroutableMessage,
)
from shared.topology import DASHBOARD_VERDICTS, EXPLAINER_FLAGGED, INFERENCE_FRAMES, TRAINER_COMMANDS, Queue
from tests import children
from tests.broker_address import BrokerAddress
from tests.children import Child
from tests.messages import captured, inspected, promoted, training_requested
from tests.processes import wait_until

OpenBroker = Callable[..., Broker]
FRAMES_ONLY = [INFERENCE_FRAMES]
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", SENT_AT: "1769862615250000000"}


def collect(subscription: Subscription, count: int, seconds: float = 60) -> list[Delivery]:
    """Receive this number of messages without acknowledging them."""
    deliveries: list[Delivery] = []
    deadline = time.monotonic() + seconds
    while len(deliveries) < count:
        assert time.monotonic() < deadline, f"only {len(deliveries)} of {count} came"
        deliveries += subscription.receive(count - len(deliveries), 0.5)
    return deliveries


def publish(broker: Broker, messages: Sequence[Message]) -> None:
    """Publish messages, and wait until all are confirmed."""
    publisher = broker.publisher()
    for future in [publisher.publish(message) for message in messages]:
        future.result(timeout=60)
    publisher.close()


def sequences(deliveries: Sequence[Delivery]) -> list[int]:
    messages = [decode(delivery.body) for delivery in deliveries]
    return [message.frame.sequence for message in messages if isinstance(message, FrameCaptured | FrameInspected)]


def parked(broker: Broker, queue: Queue) -> list[ParkedMessage]:
    seen: list[ParkedMessage] = []

    def look(message: ParkedMessage) -> ParkedAction:
        seen.append(message)
        return ParkedAction.KEEP

    broker.review(queue, look)
    return seen


def wait_for_depth(broker: Broker, queue: str, ready: int) -> None:
    wait_until(lambda: broker.depth(queue).ready == ready, 60, f"{queue} to hold {ready}")


# ── publish, receive, acknowledge ────────────────────────────────────────────────────────────────────────────────────


def test_a_message_that_was_encoded_before_arrives_like_any_other(broker: Broker) -> None:
    publisher = broker.publisher()
    encoded = EncodedMessage.of(captured(7))
    for headers in (TRACE, {}):
        publisher.publish(replace(encoded, headers=headers)).result(timeout=60)
    with_trace, without = collect(broker.subscribe(INFERENCE_FRAMES, prefetch=2), 2)
    assert with_trace.read() == without.read() == captured(7)
    assert (with_trace.headers, without.headers) == (TRACE, {})


def test_a_message_is_received_as_it_was_published(open_broker: OpenBroker) -> None:
    broker = open_broker(FRAMES_ONLY)
    image = bytes(range(256)) * 4000
    publish(broker, [captured(1, image)])
    (delivery,) = collect(broker.subscribe(INFERENCE_FRAMES, prefetch=1), 1)
    assert decode(delivery.body) == captured(1, image)
    assert delivery.queue == "inference.frames"
    assert not delivery.redelivered


def test_a_queue_keeps_its_order(open_broker: OpenBroker) -> None:
    broker = open_broker(FRAMES_ONLY)
    publish(broker, [captured(number) for number in range(100)])
    assert sequences(collect(broker.subscribe(INFERENCE_FRAMES, prefetch=100), 100)) == list(range(100))


def test_every_queue_that_wants_a_message_gets_it(open_broker: OpenBroker) -> None:
    broker = open_broker([EXPLAINER_FLAGGED, DASHBOARD_VERDICTS])
    publish(broker, [inspected(1), inspected(2, flagged=True)])
    assert sequences(collect(broker.subscribe(EXPLAINER_FLAGGED, prefetch=9), 1)) == [2]
    assert sequences(collect(broker.subscribe(DASHBOARD_VERDICTS, prefetch=9), 2)) == [1, 2]


def test_an_acknowledged_message_is_gone(open_broker: OpenBroker) -> None:
    broker = open_broker(FRAMES_ONLY)
    publish(broker, [captured(1), captured(2)])
    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=2)
    first, _ = collect(subscription, 2)
    subscription.acknowledge([first])
    subscription.close()
    wait_for_depth(broker, "inference.frames", 1)
    assert sequences(collect(broker.subscribe(INFERENCE_FRAMES, prefetch=2), 1)) == [2]


def test_messages_of_a_closed_subscription_are_delivered_again(open_broker: OpenBroker) -> None:
    broker = open_broker(FRAMES_ONLY)
    publish(broker, [captured(1)])
    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=1)
    collect(subscription, 1)
    subscription.close()
    assert sequences(collect(broker.subscribe(INFERENCE_FRAMES, prefetch=1), 1)) == [1]


def test_acknowledging_twice_takes_nothing_else_away(open_broker: OpenBroker) -> None:
    broker = open_broker(FRAMES_ONLY)
    publish(broker, [captured(1), captured(2)])
    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=1)
    first = collect(subscription, 1)
    subscription.acknowledge(first)
    second = collect(subscription, 1)
    subscription.acknowledge(first)
    subscription.close()
    assert sequences(second) == [2]
    wait_for_depth(broker, "inference.frames", 1)


def test_no_more_than_the_prefetch_is_unacknowledged(open_broker: OpenBroker) -> None:
    broker = open_broker(FRAMES_ONLY)
    publish(broker, [captured(number) for number in range(10)])
    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=4)
    held = collect(subscription, 4)
    assert not subscription.receive(10, 0.5)
    assert sequences(collect(open_broker(FRAMES_ONLY).subscribe(INFERENCE_FRAMES, prefetch=10), 6)) == [
        4,
        5,
        6,
        7,
        8,
        9,
    ]
    subscription.acknowledge(held)


def test_receive_waits_for_the_first_message_and_returns_those_that_are_there(open_broker: OpenBroker) -> None:
    broker = open_broker(FRAMES_ONLY)
    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=10)
    began = time.monotonic()
    assert not subscription.receive(10, 0.3)
    assert time.monotonic() - began > 0.25
    publish(broker, [captured(1)])
    began = time.monotonic()
    assert sequences(subscription.receive(10, 300)) == [1]
    assert time.monotonic() - began < 60


def test_a_message_that_no_queue_wants_fails(open_broker: OpenBroker) -> None:
    publisher = open_broker(FRAMES_ONLY).publisher()
    confirmed, unroutable = publisher.publish(captured(1)), publisher.publish(inspected(1))
    assert confirmed.result(timeout=60) is None
    with pytest.raises(UnroutableMessage, match=r"inspected\.passed\.line-1"):
        unroutable.result(timeout=60)


def test_the_depth_tells_ready_from_unacknowledged(open_broker: OpenBroker) -> None:
    broker = open_broker(FRAMES_ONLY)
    publish(broker, [captured(number) for number in range(5)])
    assert broker.depth("inference.frames").total == 5
    held = collect(broker.subscribe(INFERENCE_FRAMES, prefetch=2), 2)
    depth = broker.depth("inference.frames")
    assert (depth.ready, depth.unacknowledged, len(held)) == (3, 2, 2)
    assert broker.depth("inference.frames.suspects").total == broker.depth("inference.frames.parked").total == 0


def test_the_depth_of_an_unknown_queue_is_a_key_error(open_broker: OpenBroker) -> None:
    with pytest.raises(KeyError):
        open_broker(FRAMES_ONLY).depth("inference.dreams")


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_full_queue_refuses_and_keeps_its_messages(open_broker: OpenBroker) -> None:
    broker = open_broker([replace(INFERENCE_FRAMES, limit=5)])
    publisher = broker.publisher()
    outcomes = [publisher.publish(captured(number)).exception(timeout=60) for number in range(10)]
    accepted = [number for number, failure in enumerate(outcomes) if failure is None]
    assert accepted == list(range(len(accepted)))
    # RabbitMQ tells its publishers a moment late
    assert 5 <= len(accepted) <= 6
    assert all(isinstance(failure, PublishRefused) for failure in outcomes[len(accepted) :])
    assert sequences(collect(broker.subscribe(INFERENCE_FRAMES, prefetch=10), len(accepted))) == accepted


def test_a_queue_is_full_by_bytes_too(open_broker: OpenBroker) -> None:
    broker = open_broker([replace(INFERENCE_FRAMES, limit_bytes=250_000)])
    publisher = broker.publisher()
    outcomes = [publisher.publish(captured(number, b"p" * 100_000)).exception(timeout=60) for number in range(8)]
    assert outcomes[:2] == [None, None]
    assert isinstance(outcomes[-1], PublishRefused)


def test_a_full_queue_accepts_again_when_it_was_read(open_broker: OpenBroker) -> None:
    broker = open_broker([replace(INFERENCE_FRAMES, limit=2)])
    publisher = broker.publisher()
    wait_until(lambda: publisher.publish(captured(1)).exception(timeout=60) is not None, 60, "a full queue")
    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=10)
    subscription.acknowledge(collect(subscription, 2))
    wait_until(lambda: publisher.publish(captured(2)).exception(timeout=60) is None, 60, "room in the queue")


def test_a_queue_that_sheds_drops_the_oldest_and_fails_no_publisher(open_broker: OpenBroker) -> None:
    broker = open_broker([replace(EXPLAINER_FLAGGED, limit=3), DASHBOARD_VERDICTS])
    publish(broker, [inspected(number, flagged=True) for number in range(10)])
    assert sequences(collect(broker.subscribe(DASHBOARD_VERDICTS, prefetch=20), 10)) == list(range(10))
    assert sequences(collect(broker.subscribe(EXPLAINER_FLAGGED, prefetch=20), 3)) == [7, 8, 9]
    assert broker.depth("explainer.flagged.suspects").total == 0


def test_the_embedded_broker_puts_a_refused_message_into_no_queue_at_all(sqlite: BrokerAddress) -> None:
    broker = sqlite.open([EXPLAINER_FLAGGED, replace(DASHBOARD_VERDICTS, limit=2)])
    publisher = broker.publisher()
    outcomes = [publisher.publish(inspected(number, flagged=True)).exception(timeout=60) for number in range(4)]
    assert [type(failure) for failure in outcomes] == [type(None), type(None), PublishRefused, PublishRefused]
    assert broker.depth("explainer.flagged").total == 2
    broker.close()


# ── parked ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_parked_message_rests_with_its_reason(open_broker: OpenBroker) -> None:
    broker = open_broker(FRAMES_ONLY)
    publish(broker, [captured(1), captured(2)])
    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=2)
    first, second = collect(subscription, 2)
    subscription.park(first, "of no use")
    subscription.acknowledge([second])
    for _ in range(2):  # a look changes nothing
        wait_for_depth(broker, "inference.frames.parked", 1)
        (found,) = parked(broker, INFERENCE_FRAMES)
        assert decode(found.body) == captured(1)
        assert (found.queue, found.reason) == ("inference.frames", "of no use")
        assert abs(datetime.now(UTC) - found.parked_at) < timedelta(minutes=1)
    subscription.close()
    assert broker.depth("inference.frames").total == 0


def test_parked_messages_are_replayed_or_discarded_one_by_one(open_broker: OpenBroker) -> None:
    broker = open_broker(FRAMES_ONLY)
    publish(broker, [captured(number) for number in range(4)])
    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=4)
    for delivery in collect(subscription, 4):
        subscription.park(delivery, "a mistake")
    actions = iter([ParkedAction.KEEP, ParkedAction.REPLAY, ParkedAction.DISCARD, ParkedAction.KEEP])
    broker.review(INFERENCE_FRAMES, lambda _message: next(actions))
    (replayed,) = collect(subscription, 1)
    assert sequences([replayed]) == [1]
    assert not replayed.redelivered
    wait_for_depth(broker, "inference.frames.parked", 2)
    left = [decode(message.body) for message in parked(broker, INFERENCE_FRAMES)]
    assert left == [captured(0), captured(3)]


def test_a_review_reads_at_most_the_requested_number(open_broker: OpenBroker) -> None:
    broker = open_broker(FRAMES_ONLY)
    publish(broker, [captured(number) for number in range(3)])
    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=3)
    for delivery in collect(subscription, 3):
        subscription.park(delivery, "a mistake")
    broker.review(INFERENCE_FRAMES, lambda _message: ParkedAction.DISCARD, most=2)
    wait_for_depth(broker, "inference.frames.parked", 1)


# ── processes that die ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_confirmed_message_outlives_its_publisher(broker_address: BrokerAddress, open_broker: OpenBroker) -> None:
    broker = open_broker()
    publisher = Child(broker_address, children.publish, count=50)
    assert publisher.says() == "confirmed"
    publisher.kill()
    assert sequences(collect(broker.subscribe(INFERENCE_FRAMES, prefetch=50), 50)) == list(range(50))


def test_messages_of_a_dead_reader_are_delivered_again(broker_address: BrokerAddress, open_broker: OpenBroker) -> None:
    broker = open_broker()
    publish(broker, [captured(number) for number in range(3)])
    reader = Child(broker_address, children.hold, count=3)
    assert reader.says() == "holds 3"
    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=3)
    assert not subscription.receive(3, 1.5)
    reader.kill()
    deliveries = collect(subscription, 3)
    assert sequences(deliveries) == [0, 1, 2]
    assert all(delivery.redelivered for delivery in deliveries)


def test_a_suspect_and_a_replayed_message_keep_their_routing_key_sender_and_trace(
    broker_address: BrokerAddress, open_broker: OpenBroker
) -> None:
    broker = open_broker()
    broker.publisher().publish(replace(EncodedMessage.of(captured(1)), headers=TRACE)).result(60)
    for _ in range(topology.DELIVERY_LIMIT + 1):
        reader = Child(broker_address, children.hold, count=1)
        assert reader.says() == "holds 1"
        reader.kill()
    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=1)
    (suspect,) = collect(subscription, 1)
    assert suspect.queue == INFERENCE_FRAMES.suspects
    subscription.park(suspect, "one death too many")
    broker.review(INFERENCE_FRAMES, lambda _message: ParkedAction.REPLAY)
    (replayed,) = collect(subscription, 1)
    assert replayed.queue == INFERENCE_FRAMES.name
    for delivery in (suspect, replayed):
        assert (delivery.routing_key, delivery.sender) == (captured(1).routing_key, broker_address.user)
        assert delivery.headers == TRACE
        assert delivery.read() == captured(1)


def test_a_message_that_its_readers_give_back_is_never_parked(open_broker: OpenBroker) -> None:
    broker = open_broker(FRAMES_ONLY)
    publish(broker, [captured(1)])
    for _ in range(2 * (topology.DELIVERY_LIMIT + topology.SUSPECT_DELIVERY_LIMIT + 2)):
        subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=1)
        assert sequences(collect(subscription, 1)) == [1]
        subscription.close()
    assert broker.depth("inference.frames.parked").total == 0


def test_another_reader_takes_over_a_queue_of_one_reader(
    broker_address: BrokerAddress, open_broker: OpenBroker
) -> None:
    broker = open_broker()
    first = Child(broker_address, children.command)
    assert first.says() == "ready"
    second = broker.subscribe(TRAINER_COMMANDS, prefetch=1)
    for number in range(3):
        publish(broker, [training_requested(f"training-{number}")])
        assert first.says() == f"took training-{number}"
    assert not second.receive(1, 0.5)
    first.kill()
    publish(broker, [training_requested("training-3")])
    (delivery,) = collect(second, 1)
    message = decode(delivery.body)
    assert isinstance(message, TrainingRequested)
    assert message.training_id == "training-3"


# ── broadcasts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_hearer_of_a_broadcast_hears_it(broker_address: BrokerAddress, open_broker: OpenBroker) -> None:
    broker = open_broker()
    hearers = [Child(broker_address, children.listen) for _ in range(2)]
    assert [hearer.says() for hearer in hearers] == ["listens", "listens"]
    mine = broker.subscribe(topology.PROMOTIONS, prefetch=1)
    publish(broker, [promoted("v2")])
    assert [hearer.says() for hearer in hearers] == ["heard v2", "heard v2"]
    (delivery,) = collect(mine, 1)
    assert decode(delivery.body) == promoted("v2")
    mine.acknowledge([delivery])
    hearers[0].kill()
    publish(broker, [promoted("v3")])
    assert hearers[1].says() == "heard v3"
    hearers[1].kill()


def test_a_broadcast_from_before_the_subscription_is_not_received(open_broker: OpenBroker) -> None:
    broker = open_broker()
    publish(broker, [promoted("v2")])
    subscription = broker.subscribe(topology.PROMOTIONS, prefetch=1)
    assert not subscription.receive(1, 0.5)


def test_a_broadcast_without_a_hearer_is_no_reason_to_fail(open_broker: OpenBroker) -> None:
    broker = open_broker()
    publish(broker, [promoted("v2")])
    assert broker.depth("dashboard.models").ready == 1


# ── ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_closing_a_publisher_waits_for_unconfirmed_messages(open_broker: OpenBroker) -> None:
    broker = open_broker(FRAMES_ONLY)
    publisher = broker.publisher()
    futures = [publisher.publish(captured(number)) for number in range(50)]
    publisher.close()
    assert all(future.done() and future.exception() is None for future in futures)
    assert isinstance(publisher.publish(captured(1)).exception(timeout=60), MessagingError)


def test_closing_twice_is_closing_once(open_broker: OpenBroker) -> None:
    broker = open_broker(FRAMES_ONLY)
    publisher, subscription = broker.publisher(), broker.subscribe(INFERENCE_FRAMES, prefetch=1)
    for part in (publisher, subscription, publisher, subscription, broker):
        part.close()
    assert not subscription.receive(1, 0.1)
