"""What follows from a command: what takes its time is kept until it is done, so that no command waits behind another.

Trainings and measurements are done elsewhere. A promotion that needs no measuring, such as a rollback, is decided at
once; another one is asked for again when its model was measured.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from services.trainer.jobs.announcement import ended, queued
from services.trainer.jobs.measurement_jobs import Errand, Errands
from services.trainer.jobs.trainings import Trainings
from services.trainer.promotion.gate import NotMeasured
from services.trainer.promotion.registry import Registry
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
    """Handles the messages of ``trainer.commands``; each may come twice."""

    def __init__(
        self,
        trainings: Trainings,
        registry: Registry,
        errands: Errands,
        *,
        to_train: threading.Event,
        to_measure: threading.Event,
    ) -> None:
        """Make a handler.

        Args:
            trainings: where requests are kept.
            registry: decides on promotions.
            errands: where everything is kept that has to be measured.
            to_train: set when there is something to do for whoever trains.
            to_measure: set when there is something to do for whoever measures.
        """
        self._trainings = trainings
        self._registry = registry
        self._errands = errands
        self._to_train = to_train
        self._to_measure = to_measure

    def handle(self, messages: list[Message]) -> Sequence[Message]:
        """Messages in, the messages that follow from them out.

        Raises:
            Reject: a message that is no command to the trainer.
            RetryLater: object storage is away.
        """
        try:
            return [answer for message in messages for answer in self._follow(message)]
        except StorageUnavailable as error:
            raise RetryLater(str(error)) from error

    def _follow(self, message: Message) -> Sequence[Message]:
        match message:
            case TrainingRequested():
                return self._take_in(message)
            case TrainingCancelled():
                if self._trainings.cancel(message):
                    self._to_train.set()
                return []
            case PromotionRequested():
                return self._decide(message)
            case ComparisonRequested() | ThresholdsRequested():
                return self._put_off(message)
            case _:
                raise Reject(f"{type(message).__name__} is no command to the trainer")

    def _decide(self, asked: PromotionRequested) -> Sequence[Message]:
        try:
            decision = self._registry.promote(asked)
        except NotMeasured:
            return self._put_off(asked)
        self._errands.finish(asked)
        return [decision]

    def _put_off(self, errand: Errand) -> Sequence[Message]:
        """The answer comes when it was measured."""
        self._errands.add(errand)
        self._to_measure.set()
        return []

    def _take_in(self, request: TrainingRequested) -> Sequence[Message]:
        """A request that was taken in before is answered with where it is."""
        self._trainings.add(request)
        outcome = self._trainings.outcome(request.training_id)
        if outcome:
            return [ended(request, outcome)]
        self._to_train.set()
        return [queued(request)]
