"""A trainer in this process that answers commands and measures; trainings are another matter."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from services.trainer.handler import Commands
from services.trainer.jobs.measurement_jobs import Errands
from services.trainer.jobs.measurer import Measurer
from services.trainer.jobs.trainings import Trainings
from services.trainer.promotion.gate import Beside, Measuring
from services.trainer.promotion.registry import Registry
from shared.background import running_beside
from shared.health import Health
from shared.messaging.loop import consume
from shared.messaging.port import Broker, Publisher
from shared.storage.port import ObjectStore
from shared.topology import TRAINER_COMMANDS


@contextmanager
def answering(store: ObjectStore, broker: Broker, told_by: Publisher | None = None) -> Iterator[threading.Event]:
    """The loops of a trainer, as its ``main`` has them, until the end of the block, or until the event is set.

    Args:
        store: object storage.
        broker: where it hears commands.
        told_by: how it tells what it measured, if not as it tells the rest.
    """
    stop, to_measure = threading.Event(), threading.Event()
    measuring, errands = Measuring(store, stopped=stop.is_set), Errands(store, "trainer", 60)
    registry = Registry(store, Beside(measuring, errands))
    commands = Commands(
        Trainings(store, "trainer", 60), registry, errands, to_train=threading.Event(), to_measure=to_measure
    )
    publisher = told_by or broker.publisher()
    measurer = Measurer(
        errands, measuring, store, publisher, news=to_measure, stop=stop, lease_seconds=60, health=Health()
    )

    def serve() -> None:
        subscription = broker.subscribe(TRAINER_COMMANDS, prefetch=1)
        consume(subscription, broker.publisher(), commands.handle, most=1, wait_seconds=0.1, stop=stop, health=Health())

    with running_beside(stop, serve, measurer.run):
        yield stop
        stop.set()
        to_measure.set()
