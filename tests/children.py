"""Services of a few lines in processes of their own, for tests that kill them.

usage: python -m tests.children ROLE, with the broker in the environment under ``CHILD_``.

Each says what it does in lines on standard output, which a test waits for.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from shared import topology
from shared.messages import FrameCaptured, FrameInspected, Message, ModelPromoted, TrainingRequested, decode
from shared.messaging.loop import Reject, consume
from shared.messaging.port import Broker
from shared.observability import Health
from tests.broker_address import BrokerAddress
from tests.messages import captured, inspected

POISON = 7
"""The sequence of the frame that kills its reader."""
REJECTED = 9


def say(*words: object) -> None:
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def publish(broker: Broker, count: str) -> None:
    """Publish so many frames, say when all are confirmed, and stay."""
    publisher = broker.publisher()
    for future in [publisher.publish(captured(number)) for number in range(int(count))]:
        future.result()
    say("confirmed")
    time.sleep(60)


def hold(broker: Broker, count: str) -> None:
    """Receive so many frames, acknowledge none, and stay."""
    subscription = broker.subscribe(topology.INFERENCE_FRAMES, prefetch=int(count))
    held = 0
    while held < int(count):
        held += len(subscription.receive(int(count), 1.0))
    say("holds", held)
    time.sleep(60)


def listen(broker: Broker) -> None:
    """Hear of promotions."""
    subscription = broker.subscribe(topology.PROMOTIONS, prefetch=1)
    say("listens")
    while True:
        for delivery in subscription.receive(1, 1.0):
            message = decode(delivery.body)
            assert isinstance(message, ModelPromoted)
            subscription.acknowledge([delivery])
            say("heard", message.model_version)


def command(broker: Broker) -> None:
    """Take the trainer's commands."""
    subscription = broker.subscribe(topology.TRAINER_COMMANDS, prefetch=1)
    say("ready")
    while True:
        for delivery in subscription.receive(1, 0.2):
            message = decode(delivery.body)
            assert isinstance(message, TrainingRequested)
            say("took", message.training_id)
            subscription.acknowledge([delivery])


def inspect(broker: Broker, most: str) -> None:
    """Judge frames until killed: by the test, or by the poison among them."""
    consume(
        broker.subscribe(topology.INFERENCE_FRAMES, prefetch=int(most)),
        broker.publisher(),
        judge,
        most=int(most),
        wait_seconds=0.2,
        stop=threading.Event(),
        health=Health(),
    )


def judge(messages: list[Message]) -> Sequence[FrameInspected]:
    frames = [message.frame for message in messages if isinstance(message, FrameCaptured)]
    if any(frame.sequence == POISON for frame in frames):
        os.kill(os.getpid(), signal.SIGKILL)
    if any(frame.sequence == REJECTED for frame in frames):
        raise Reject("frame 9 is out of the question")
    return [inspected(frame.sequence) for frame in frames]


ROLES: dict[str, Callable[..., None]] = {role.__name__: role for role in (publish, hold, listen, command, inspect)}


class Child:
    """One of the roles above, running."""

    def __init__(self, address: BrokerAddress, *role: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.children", *map(str, role)],
            env={**os.environ, **address.environment("CHILD_")},
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def out(self) -> IO[str]:
        assert self._process.stdout
        return self._process.stdout

    def says(self) -> str:
        """Its next line."""
        return self.out.readline().strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def dies(self, seconds: float) -> bool:
        """Whether it ends by itself within some seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


if __name__ == "__main__":
    address = BrokerAddress.from_environment("CHILD_")
    ROLES[sys.argv[1]](address.open(), *sys.argv[2:])
