"""A trainer in this process that answers commands and measures; it does no trainings."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from services.trainer.errors import NotComparable
from services.trainer.handler import Commands
from services.trainer.jobs.child import Child, Died
from services.trainer.jobs.measurement_jobs import MeasurementJobs
from services.trainer.jobs.measurer import Measurer
from services.trainer.jobs.trainings import Trainings
from services.trainer.measuring.child_process import measure
from services.trainer.measuring.compare import compare
from services.trainer.promotion.promotions import ComparisonNeeded, Promotions
from shared.contracts.promotion import Decision
from shared.health import Health
from shared.messages import ModelPromoted, PromotionRequested
from shared.messaging.loop import consume
from shared.messaging.port import Broker, Publisher
from shared.service import background_threads
from shared.storage.port import ObjectStore
from shared.topology import TRAINER_COMMANDS

Start = Callable[..., AbstractContextManager[Child]]


class ChildInThread(Child):
    """A measuring process that is a thread of this process, so that a test can hold up its object storage."""

    def __init__(self, store: ObjectStore, *command: str) -> None:
        self._events = queue.Queue()

        def work() -> None:
            try:
                self._events.put(measure(store, *command[1:]))
            finally:
                self._events.put(Died(exit_code=1))

        threading.Thread(target=work, daemon=True).start()

    def stop(self) -> None:
        """A thread can't be stopped."""


def in_threads(store: ObjectStore) -> Start:
    """Start measuring processes as threads."""

    @contextmanager
    def start(*command: str) -> Iterator[Child]:
        yield ChildInThread(store, *command)

    return start


class Promoting:
    """Decides about promotions, and compares models at once where that is needed."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._promotions = Promotions(store)

    def promote(self, request: PromotionRequested) -> Decision:
        not_comparable: dict[str, str] = {}
        while isinstance(decision := self._promotions.decide(request, not_comparable), ComparisonNeeded):
            try:
                compare(self._store, request.recipe, decision.baseline, request.model_version)
            except NotComparable as error:
                not_comparable[decision.baseline] = str(error)
        return decision

    def promote_initial_model(self, folder: Path) -> ModelPromoted | None:
        return self._promotions.promote_initial_model(folder)

    def record_published(self, promoted: ModelPromoted) -> None:
        self._promotions.record_published(promoted)


@contextmanager
def answering(
    store: ObjectStore, broker: Broker, measured_by: Publisher | None = None, start: Start | None = None
) -> Iterator[threading.Event]:
    """Run the loops of a trainer, as its ``main`` does, until the end of the block, or until the event is set.

    Args:
        store: object storage.
        broker: delivers the commands.
        measured_by: publishes the results of measurements; by default a publisher of the broker.
        start: starts measuring processes; by default as threads.
    """
    stop, to_measure = threading.Event(), threading.Event()
    jobs, promotions = MeasurementJobs(store, "trainer", 60), Promotions(store)
    commands = Commands(
        Trainings(store, "trainer", 60), promotions, jobs, to_train=threading.Event(), to_measure=to_measure
    )
    measurer = Measurer(
        jobs,
        promotions,
        store,
        measured_by or broker.publisher(),
        jobs_changed=to_measure,
        stop=stop,
        lease_seconds=60,
        health=Health(),
        start=start or in_threads(store),
    )

    def serve() -> None:
        subscription = broker.subscribe(TRAINER_COMMANDS, prefetch=1)
        consume(subscription, broker.publisher(), commands.handle, most=1, wait_seconds=0.1, stop=stop, health=Health())

    with background_threads(stop, serve, measurer.run):
        yield stop
        stop.set()
        to_measure.set()
