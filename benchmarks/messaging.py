"""Publishing and reading, on the embedded broker and on RabbitMQ: ``python -m benchmarks.messaging [FRAMES]``.

RabbitMQ is started as the tests start it: in Docker, or from the system's packages. The numbers of one run compare with
each other and with nothing else: machines differ, and so do moments of one machine.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from shared.messaging.port import Broker, Publisher
from shared.messaging.rabbitmq import RabbitBroker
from shared.messaging.sqlite import SqliteBroker
from shared.topology import INFERENCE_FRAMES
from tests.messages import captured
from tests.servers import start_rabbitmq

SIZES = {"0.6 KB": 200, "100 KB": 100_000}
PREFETCH = 64


def per_second(frames: int, work: Callable[[], None]) -> float:
    """Return the frames per second of a piece of work."""
    began = time.perf_counter()
    work()
    return frames / (time.perf_counter() - began)


def publish_one_by_one(publisher: Publisher, frames: int, size: int) -> None:
    """Wait for each confirm."""
    for number in range(frames):
        publisher.publish(captured(number, b"p" * size)).result()


def publish_in_a_window(publisher: Publisher, frames: int, size: int) -> None:
    """Wait for all confirms together."""
    for future in [publisher.publish(captured(number, b"p" * size)) for number in range(frames)]:
        future.result()


def read(broker: Broker, frames: int) -> None:
    """Receive and acknowledge, half a prefetch at a time."""
    subscription = broker.subscribe(INFERENCE_FRAMES, PREFETCH)
    left = frames
    while left:
        deliveries = subscription.receive(PREFETCH // 2, 1.0)
        subscription.acknowledge(deliveries)
        left -= len(deliveries)
    subscription.close()


def measure(name: str, broker: Broker, frames: int) -> None:
    """Print a row per size of frame."""
    publisher = broker.publisher()
    for label, size in SIZES.items():
        slow = max(1, frames // 10)
        alone = per_second(slow, lambda size=size, slow=slow: publish_one_by_one(publisher, slow, size))  # type: ignore[misc]
        window = per_second(frames, lambda size=size: publish_in_a_window(publisher, frames, size))  # type: ignore[misc]
        reading = per_second(frames + slow, lambda slow=slow: read(broker, frames + slow))  # type: ignore[misc]
        print(
            f"| {name} | {label} | {alone:,.0f}/s | {window:,.0f}/s | {window / alone:.1f} times | {reading:,.0f}/s |",
            flush=True,
        )


def main() -> None:
    """Measure both brokers, one after the other."""
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    print("| broker | frame | one by one | in a window | gain | read and acknowledged |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        sqlite = SqliteBroker(Path(folder) / "sqlite", [INFERENCE_FRAMES])
        measure("SQLite", sqlite, frames)
        sqlite.close()
        endpoint, server = start_rabbitmq(Path(folder) / "rabbitmq")
        try:
            url = f"amqp://{endpoint.host}:{endpoint.port}/"
            rabbitmq = RabbitBroker(url, endpoint.user, endpoint.password, queues=[INFERENCE_FRAMES])
            measure(f"RabbitMQ ({endpoint.how})", rabbitmq, frames)
            rabbitmq.close()
        finally:
            server.remove()


if __name__ == "__main__":
    main()
