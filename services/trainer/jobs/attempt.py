"""Follow the child process of one training: report each epoch, and renew the claim."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog
from pydantic import BaseModel

from services.trainer.jobs.announcement import running_message, stage_message
from services.trainer.jobs.child import Child, EpochDone, Event, StageReached
from services.trainer.jobs.trainings import Trainings
from shared.claims import Claim
from shared.health import Health
from shared.messages import Message, TrainingRequested
from shared.storage.port import StorageUnavailable

EVENT_SECONDS: Final = 0.5
"""Most seconds that `follow` waits for an event, and so by which a stop or a cancellation is delayed."""

_log = structlog.stdlib.get_logger("attempt")


class Cancelled(BaseModel):
    """The training was cancelled."""


class Stopped(BaseModel):
    """The trainer ends; the training continues later."""


class Lost(BaseModel):
    """Another trainer has taken the training, because this one did not renew its claim within the lease."""


End = Event | Cancelled | Stopped | Lost


class Attempt:
    """A training that this trainer has claimed."""

    def __init__(
        self,
        request: TrainingRequested,
        claim: Claim,
        trainings: Trainings,
        publish_progress: Callable[[Message], None],
        *,
        on_requests_changed: Callable[[TrainingRequested], None],
    ) -> None:
        """Create an attempt.

        Args:
            request: the training.
            claim: this trainer's claim on the training.
            trainings: renews the claim.
            publish_progress: publishes a message about progress.
            on_requests_changed: called with this training when other trainings may have been cancelled.
        """
        self.request = request
        self.claim = claim
        self._trainings = trainings
        self._publish_progress = publish_progress
        self._on_requests_changed = on_requests_changed

    def follow(
        self,
        child: Child,
        *,
        requests_changed: threading.Event,
        stop: threading.Event,
        lease_seconds: float,
        health: Health,
    ) -> End:
        """Report each stage and epoch until the child, the training or the trainer ends, and return how it ended.

        Args:
            child: the running process.
            requests_changed: set when a training may have been cancelled.
            stop: set when the trainer ends.
            lease_seconds: lease of the claim, which is renewed three times in this time.
            health: gets a beat with each event, and in each pause between events.
        """
        renewal = time.monotonic() + lease_seconds / 3
        while not stop.is_set():
            health.beat()
            event = child.next_event(EVENT_SECONDS)
            if isinstance(event, EpochDone):
                # the training makes progress, so its attempts are counted from zero again
                self.claim = self.claim.model_copy(update={"attempts": 0})
                self._publish_progress(running_message(self.request, event.epoch, event.epochs, event.metrics))
            elif isinstance(event, StageReached):
                _log.info("a training's stage", stage=event.stage)
                self._publish_progress(stage_message(self.request, event.stage))
            elif event is not None:
                return event if self.renew_claim() else Lost()
            may_be_cancelled = requests_changed.is_set()
            if may_be_cancelled:
                requests_changed.clear()
            if may_be_cancelled or time.monotonic() > renewal:
                renewal = time.monotonic() + lease_seconds / 3
                if not self.renew_claim():
                    return Lost()
                if self._is_cancelled():
                    return Cancelled()
                if may_be_cancelled:
                    self._on_requests_changed(self.request)
        return Stopped()

    def renew_claim(self) -> bool:
        """Renew the claim; False if another trainer has it. If object storage is unavailable, return True."""
        try:
            return self._trainings.renew(self.request.training_id, self.claim)
        except StorageUnavailable as error:
            _log.warning("could not renew the claim of a training", reason=str(error))
            return True

    def _is_cancelled(self) -> bool:
        """Return whether the training was cancelled. If object storage is unavailable, return False."""
        try:
            return self._trainings.is_cancelled(self.request.training_id)
        except StorageUnavailable as error:
            _log.warning("could not find out whether a training was cancelled", reason=str(error))
            return False
