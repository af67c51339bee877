"""One try of one training: follows its process, tells of each epoch, and holds the claim."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog
from pydantic import BaseModel

from services.trainer.jobs.announcement import busy, running
from services.trainer.jobs.child import Child, EpochDone, Event, StageReached
from services.trainer.jobs.claims import Claim
from services.trainer.jobs.trainings import Trainings
from shared.health import Health
from shared.messages import Message, TrainingRequested
from shared.storage.port import StorageUnavailable

EVENT_SECONDS: Final = 0.5
"""How long a stop or a cancellation may wait."""

_log = structlog.stdlib.get_logger("attempt")


class Cancelled(BaseModel):
    """Somebody does not want the model any more."""


class Stopped(BaseModel):
    """The trainer ends; the training goes on later."""


class Lost(BaseModel):
    """Another trainer has taken the training up, while this one was cut off for longer than its lease."""


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
        """Make one; ``mention`` tells of progress, ``on_news`` is called when others may be cancelled."""
        self.request = request
        self.claim = claim
        self._trainings = trainings
        self._mention = mention
        self._on_news = on_news

    def follow(
        self, child: Child, *, news: threading.Event, stop: threading.Event, lease_seconds: float, health: Health
    ) -> End:
        """Wait for the end of the child, of the training, or of the trainer; tell of each stage and epoch meanwhile.

        Args:
            child: the running process.
            news: set when a training may have been cancelled.
            stop: set when the trainer ends.
            lease_seconds: how long a claim holds; it is renewed three times as often.
            health: is told that the process is watched.
        """
        renewal = time.monotonic() + lease_seconds / 3
        while not stop.is_set():
            health.beat()
            event = child.next_event(EVENT_SECONDS)
            if isinstance(event, EpochDone):
                # it gets on: whatever ends it now, it deserves all its attempts again
                self.claim = self.claim.model_copy(update={"attempts": 0})
                self._mention(running(self.request, event.epoch, event.epochs, event.metrics))
            elif isinstance(event, StageReached):
                _log.info("a training's stage", stage=event.stage)
                self._mention(busy(self.request, event.stage))
            elif event is not None:
                return event if self.holds() else Lost()
            if news.is_set() or time.monotonic() > renewal:
                told = news.is_set()
                news.clear()
                renewal = time.monotonic() + lease_seconds / 3
                if not self.holds():
                    return Lost()
                if self._is_cancelled():
                    return Cancelled()
                if told:
                    self._on_news(self.request)
        return Stopped()

    def holds(self) -> bool:
        """Renew the claim. While object storage can't be asked, the training goes on."""
        try:
            return self._trainings.renew(self.request.training_id, self.claim)
        except StorageUnavailable as error:
            _log.warning("could not renew the claim of a training", reason=str(error))
            return True

    def _is_cancelled(self) -> bool:
        """While object storage is away, the training goes on."""
        try:
            return self._trainings.is_cancelled(self.request.training_id)
        except StorageUnavailable as error:
            _log.warning("could not ask whether a training was cancelled", reason=str(error))
            return False
