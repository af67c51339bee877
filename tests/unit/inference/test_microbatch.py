"""Batches that gather, on the embedded broker."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from services.inference.microbatch import MicroBatches
from shared.messages import CheckFrame, FrameCaptured, decode
from shared.messaging.port import Delivery
from shared.messaging.sqlite import SqliteBroker
from shared.topology import INFERENCE_FRAMES
from tests.models import captured


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[SqliteBroker]:
    broker = SqliteBroker(tmp_path / "broker")
    yield broker
    broker.close()


def _send(broker: SqliteBroker, *sequences: int) -> None:
    publisher = broker.publisher()
    for confirm in [publisher.publish(captured(sequence, b"x")) for sequence in sequences]:
        confirm.result(60)


def _sequences(batch: Sequence[Delivery]) -> list[int]:
    messages = [decode(delivery.body) for delivery in batch]
    return [message.frame.sequence for message in messages if isinstance(message, FrameCaptured)]


def _batches(broker: SqliteBroker, gather_seconds: float, prefetch: int = 32) -> MicroBatches:
    return MicroBatches(broker.subscribe(INFERENCE_FRAMES, prefetch), gather_seconds)


def test_a_full_batch_waits_for_nothing(broker: SqliteBroker) -> None:
    _send(broker, *range(10))
    batches = _batches(broker, gather_seconds=300)
    started = time.monotonic()
    assert _sequences(batches.receive(4, 60)) == [0, 1, 2, 3]
    assert _sequences(batches.receive(4, 60)) == [4, 5, 6, 7]
    assert time.monotonic() - started < 60


def test_a_batch_takes_the_messages_of_its_time(broker: SqliteBroker) -> None:
    batches = _batches(broker, gather_seconds=300)
    _send(broker, 0)
    later = threading.Timer(0.2, _send, (broker, 1, 2))
    later.start()
    assert _sequences(batches.receive(3, 60)) == [0, 1, 2]
    later.join()


def test_a_batch_goes_when_its_time_is_over(broker: SqliteBroker) -> None:
    _send(broker, 0, 1)
    assert _sequences(_batches(broker, gather_seconds=0.1).receive(8, 60)) == [0, 1]


def test_an_empty_queue_gives_an_empty_batch(broker: SqliteBroker) -> None:
    assert _batches(broker, gather_seconds=30).receive(8, 0.05) == []


def test_a_suspect_that_arrives_in_a_batch_is_inspected_alone(broker: SqliteBroker, tmp_path: Path) -> None:
    def move(source: str, target: str) -> None:
        with sqlite3.connect(tmp_path / "broker" / "messages.sqlite", timeout=60) as file:
            file.execute("UPDATE message SET queue = ? WHERE queue = ?", (target, source))

    _send(broker, 1)
    move("inference.frames", "aside")
    _send(broker, 0)
    batches = _batches(broker, gather_seconds=0.3)
    later = threading.Timer(0.1, move, ("aside", "inference.frames.suspects"))
    later.start()
    first = batches.receive(8, 60)
    later.join()
    second = batches.receive(8, 60)
    assert sorted([_sequences(first), _sequences(second)]) == [[0], [1]]
    batches.acknowledge([*first, *second])
    assert broker.depth("inference.frames").total == broker.depth("inference.frames.suspects").total == 0


def test_a_suspect_of_a_check_is_dropped_and_never_parked(broker: SqliteBroker, tmp_path: Path) -> None:
    frame = captured(0, b"x").frame.model_copy(update={"check": "check-1"})
    broker.publisher().publish(CheckFrame(frame=frame, encoding="png", width=8, height=8, image=b"x")).result(60)
    with sqlite3.connect(tmp_path / "broker" / "messages.sqlite", timeout=60) as file:
        file.execute("UPDATE message SET queue = 'inference.frames.suspects'")
    batches = _batches(broker, gather_seconds=0)
    assert batches.receive(8, 60) == ()
    assert broker.depth("inference.frames.suspects").total == broker.depth("inference.frames.parked").total == 0
    _send(broker, 1)
    assert _sequences(batches.receive(8, 60)) == [1]
