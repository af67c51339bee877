"""Services of a few lines in processes of their own, for tests that kill them.

They are forked from a process that has everything imported, so that starting one costs little. Each says what it does,
in lines that a test waits for.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection

from shared import topology
from shared.health import Health
from shared.messages import FrameCaptured, FrameInspected, Message, ModelPromoted, TrainingRequested, decode
from shared.messaging.loop import AHEAD, Reject, consume
from shared.messaging.port import Broker
from tests.broker_address import BrokerAddress
from tests.messages import captured, inspected

PATIENCE = 180.0
Say = Callable[[str], None]
Role = Callable[..., None]
"""Gets the broker, a way to say something, and the details that it asks for."""

POISON = 7
"""The sequence of the frame that kills its reader."""
REJECTED = 9


def publish(broker: Broker, say: Say, count: int) -> None:
    """Publish a number of frames, report when all are confirmed, and stay."""
    publisher = broker.publisher()
    for future in [publisher.publish(captured(number)) for number in range(count)]:
        future.result()
    say("confirmed")
    time.sleep(PATIENCE)


def hold(broker: Broker, say: Say, count: int) -> None:
    """Receive a number of frames, acknowledge none, and stay."""
    subscription = broker.subscribe(topology.INFERENCE_FRAMES, prefetch=count)
    held = 0
    while held < count:
        held += len(subscription.receive(count, 1.0))
    say(f"holds {held}")
    time.sleep(PATIENCE)


def listen(broker: Broker, say: Say) -> None:
    """Hear of promotions."""
    subscription = broker.subscribe(topology.PROMOTIONS, prefetch=1)
    say("listens")
    while True:
        for delivery in subscription.receive(1, 1.0):
            message = decode(delivery.body)
            assert isinstance(message, ModelPromoted)
            subscription.acknowledge([delivery])
            say(f"heard {message.model_version}")


def command(broker: Broker, say: Say) -> None:
    """Take the trainer's commands."""
    subscription = broker.subscribe(topology.TRAINER_COMMANDS, prefetch=1)
    say("ready")
    while True:
        for delivery in subscription.receive(1, 0.2):
            message = decode(delivery.body)
            assert isinstance(message, TrainingRequested)
            say(f"took {message.training_id}")
            subscription.acknowledge([delivery])


def inspect(broker: Broker, _say: Say, most: int) -> None:
    """Judge frames in a thread until killed: by the test, or by the poison among them."""
    thread = ThreadPoolExecutor(1)
    consume(
        broker.subscribe(topology.INFERENCE_FRAMES, prefetch=(AHEAD + 1) * most),
        broker.publisher(),
        lambda messages: thread.submit(judge, messages),
        most=most,
        wait_seconds=0.2,
        stop=threading.Event(),
        health=Health(),
    )


def explain(broker: Broker, say: Say) -> None:
    """Take flagged frames two at a time, and die of the poison."""
    subscription = broker.subscribe(topology.EXPLAINER_FLAGGED, prefetch=2)
    while True:
        deliveries = subscription.receive(2, 0.5)
        messages = [decode(delivery.body) for delivery in deliveries]
        frames = [message.frame.sequence for message in messages if isinstance(message, FrameInspected)]
        if POISON in frames:
            os.kill(os.getpid(), signal.SIGKILL)
        subscription.acknowledge(deliveries)
        for frame in frames:
            say(f"explained {frame}")


def judge(messages: list[Message]) -> Sequence[Message]:
    frames = [message.frame for message in messages if isinstance(message, FrameCaptured)]
    if any(frame.sequence == POISON for frame in frames):
        os.kill(os.getpid(), signal.SIGKILL)
    if any(frame.sequence == REJECTED for frame in frames):
        raise Reject("frame 9 is out of the question")
    return [inspected(frame.sequence) for frame in frames]


class Child:
    """One of the roles above, running."""

    def __init__(self, address: BrokerAddress, role: Role, **details: int) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._hears, says = context.Pipe(duplex=False)
        self._process = context.Process(target=_play, args=(address, says, role, details), daemon=True)
        self._process.start()
        says.close()
        self._lines: list[str] = []

    def says(self) -> str:
        """Its next line."""
        assert self._hears.poll(PATIENCE), "it says nothing"
        line: str = self._hears.recv()
        return line

    @property
    def said(self) -> list[str]:
        """Everything so far, if `says` is not used as well."""
        with suppress(EOFError):
            while self._hears.poll():
                self._lines.append(self._hears.recv())
        return self._lines

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def dies(self, seconds: float) -> bool:
        """Whether it ends by itself within some seconds."""
        self._process.join(seconds)
        return not self._process.is_alive()


def _play(address: BrokerAddress, says: Connection, role: Role, details: dict[str, int]) -> None:
    threading.Thread(target=_end_with_the_tests, daemon=True).start()
    role(address.open(), says.send, **details)


def _end_with_the_tests() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)
