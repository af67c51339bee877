"""Do the requested trainings one at a time, each in a child process, and report how each goes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import Counter
from pydantic_core import from_json
from structlog.contextvars import bound_contextvars

from services.trainer.jobs.announcement import ended, promotion_of, running
from services.trainer.jobs.attempt import Attempt, Cancelled, End, Lost
from services.trainer.jobs.child import TRAIN, Child, Died, Failed, Finished, started
from services.trainer.jobs.leftovers import clear, clear_ended
from services.trainer.jobs.trainings import Outcome, Trainings
from services.trainer.jobs.turns import LOOK_SECONDS, PASSING, take_turns
from shared.claims import Claim
from shared.contracts.bundle import EVALUATION, folder_of
from shared.health import Health
from shared.messages import Message, ModelTrained, TrainingRequested, TrainingState
from shared.messaging.port import MessagingError, Publisher
from shared.storage.port import ObjectStore, StorageUnavailable

MOST_ATTEMPTS: Final = 3
"""A training whose process dies this often without finishing an epoch is given up."""
TRAININGS: Final = Counter("seamline_trainings", "Trainings that ended", ["state"])

_log = structlog.stdlib.get_logger("runner")


class Runner:
    """Does open trainings, oldest first."""

    def __init__(
        self,
        trainings: Trainings,
        store: ObjectStore,
        publisher: Publisher,
        *,
        work_folder: Path,
        news: threading.Event,
        stop: threading.Event,
        lease_seconds: float,
        health: Health,
        start: Callable[..., AbstractContextManager[Child]] = started,
    ) -> None:
        """Create a runner.

        Args:
            trainings: the requests.
            store: object storage with the bundles.
            publisher: of this runner alone.
            work_folder: holds a folder for each training's process.
            news: set when a training was requested or cancelled.
            stop: set by a signal; the training at hand is released.
            lease_seconds: how long a training stays with a trainer that is silent.
            health: of this runner.
            start: runs a command of the trainer in a child process.
        """
        self._trainings = trainings
        self._store = store
        self._publisher = publisher
        self._work_folder = work_folder
        self._news = news
        self._stop = stop
        self._lease_seconds = lease_seconds
        self._health = health
        self._start = start

    def run(self) -> None:
        """Train until the stop."""
        clear_ended(self._work_folder, self._trainings)
        take_turns(self._turn, self._news, self._stop, self._health)

    def _turn(self) -> bool:
        """Do the first training that no other trainer does; False if there is none, or it has to wait."""
        for request in self._trainings.open():
            claim = self._trainings.claim(request.training_id)
            if claim is not None:
                with bound_contextvars(training_id=request.training_id):
                    return self._do(request, claim)
        return False

    def _do(self, request: TrainingRequested, claim: Claim) -> bool:
        if self._trainings.is_cancelled(request.training_id):
            return self._end(request, TrainingState.CANCELLED)
        if claim.attempts > MOST_ATTEMPTS:
            reason = f"its process died {MOST_ATTEMPTS} times before it finished an epoch: see the trainer's log"
            return self._end(request, TrainingState.FAILED, reason)
        _log.info("training", attempt=claim.attempts, recipe=request.recipe, architecture=request.architecture)
        self._mention(running(request))
        attempt = Attempt(request, claim, self._trainings, self._mention, on_news=self._end_waiting)
        with self._start(TRAIN, request.training_id) as child:
            end = attempt.follow(
                child, news=self._news, stop=self._stop, lease_seconds=self._lease_seconds, health=self._health
            )
        return self._conclude(attempt, end)

    def _end_waiting(self, at_hand: TrainingRequested) -> None:
        """End trainings that were cancelled before they began, without waiting for the one at hand."""
        try:
            for request in self._trainings.open():
                training_id = request.training_id
                waits = training_id != at_hand.training_id and self._trainings.is_cancelled(training_id)
                if waits and self._trainings.claim(training_id):
                    self._end(request, TrainingState.CANCELLED)
        except PASSING as error:
            _log.warning("will end a cancelled training at its turn", reason=str(error))

    def _conclude(self, attempt: Attempt, end: End) -> bool:
        """Report how an attempt ended, as soon as that is possible. False if the training has to wait."""
        while True:
            try:
                return self._close(attempt, end)
            except PASSING as error:
                _log.warning("will report again how a training ended", reason=str(error))
            self._health.beat()
            if self._stop.wait(LOOK_SECONDS):
                with suppress(StorageUnavailable):
                    self._trainings.release(attempt.request.training_id)
                return False
            if not attempt.holds():
                end = Lost()

    def _close(self, attempt: Attempt, end: End) -> bool:
        """Act on the end of an attempt. False if the training has to wait."""
        match end:
            case Finished(model_version=str(version)):
                # report the model, request its promotion if the training says so, and only then close the training
                evaluation = from_json(self._store.get(f"{folder_of(attempt.request.recipe, version)}/{EVALUATION}"))
                trained = ModelTrained(
                    training_id=attempt.request.training_id,
                    recipe=attempt.request.recipe,
                    model_version=version,
                    evaluation=evaluation,
                    at=datetime.now(UTC),
                )
                promotion = [promotion_of(attempt.request, version)] if attempt.request.promote else []
                self._publish(trained, *promotion)
                return self._end(attempt.request, TrainingState.FINISHED, model_version=version)
            case Failed():
                return self._end(attempt.request, TrainingState.FAILED, end.reason)
            case Cancelled():
                return self._end(attempt.request, TrainingState.CANCELLED)
            case Lost():
                _log.warning("another trainer has taken a training: left it to that one")
                return True
            case Died():
                _log.error("the process of a training died", exit_code=end.exit_code)
                return True
            case _:
                _log.info("left a training, to continue later", why=repr(end))
                self._trainings.release(attempt.request.training_id)
                return False

    def _end(
        self, request: TrainingRequested, state: TrainingState, reason: str = "", model_version: str | None = None
    ) -> bool:
        outcome = Outcome(state=state, reason=reason, model_version=model_version, at=datetime.now(UTC))
        self._publish(ended(request, outcome))
        self._trainings.finish(request.training_id, outcome)
        clear(self._work_folder, request.training_id)
        TRAININGS.labels(state.value).inc()
        _log.info("a training ended", state=state.value, reason=reason, model_version=model_version)
        return True

    def _publish(self, *messages: Message) -> None:
        """Wait for the confirms: a training is closed only after its messages were accepted."""
        for future in [self._publisher.publish(message) for message in messages]:
            future.result()

    def _mention(self, message: Message) -> None:
        """Publish progress; a message that can't be published is dropped."""
        try:
            self._publish(message)
        except MessagingError as error:
            _log.warning("could not report a training's progress", reason=str(error))
