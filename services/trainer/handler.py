"""What follows from a command: a training is kept until it is done, a promotion is decided at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from services.trainer.announcement import ended, queued
from services.trainer.registry import Registry
from services.trainer.trainings import Trainings
from shared.messages import ComparisonRequested, Message, PromotionRequested, TrainingCancelled, TrainingRequested
from shared.messaging.loop import Reject, RetryLater
from shared.storage.port import StorageUnavailable

Answer = Callable[[ComparisonRequested], None]


class Commands:
    """Handles the messages of ``trainer.commands``; each may come twice."""

    def __init__(self, trainings: Trainings, registry: Registry, answer: Answer, news: threading.Event) -> None:
        """Make a handler.

        Args:
            trainings: where requests are kept.
            registry: decides on promotions.
            answer: measures two models, and keeps what came out where whoever asked looks for it.
            news: set when there is something to do for whoever trains.
        """
        self._trainings = trainings
        self._registry = registry
        self._answer = answer
        self._news = news

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
                    self._news.set()
                return []
            case PromotionRequested():
                return [self._registry.promote(message)]
            case ComparisonRequested():
                self._answer(message)
                return []
            case _:
                raise Reject(f"{type(message).__name__} is no command to the trainer")

    def _take_in(self, request: TrainingRequested) -> Sequence[Message]:
        """A request that was taken in before is answered with where it is."""
        self._trainings.add(request)
        outcome = self._trainings.outcome(request.training_id)
        if outcome:
            return [ended(request, outcome)]
        self._news.set()
        return [queued(request)]
