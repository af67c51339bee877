"""Handle the messages of ``trainer.commands``.

Work that takes minutes is stored as a job, so that other commands do not wait for it: the runner trains, the measurer
measures. A promotion that needs no measurement, such as a rollback, is decided immediately.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from services.trainer.jobs.announcement import ended_message, queued_message
from services.trainer.jobs.measurement_jobs import MeasurementJob, MeasurementJobs
from services.trainer.jobs.trainings import Trainings
from services.trainer.promotion.promotions import ComparisonNeeded, Promotions
from shared.messages import (
    ComparisonRequested,
    Message,
    PromotionRequested,
    ThresholdsRequested,
    TrainingCancelled,
    TrainingRequested,
)
from shared.messaging.loop import Reject, RetryLater
from shared.storage.port import StorageUnavailable


class Commands:
    """Handles commands to the trainer; a command may be delivered twice."""

    def __init__(
        self,
        trainings: Trainings,
        promotions: Promotions,
        jobs: MeasurementJobs,
        *,
        to_train: threading.Event,
        to_measure: threading.Event,
    ) -> None:
        """Create a handler.

        Args:
            trainings: stores requests for trainings.
            promotions: decides about promotions.
            jobs: stores requests that need a measurement.
            to_train: set when a training was requested or cancelled.
            to_measure: set when there is a new measurement job.
        """
        self._trainings = trainings
        self._promotions = promotions
        self._jobs = jobs
        self._to_train = to_train
        self._to_measure = to_measure

    def handle(self, messages: list[Message]) -> Sequence[Message]:
        """Handle commands; return the messages that follow from them.

        Raises:
            Reject: a message is not a command to the trainer.
            RetryLater: object storage is unavailable.
        """
        try:
            return [result for message in messages for result in self._handle(message)]
        except StorageUnavailable as error:
            raise RetryLater(str(error)) from error

    def _handle(self, message: Message) -> Sequence[Message]:
        match message:
            case TrainingRequested():
                self._trainings.add(message)
                if outcome := self._trainings.outcome(message.training_id):
                    return [ended_message(message, outcome)]
                self._to_train.set()
                return [queued_message(message)]
            case TrainingCancelled():
                if self._trainings.cancel(message):
                    self._to_train.set()
                return []
            case PromotionRequested():
                decision = self._promotions.decide(message)
                if isinstance(decision, ComparisonNeeded):
                    return self._store_job(message)
                self._jobs.finish(message)
                return [decision]
            case ComparisonRequested() | ThresholdsRequested():
                return self._store_job(message)
            case _:
                raise Reject(f"{type(message).__name__} is not a command to the trainer")

    def _store_job(self, job: MeasurementJob) -> Sequence[Message]:
        """Store a job; the measurer publishes its result."""
        self._jobs.add(job)
        self._to_measure.set()
        return []
