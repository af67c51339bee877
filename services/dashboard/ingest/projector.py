"""Apply messages to the projection, by a table of updaters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from redis.exceptions import DataError

from services.dashboard.ingest.watermark import Watermark
from shared.messages import GatewayReported, LineChecked, Message, RecipeAnnounced, WorkerReported

NOT_ARCHIVED: Final[tuple[type[Message], ...]] = (WorkerReported, GatewayReported, RecipeAnnounced, LineChecked)
"""Messages that are not archived, because they have no use later, or are stored as records of their own."""

INAPPLICABLE: Final = (ValueError, ArithmeticError, DataError)
"""Errors that the content of a message causes while it is applied; no later attempt would succeed."""

Updater = Callable[[Sequence[Any]], int | None]
"""Applies messages of one type; returns how many were counted for the first time, or None if they are not counted."""
Updaters = Mapping[type[Message], Updater]


class UnsupportedMessage(ValueError):
    """The dashboard has no updater for messages of this type."""


@dataclass(frozen=True)
class ApplyResult:
    """The result of applying a batch."""

    counted: int
    """Verdicts, explanations and decisions that were not counted before."""
    rejected: dict[int, Exception] = field(default_factory=dict)
    """Why messages can't be applied, by their place in the batch."""


class Projector:
    """Applies messages to the projection. The result does not depend on repetitions or on the order of messages."""

    def __init__(self, watermark: Watermark, updaters: Updaters) -> None:
        self.watermark = watermark
        self._updaters = updaters

    def check_type(self, message: Message) -> None:
        """Check that messages of this type can be applied.

        Raises:
            UnsupportedMessage: they can't be applied.
        """
        if type(message) not in self._updaters:
            raise UnsupportedMessage(
                f"{type(message).__name__} is not for the dashboard: see the bindings of its queues"
            )

    def apply(self, messages: Sequence[Message]) -> int:
        """Apply messages, those of one type together; return how many were counted for the first time.

        Raises:
            UnsupportedMessage: a message has a type that can't be applied.
            redis.exceptions.RedisError: some messages may have been applied; apply all of them again.
        """
        by_type: dict[type[Message], list[Message]] = defaultdict(list)
        for message in messages:
            self.check_type(message)
            by_type[type(message)].append(message)
        return sum(self._updaters[kind](group) or 0 for kind, group in by_type.items())

    def apply_valid(self, messages: Sequence[Message]) -> ApplyResult:
        """Apply messages, and leave out messages whose content can't be applied.

        Raises:
            redis.exceptions.RedisError: some messages may have been applied; apply all of them again.
        """
        try:
            return ApplyResult(self.apply(messages))
        except INAPPLICABLE as error:
            if len(messages) == 1:
                return ApplyResult(0, {0: error})
        half = len(messages) // 2
        first, second = self.apply_valid(messages[:half]), self.apply_valid(messages[half:])
        later = {half + place: error for place, error in second.rejected.items()}
        return ApplyResult(first.counted + second.counted, {**first.rejected, **later})
