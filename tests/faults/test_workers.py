"""Workers are killed in the middle of the work, on both brokers: every frame is judged."""

from __future__ import annotations

from collections.abc import Callable

from shared.messaging.port import Broker
from shared.topology import DASHBOARD_VERDICTS
from tests import children
from tests.broker_address import BrokerAddress
from tests.children import Child
from tests.contract.test_messaging import publish, sequences
from tests.messages import captured
from tests.processes import wait_until

FIRST = 100
"""Beyond the frames that the children die of, or reject."""
FRAMES = range(FIRST, FIRST + 400)


def test_killed_workers_leave_no_frame_behind(
    broker_address: BrokerAddress, open_broker: Callable[..., Broker]
) -> None:
    broker = open_broker()
    publish(broker, [captured(number) for number in FRAMES])
    reader = broker.subscribe(DASHBOARD_VERDICTS, prefetch=50)
    judged: set[int] = set()
    killed = 0
    workers = [Child(broker_address, children.inspect, most=8) for _ in range(2)]
    while judged != set(FRAMES):
        before = len(judged)
        deliveries = reader.receive(50, 5.0)
        judged |= set(sequences(deliveries))
        reader.acknowledge(deliveries)
        if killed < 4 and len(judged) // 60 > before // 60:
            workers.pop(0).kill()
            workers.append(Child(broker_address, children.inspect, most=8))
            killed += 1
    assert killed == 4
    for queue in ("inference.frames", "inference.frames.suspects"):
        wait_until(lambda queue=queue: broker.depth(queue).ready == 0, 120, f"{queue} to be empty")  # type: ignore[misc]
    assert broker.depth("inference.frames.parked").total == 0
    for worker in workers:
        worker.kill()
