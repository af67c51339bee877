"""Run the requested trainings one at a time, each in a child process, and report their progress and end."""

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

from services.trainer.jobs.announcement import ended_message, requested_promotion, running_message
from services.trainer.jobs.attempt import Attempt, Cancelled, End, Lost, Stopped
from services.trainer.jobs.child import TRAIN, Child, Died, Failed, Finished, Postponed, start_child
from services.trainer.jobs.job_loop import TRANSIENT_ERRORS, run_jobs
from services.trainer.jobs.trainings import TrainingOutcome, Trainings
from services.trainer.jobs.work_folders import delete_ended_work_folders, delete_work_folder
from shared.claims import Claim
from shared.contracts.bundle import EVALUATION, folder_of
from shared.health import Health
from shared.messages import Message, ModelTrained, TrainingRequested, TrainingState
from shared.messaging.port import MessagingError, Publisher
from shared.storage.port import ObjectStore, StorageUnavailable

MOST_ATTEMPTS: Final = 3
"""Number of attempts without a finished epoch, after which a training fails."""
RETRY_SECONDS: Final = 2.0
"""Seconds between two attempts to report the end of a training."""
TRAININGS: Final = Counter("seamline_trainings", "Trainings that ended", ["state"])

_log = structlog.stdlib.get_logger("runner")


class Runner:
    """Runs open trainings, oldest first."""

    def __init__(
        self,
        trainings: Trainings,
        store: ObjectStore,
        publisher: Publisher,
        *,
        work_folder: Path,
        requests_changed: threading.Event,
        stop: threading.Event,
        lease_seconds: float,
        health: Health,
        start: Callable[..., AbstractContextManager[Child]] = start_child,
    ) -> None:
        """Create a runner.

        Args:
            trainings: the requests.
            store: object storage with the bundles.
            publisher: a publisher that no other thread uses.
            work_folder: holds a folder for each training's process.
            requests_changed: set when a training was requested or cancelled.
            stop: set by a signal; the running training is released.
            lease_seconds: lease of the claim on a training.
            health: heartbeat of this runner's loop.
            start: starts a command of the trainer, given as its words, in a child process.
        """
        self._trainings = trainings
        self._store = store
        self._publisher = publisher
        self._work_folder = work_folder
        self._requests_changed = requests_changed
        self._stop = stop
        self._lease_seconds = lease_seconds
        self._health = health
        self._start = start

    def run(self) -> None:
        """Run trainings until ``stop`` is set."""
        delete_ended_work_folders(self._work_folder, self._trainings)
        run_jobs(self._run_next, self._requests_changed, self._stop, self._health)

    def _run_next(self) -> bool:
        """Run the first training that no other trainer runs. Return whether to look for the next one at once."""
        for request in self._trainings.list_open():
            claim = self._trainings.claim(request.training_id)
            if claim is not None:
                with bound_contextvars(training_id=request.training_id):
                    return self._run_training(request, claim)
        return False

    def _run_training(self, request: TrainingRequested, claim: Claim) -> bool:
        """Run one attempt of a training. Return False if the training is released."""
        if self._trainings.is_cancelled(request.training_id):
            return self._store_outcome(request, TrainingState.CANCELLED)
        if claim.attempts > MOST_ATTEMPTS:
            reason = f"its process died {MOST_ATTEMPTS} times before it finished an epoch: see the trainer's log"
            return self._store_outcome(request, TrainingState.FAILED, reason)
        _log.info("training", attempt=claim.attempts, recipe=request.recipe, architecture=request.architecture)
        self._publish_progress(running_message(request))
        attempt = Attempt(
            request, claim, self._trainings, self._publish_progress, on_requests_changed=self._cancel_waiting
        )
        with self._start(TRAIN, request.training_id) as child:
            end = attempt.follow(
                child,
                requests_changed=self._requests_changed,
                stop=self._stop,
                lease_seconds=self._lease_seconds,
                health=self._health,
            )
        return self._handle_end_with_retries(attempt, end)

    def _cancel_waiting(self, current: TrainingRequested) -> None:
        """End trainings that were cancelled before they began, while the current training continues."""
        try:
            for request in self._trainings.list_open():
                training_id = request.training_id
                waits = training_id != current.training_id and self._trainings.is_cancelled(training_id)
                if waits and self._trainings.claim(training_id):
                    self._store_outcome(request, TrainingState.CANCELLED)
        except TRANSIENT_ERRORS as error:
            _log.warning("could not end a cancelled training yet; it ends when it is its turn", reason=str(error))

    def _handle_end_with_retries(self, attempt: Attempt, end: End) -> bool:
        """Handle the end of an attempt; repeat this while a server is unavailable.

        Return False if the training is released.
        """
        while True:
            try:
                return self._handle_end(attempt, end)
            except TRANSIENT_ERRORS as error:
                _log.warning("could not report how a training ended; will try again", reason=str(error))
            self._health.beat()
            if self._stop.wait(RETRY_SECONDS):
                with suppress(StorageUnavailable):
                    self._trainings.release(attempt.request.training_id)
                return False
            if not attempt.renew_claim():  # another trainer may have taken the training during the pause
                end = Lost()

    def _handle_end(self, attempt: Attempt, end: End) -> bool:
        """Store and report the end of an attempt. Return False if the training is released."""
        request = attempt.request
        match end:
            case Finished(model_version=str(version)):
                # report the model, request its promotion if the training says so, and only then store the outcome
                evaluation = from_json(self._store.get(f"{folder_of(request.recipe, version)}/{EVALUATION}"))
                trained = ModelTrained(
                    training_id=request.training_id,
                    recipe=request.recipe,
                    model_version=version,
                    evaluation=evaluation,
                    at=datetime.now(UTC),
                )
                promotion = [requested_promotion(request, version)] if request.promote else []
                self._publish(trained, *promotion)
                self._store_outcome(request, TrainingState.FINISHED, model_version=version)
            case Failed():
                self._store_outcome(request, TrainingState.FAILED, end.reason)
            case Cancelled():
                self._store_outcome(request, TrainingState.CANCELLED)
            case Lost():
                _log.warning("lost the claim of a training to another trainer")
            case Died():
                _log.error("the process of a training died", exit_code=end.exit_code)
            case Stopped() | Postponed():
                _log.info("released a training; it continues later", why=repr(end))
                self._trainings.release(request.training_id)
                return False
            case _:
                reason = f"its process reported an unexpected end, {end!r}: see the trainer's log"
                self._store_outcome(request, TrainingState.FAILED, reason)
        return True

    def _store_outcome(
        self, request: TrainingRequested, state: TrainingState, reason: str = "", model_version: str | None = None
    ) -> bool:
        """Report and store how a training ended. Return True."""
        outcome = TrainingOutcome(state=state, reason=reason, model_version=model_version, at=datetime.now(UTC))
        self._publish(ended_message(request, outcome))
        self._trainings.finish(request.training_id, outcome)
        delete_work_folder(self._work_folder, request.training_id)
        TRAININGS.labels(state.value).inc()
        _log.info("a training ended", state=state.value, reason=reason, model_version=model_version)
        return True

    def _publish(self, *messages: Message) -> None:
        """Publish messages, and wait until the broker confirms them."""
        for confirm in [self._publisher.publish(message) for message in messages]:
            confirm.result()

    def _publish_progress(self, message: Message) -> None:
        """Publish progress; a message that can't be published is dropped."""
        try:
            self._publish(message)
        except MessagingError as error:
            _log.warning("could not report a training's progress", reason=str(error))
