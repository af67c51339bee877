"""Follow the process of one training: report each epoch, and hold the claim."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog
from pydantic import BaseModel

from services.trainer.jobs.announcement import busy, running
from services.trainer.jobs.child import Child, EpochDone, Event, StageReached
from services.trainer.jobs.trainings import Trainings
from shared.claims import Claim
from shared.health import Health
from shared.messages import Message, TrainingRequested
from shared.storage.port import StorageUnavailable

EVENT_SECONDS: Final = 0.5
"""The longest delay of a stop or a cancellation."""

_log = structlog.stdlib.get_logger("attempt")


class Cancelled(BaseModel):
    """The training was cancelled."""


class Stopped(BaseModel):
    """The trainer ends; the training continues later."""


class Lost(BaseModel):
    """Another trainer has taken the training, because this one was silent for longer than its lease."""


End = Event | Cancelled | Stopped | Lost


class Attempt:
    """A training that this trainer has claimed."""

    def __init__(
        self,
        request: TrainingRequested,
        claim: Claim,
        trainings: Trainings,
        mention: Callable[[Message], None],
        *,
        on_news: Callable[[TrainingRequested], None],
    ) -> None:
        """Create one; ``mention`` publishes progress, ``on_news`` is called when other trainings may be cancelled."""
        self.request = request
        self.claim = claim
        self._trainings = trainings
        self._mention = mention
        self._on_news = on_news

    def follow(
        self, child: Child, *, news: threading.Event, stop: threading.Event, lease_seconds: float, health: Health
    ) -> End:
        """Wait for the end of the child, the training or the trainer; report each stage and epoch meanwhile.

        Args:
            child: the running process.
            news: set when a training may have been cancelled.
            stop: set when the trainer ends.
            lease_seconds: how long a claim is in force; it is renewed three times as often.
            health: gets a beat while the process is followed.
        """
        renewal = time.monotonic() + lease_seconds / 3
        while not stop.is_set():
            health.beat()
            event = child.next_event(EVENT_SECONDS)
            if isinstance(event, EpochDone):
                # the training makes progress, so its attempts are counted from zero again
                self.claim = self.claim.model_copy(update={"attempts": 0})
                self._mention(running(self.request, event.epoch, event.epochs, event.metrics))
            elif isinstance(event, StageReached):
                _log.info("a training's stage", stage=event.stage)
                self._mention(busy(self.request, event.stage))
            elif event is not None:
                return event if self.holds() else Lost()
            if news.is_set() or time.monotonic() > renewal:
                has_news = news.is_set()
                news.clear()
                renewal = time.monotonic() + lease_seconds / 3
                if not self.holds():
                    return Lost()
                if self._is_cancelled():
                    return Cancelled()
                if has_news:
                    self._on_news(self.request)
        return Stopped()

    def holds(self) -> bool:
        """Renew the claim. While object storage is away, the training continues."""
        try:
            return self._trainings.renew(self.request.training_id, self.claim)
        except StorageUnavailable as error:
            _log.warning("could not renew the claim of a training", reason=str(error))
            return True

    def _is_cancelled(self) -> bool:
        """Return whether the training was cancelled. While object storage is away, it continues."""
        try:
            return self._trainings.is_cancelled(self.request.training_id)
        except StorageUnavailable as error:
            _log.warning("could not find out whether a training was cancelled", reason=str(error))
            return False
