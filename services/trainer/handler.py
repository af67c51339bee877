"""Handle the messages of ``trainer.commands``.

Work that takes long is stored as a job, so that no command waits behind it: the runner trains, the measurer measures.
A promotion that needs no measuring, such as a rollback, is decided at once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from services.trainer.jobs.announcement import ended, queued
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
    """Handles commands to the trainer; each may be delivered twice."""

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
            jobs: stores requests that have to be measured.
            to_train: set when the runner has something to do.
            to_measure: set when the measurer has something to do.
        """
        self._trainings = trainings
        self._promotions = promotions
        self._jobs = jobs
        self._to_train = to_train
        self._to_measure = to_measure

    def handle(self, messages: list[Message]) -> Sequence[Message]:
        """Handle commands; return the messages that follow from them.

        Raises:
            Reject: a message is no command to the trainer.
            RetryLater: object storage is away.
        """
        try:
            return [answer for message in messages for answer in self._follow(message)]
        except StorageUnavailable as error:
            raise RetryLater(str(error)) from error

    def _follow(self, message: Message) -> Sequence[Message]:
        match message:
            case TrainingRequested():
                self._trainings.add(message)
                if outcome := self._trainings.outcome(message.training_id):
                    return [ended(message, outcome)]
                self._to_train.set()
                return [queued(message)]
            case TrainingCancelled():
                if self._trainings.cancel(message):
                    self._to_train.set()
                return []
            case PromotionRequested():
                decision = self._promotions.decide(message)
                if isinstance(decision, ComparisonNeeded):
                    return self._measure(message)
                self._jobs.finish(message)
                return [decision]
            case ComparisonRequested() | ThresholdsRequested():
                return self._measure(message)
            case _:
                raise Reject(f"{type(message).__name__} is no command to the trainer")

    def _measure(self, job: MeasurementJob) -> Sequence[Message]:
        """Store a job; the measurer publishes the answer."""
        self._jobs.add(job)
        self._to_measure.set()
        return []
