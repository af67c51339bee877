"""The loop's order (receive, handle, publish, confirm, acknowledge) and its three kinds of failure, on both brokers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest

from shared import topology
from shared.health import Health
from shared.messages import REASON_LENGTH, FrameCaptured, Message, decode
from shared.messaging.loop import AHEAD, Handle, Loop, Outcome, Received, Reject, RetryLater, consume
from shared.messaging.port import Broker, Delivery
from shared.storage.port import StorageUnavailable
from shared.topology import DASHBOARD_VERDICTS, INFERENCE_FRAMES
from tests import children
from tests.broker_address import BrokerAddress
from tests.children import POISON, REJECTED, Child
from tests.contract.test_messaging import OpenBroker, collect, parked, publish, sequences, wait_for_depth
from tests.messages import FOREIGN, captured, encoded_as, inspected
from tests.processes import wait_until

QUEUES = [INFERENCE_FRAMES, DASHBOARD_VERDICTS]


def judge(messages: list[Message]) -> Sequence[Message]:
    return [inspected(message.frame.sequence) for message in messages if isinstance(message, FrameCaptured)]


@contextmanager
def running(
    broker: Broker, handle: Handle = judge, most: int = 8, *, prefetch: int = 0, health: Health | None = None
) -> Iterator[threading.Event]:
    """Run the loop of a service in a thread; its failure fails the test."""
    health = health or Health()
    subscription, publisher, stop = (
        broker.subscribe(INFERENCE_FRAMES, prefetch=prefetch or most),
        broker.publisher(),
        threading.Event(),
    )
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            consume(subscription, publisher, handle, most=most, wait_seconds=0.1, stop=stop, health=health)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(60)
        subscription.close()
        publisher.close()
    assert not thread.is_alive()
    assert not failures, failures


def test_each_frame_gets_its_answer_and_is_done(open_broker: OpenBroker) -> None:
    broker = open_broker(QUEUES)
    publish(broker, [captured(number) for number in range(30)])
    with running(broker):
        wait_for_depth(broker, "dashboard.verdicts", 30)
    wait_for_depth(broker, "inference.frames", 0)
    assert sequences(collect(broker.subscribe(DASHBOARD_VERDICTS, prefetch=30), 30)) == list(range(30))


def test_nothing_is_acknowledged_before_its_answer_is_confirmed(open_broker: OpenBroker) -> None:
    broker = open_broker([INFERENCE_FRAMES, replace(DASHBOARD_VERDICTS, limit=1)])
    publisher = broker.publisher()
    wait_until(lambda: publisher.publish(inspected(0)).exception(timeout=60) is not None, 60, "a full queue")
    full = broker.depth("dashboard.verdicts").ready
    publish(broker, [captured(1), captured(2)])
    tried = threading.Event()

    def judge_and_tell(messages: list[Message]) -> Sequence[Message]:
        tried.set()
        return judge(messages)

    with running(broker, judge_and_tell, most=1):
        assert tried.wait(60)
        assert broker.depth("dashboard.verdicts").ready == full
        assert broker.depth("inference.frames").total == 2
    # stopped while it tried: the frame is back, and its answer follows when there is room
    wait_for_depth(broker, "inference.frames", 2)
    reader = broker.subscribe(DASHBOARD_VERDICTS, prefetch=10)
    with running(broker, most=1):
        answered: set[int] = set()
        while answered != {0, 1, 2}:
            deliveries = reader.receive(10, 1.0)
            answered |= set(sequences(deliveries))
            reader.acknowledge(deliveries)
    wait_for_depth(broker, "inference.frames", 0)


def test_a_rejected_message_is_parked_and_its_neighbours_are_answered(open_broker: OpenBroker) -> None:
    broker = open_broker(QUEUES)
    publish(broker, [captured(number) for number in range(10)])

    def refuse_four(messages: list[Message]) -> Sequence[Message]:
        if any(isinstance(message, FrameCaptured) and message.frame.sequence == 4 for message in messages):
            raise Reject("four is right out")
        return judge(messages)

    with running(broker, refuse_four):
        wait_for_depth(broker, "dashboard.verdicts", 9)
        wait_for_depth(broker, "inference.frames.parked", 1)
    (found,) = parked(broker, INFERENCE_FRAMES)
    assert (decode(found.body), found.reason) == (captured(4), "four is right out")
    wait_for_depth(broker, "inference.frames", 0)


@pytest.mark.parametrize("name", ["deep", "endless", "long type"])
def test_bytes_that_are_no_message_are_parked_and_their_neighbours_are_answered(
    open_broker: OpenBroker, name: str
) -> None:
    broker = open_broker(QUEUES)
    publish(broker, [captured(0)])
    with encoded_as(FrameCaptured, FOREIGN[name]):
        publish(broker, [captured(1)])
    publish(broker, [captured(2)])
    with running(broker):
        wait_for_depth(broker, "dashboard.verdicts", 2)
        wait_for_depth(broker, "inference.frames.parked", 1)
    (found,) = parked(broker, INFERENCE_FRAMES)
    assert found.body == FOREIGN[name]
    assert 0 < len(found.reason) <= REASON_LENGTH
    wait_for_depth(broker, "inference.frames", 0)


def test_a_batch_is_retried_until_its_server_is_back(open_broker: OpenBroker) -> None:
    broker = open_broker(QUEUES)
    publish(broker, [captured(number) for number in range(5)])
    tries: list[int] = []

    def wait_for_storage(messages: list[Message]) -> Sequence[Message]:
        tries.append(len(messages))
        if len(tries) < 4:
            raise RetryLater("the storage is away")
        return judge(messages)

    with running(broker, wait_for_storage):
        wait_for_depth(broker, "dashboard.verdicts", 5)
    assert len(set(tries[:4])) == 1, "the same batch each time"
    wait_for_depth(broker, "inference.frames", 0)
    assert broker.depth("inference.frames.parked").total == 0


def test_a_stop_while_trying_again_leaves_the_batch_in_the_queue(open_broker: OpenBroker) -> None:
    broker = open_broker(QUEUES)
    publish(broker, [captured(1)])
    tried = threading.Event()

    def never(messages: list[Message]) -> Sequence[Message]:
        tried.set()
        raise RetryLater("it is not coming back")

    with running(broker, never):
        assert tried.wait(60)
    wait_for_depth(broker, "inference.frames", 1)


def test_a_defect_ends_the_loop_and_leaves_the_batch_in_the_queue(open_broker: OpenBroker) -> None:
    broker = open_broker(QUEUES)
    publish(broker, [captured(1)])

    def broken(messages: list[Message]) -> Sequence[Message]:
        raise ZeroDivisionError

    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=1)
    with pytest.raises(ZeroDivisionError):
        consume(
            subscription,
            broker.publisher(),
            broken,
            most=1,
            wait_seconds=0.5,
            stop=threading.Event(),
            health=Health(),
        )
    subscription.close()
    wait_for_depth(broker, "inference.frames", 1)


def test_a_batch_is_acknowledged_when_its_future_is_done_and_others_are_handled_meanwhile(
    open_broker: OpenBroker,
) -> None:
    broker = open_broker(QUEUES)
    publish(broker, [captured(number) for number in range(4)])
    stored: list[Future[None]] = []

    def store(batch: Sequence[Received]) -> Outcome:
        stored.append(Future())
        return Outcome(stored=stored[-1], rejected={0: "frame 3 is rejected"} if len(stored) == 4 else {})

    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=4)
    loop = Loop(subscription, None, store, threading.Event(), Health())
    for _ in range(3):
        loop.turn(1, 60.0)
    stored[1].set_result(None)
    loop.turn(1, 60.0)
    wait_for_depth(broker, "inference.frames.parked", 1)
    assert len(stored) == 4
    assert broker.depth("inference.frames").total == 3, "the oldest batch is not stored: nothing is acknowledged"
    stored[0].set_result(None)
    loop.turn(1, 0.1)
    wait_until(lambda: broker.depth("inference.frames").total == 1, 60, "the stored batches to be acknowledged")
    stored[2].set_exception(StorageUnavailable("storage is unavailable until the end"))
    loop.turn(1, 0.1)
    subscription.close()
    again = broker.subscribe(INFERENCE_FRAMES, prefetch=4)
    assert sequences(collect(again, 1)) == [2]
    again.close()


def test_a_stop_flushes_and_waits_for_the_batches_that_are_not_stored(open_broker: OpenBroker) -> None:
    broker = open_broker(QUEUES)
    publish(broker, [captured(1)])
    stop, stored = threading.Event(), Future[None]()

    def store(batch: Sequence[Received]) -> Outcome:
        stop.set()
        return Outcome(stored=stored)

    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=1)
    Loop(subscription, None, store, stop, Health(), flush=lambda: stored.set_result(None)).run(1, 60.0)
    subscription.close()
    wait_for_depth(broker, "inference.frames", 0)


class Answers:
    """A handler that answers with futures, which the test completes."""

    def __init__(self) -> None:
        self.batches: list[list[Message]] = []
        self.answers: list[Future[Sequence[Message]]] = []

    def __call__(self, messages: list[Message]) -> Future[Sequence[Message]]:
        self.batches.append(messages)
        answer: Future[Sequence[Message]] = Future()
        self.answers.append(answer)
        return answer

    def answer(self, number: int) -> None:
        wait_until(lambda: len(self.answers) > number, 60, f"batch {number}")
        self.answers[number].set_result(judge(self.batches[number]))


def test_further_batches_are_handled_while_answers_are_due(open_broker: OpenBroker) -> None:
    broker = open_broker(QUEUES)
    publish(broker, [captured(number) for number in range(AHEAD + 2)])
    handler = Answers()
    with running(broker, handler, most=1, prefetch=AHEAD + 2):
        wait_until(lambda: len(handler.answers) == AHEAD, 60, "as many batches as are handled at a time")
        handler.answers[1].set_result(judge(handler.batches[1]))
        assert broker.depth("dashboard.verdicts").total == 0, "answers are published in the order of the batches"
        wait_until(  # those on their way from RabbitMQ are in no count
            lambda: broker.depth("inference.frames").total == AHEAD + 2, 60, "nothing to be acknowledged unanswered"
        )
        handler.answer(0)
        wait_for_depth(broker, "dashboard.verdicts", 2)
        for number in range(2, AHEAD + 2):
            handler.answer(number)
    wait_for_depth(broker, "inference.frames", 0)
    assert sequences(collect(broker.subscribe(DASHBOARD_VERDICTS, prefetch=30), AHEAD + 2)) == list(range(AHEAD + 2))


def test_a_stop_waits_for_the_answers_that_are_due(open_broker: OpenBroker) -> None:
    broker = open_broker(QUEUES)
    publish(broker, [captured(number) for number in range(2)])
    handler = Answers()
    with running(broker, handler, most=1, prefetch=2) as stop:
        wait_until(lambda: len(handler.answers) == 2, 60, "both batches")
        stop.set()
        handler.answer(0)
        handler.answer(1)
    wait_for_depth(broker, "dashboard.verdicts", 2)
    wait_for_depth(broker, "inference.frames", 0)


def test_a_batch_whose_answer_fails_is_handled_again_and_what_is_rejected_is_parked(open_broker: OpenBroker) -> None:
    broker = open_broker(QUEUES)
    publish(broker, [captured(number) for number in range(30)])
    thread, unavailable = ThreadPoolExecutor(1), [RetryLater("the storage is away")]

    def refuse_four(messages: list[Message]) -> Sequence[Message]:
        if unavailable:
            raise unavailable.pop()
        if any(isinstance(message, FrameCaptured) and message.frame.sequence == 4 for message in messages):
            raise Reject("four is right out")
        return judge(messages)

    with running(broker, lambda messages: thread.submit(refuse_four, messages), prefetch=30):
        wait_for_depth(broker, "dashboard.verdicts", 29)
        wait_for_depth(broker, "inference.frames.parked", 1)
    wait_for_depth(broker, "inference.frames", 0)
    assert parked(broker, INFERENCE_FRAMES)[0].reason == "four is right out"


def test_a_handler_that_hangs_counts_as_stalled_and_one_that_answers_does_not(open_broker: OpenBroker) -> None:
    broker = open_broker(QUEUES)
    publish(broker, [captured(1)])
    handler, health = Answers(), Health(silence_seconds=0.5)
    with running(broker, handler, health=health):
        wait_until(lambda: not health.healthy, 60, "the loop to count as stalled")
        handler.answer(0)
        wait_until(lambda: health.healthy, 60, "the loop to be healthy again")


def test_a_suspect_is_handled_when_no_other_batch_is_due(open_broker: OpenBroker) -> None:
    broker = open_broker(QUEUES)
    publish(broker, [captured(number) for number in range(3)])
    subscription, handler = broker.subscribe(INFERENCE_FRAMES, prefetch=3), Answers()
    deliveries = iter(collect(subscription, 3))
    suspect = replace(next(deliveries), queue=INFERENCE_FRAMES.suspects)
    ahead, behind = deliveries
    order = [[ahead], [suspect], [behind]]

    class Arranged:
        """The subscription with the second message as a suspect."""

        acknowledge, park, close = subscription.acknowledge, subscription.park, subscription.close

        def receive(self, most: int, wait_seconds: float) -> Sequence[Delivery]:
            return order.pop(0) if order else ()

    due: list[int] = []

    def handle(batch: Sequence[Received]) -> Outcome:
        due.append(sum(not answer.done() for answer in handler.answers))
        later = threading.Timer(0.2, handler.answer, (len(handler.answers),))
        later.start()
        return Outcome(handler([each.message for each in batch]))

    loop = Loop(Arranged(), broker.publisher(), handle, threading.Event(), Health())
    while order:
        loop.turn(1, 0.1)
    wait_until(lambda: len(handler.answers) == 3 and handler.answers[2].done(), 60, "the last answer")
    loop.turn(1, 0.1)
    assert due == [0, 0, 0]
    wait_for_depth(broker, "dashboard.verdicts", 3)
    subscription.close()


class Stranger(FrameCaptured):
    """A message that is encoded as the bytes of its image."""

    def encode(self) -> bytes:
        return self.image


STRANGERS = {
    b"": "not a message of Seamline",
    b"\x00\xff" * 40: "not a message of Seamline",
    b"[1, 2]\n": "not a message of Seamline",
    b'{"type":"FrameCaptured","version":99}\n': "'FrameCaptured' of version 99 is not known here",
    b'{"type":"FrameCaptured","version":1,"frame":{}}\n': "FrameCaptured of version 1: frame.frame_id",
}


def test_a_message_under_the_routing_key_of_another_is_parked(
    open_broker: OpenBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = open_broker(QUEUES)
    forged = captured(2).model_copy(update={"frame": captured(2).frame.model_copy(update={"camera": "camera-9"})})
    with monkeypatch.context() as patched:
        patched.setattr(FrameCaptured, "routing_key", captured(1).routing_key)
        publish(broker, [captured(1), forged])
    with running(broker):
        wait_for_depth(broker, "inference.frames.parked", 1)
        wait_for_depth(broker, "dashboard.verdicts", 1)
    (found,) = parked(broker, INFERENCE_FRAMES)
    assert found.body == forged.encode()
    assert forged.routing_key in found.reason


def test_an_unreadable_message_is_parked_and_the_others_are_handled(
    open_broker: OpenBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger: type[Message] = Stranger
    monkeypatch.setitem(topology.EXCHANGE_OF, stranger, topology.FRAMES)
    broker = open_broker(QUEUES)
    fields = captured(1).model_dump(exclude={"image"})
    strangers: list[Message] = [Stranger(image=body, **fields) for body in STRANGERS]
    publish(broker, [captured(1), *strangers, captured(2)])
    with running(broker):
        wait_for_depth(broker, "inference.frames.parked", len(STRANGERS))
        wait_for_depth(broker, "dashboard.verdicts", 2)
    found = {message.body: message.reason for message in parked(broker, INFERENCE_FRAMES)}
    assert found.keys() == STRANGERS.keys()
    assert all(found[body].startswith(reason) for body, reason in STRANGERS.items())


def test_a_poison_frame_is_parked_and_its_neighbours_are_inspected(
    broker_address: BrokerAddress, open_broker: OpenBroker
) -> None:
    broker = open_broker()
    publish(broker, [captured(number) for number in range(40)])
    reader = broker.subscribe(DASHBOARD_VERDICTS, prefetch=100)
    judged: set[int] = set()
    deaths = 0

    def all_is_said() -> bool:
        return len(judged) == 38 and broker.depth("inference.frames.parked").ready >= 2

    worker = Child(broker_address, children.inspect, most=16)
    while not all_is_said():
        verdicts = reader.receive(100, 0.2)
        judged |= set(sequences(verdicts))
        reader.acknowledge(verdicts)
        if worker.dies(0.2):
            deaths += 1
            assert deaths < 12, "the poison takes too many with it"
            worker = Child(broker_address, children.inspect, most=16)
    worker.kill()
    reasons = {sequence_of(message.body): message.reason for message in parked(broker, INFERENCE_FRAMES)}
    assert reasons == {POISON: topology.DIED, REJECTED: "frame 9 is out of the question"}
    assert judged == set(range(40)) - {POISON, REJECTED}


def test_a_poison_frame_in_a_queue_that_sheds_is_parked_as_well(
    broker_address: BrokerAddress, open_broker: OpenBroker
) -> None:
    broker = open_broker()
    publish(broker, [inspected(POISON, flagged=True), inspected(8, flagged=True)])
    workers = [Child(broker_address, children.explain)]
    flagged = topology.EXPLAINER_FLAGGED
    while [broker.depth(queue).ready for queue in (flagged.name, flagged.suspects, flagged.parked)] != [0, 0, 1]:
        if workers[-1].dies(0.5):
            assert len(workers) < 12, "the poison takes too many with it"
            workers.append(Child(broker_address, children.explain))
    wait_until(lambda: "explained 8" in said(workers), 60, "the innocent one to be explained")
    workers[-1].kill()
    assert [message.reason for message in parked(broker, topology.EXPLAINER_FLAGGED)] == [topology.DIED]


def said(workers: Sequence[Child]) -> list[str]:
    return [word for worker in workers for word in worker.said]


def sequence_of(body: bytes) -> int:
    message = decode(body)
    assert isinstance(message, FrameCaptured)
    return message.frame.sequence
