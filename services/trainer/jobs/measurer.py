"""Do the measurement jobs, each in a child process, in a thread of the trainer's service."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from services.trainer.jobs.announcement import promotion_of_thresholds, refused
from services.trainer.jobs.answers import Answer, find_answer, store_answer
from services.trainer.jobs.attempt import EVENT_SECONDS
from services.trainer.jobs.child import (
    COMPARISON,
    MEASURE,
    THRESHOLDS,
    Child,
    Died,
    Failed,
    Finished,
    Postponed,
    started,
)
from services.trainer.jobs.measurement_jobs import MeasurementJob, MeasurementJobs, name_of
from services.trainer.jobs.turns import PASSING, take_turns
from services.trainer.promotion.comparison import store_refusal
from services.trainer.promotion.promotions import ComparisonNeeded, Promotions
from shared.claims import Claim
from shared.health import Health
from shared.messages import ComparisonRequested, Message, PromotionRequested, ThresholdsRequested
from shared.messaging.port import Publisher
from shared.storage.port import ObjectStore, StorageUnavailable

MOST_ATTEMPTS: Final = 3
"""A job whose process dies this often is given up."""
GIVEN_UP: Final = f"its process died {MOST_ATTEMPTS} times while it measured: see the trainer's log"

_log = structlog.stdlib.get_logger("measurer")


class Measurer:
    """Does open measurement jobs, oldest first."""

    def __init__(
        self,
        jobs: MeasurementJobs,
        promotions: Promotions,
        store: ObjectStore,
        publisher: Publisher,
        *,
        news: threading.Event,
        stop: threading.Event,
        lease_seconds: float,
        health: Health,
        start: Callable[..., AbstractContextManager[Child]] = started,
    ) -> None:
        """Create a measurer.

        Args:
            jobs: what is to be measured.
            promotions: decides about what is measured for a promotion.
            store: object storage with the models.
            publisher: of this measurer alone.
            news: set when there is a new job.
            stop: set by a signal; the job at hand is released.
            lease_seconds: how long a job stays with a trainer that is silent.
            health: of this measurer.
            start: runs a command of the trainer in a child process.
        """
        self._jobs = jobs
        self._promotions = promotions
        self._store = store
        self._publisher = publisher
        self._news = news
        self._stop = stop
        self._lease_seconds = lease_seconds
        self._health = health
        self._start = start
        self._to_release: str | None = None

    def run(self) -> None:
        """Measure until the stop."""
        take_turns(self._turn, self._news, self._stop, self._health)

    def _turn(self) -> bool:
        """Do the first job that no other trainer does; False if there is none."""
        self._release()
        for job in self._jobs.open():
            claim = self._jobs.claim(name_of(job))
            if claim is not None:
                with bound_contextvars(measurement=name_of(job)):
                    self._do(job, claim)
                return True
        return False

    def _do(self, job: MeasurementJob, claim: Claim) -> None:
        """Measure, publish, and only then delete the job: if anything fails in between, it is done again."""
        _log.info("measuring", attempt=claim.attempts)
        try:
            answers = self._answer(job, claim)
            if answers is None:
                return
            for confirmed in [self._publisher.publish(message) for message in answers]:
                confirmed.result()
            self._jobs.finish(job)
        except PASSING:
            self._to_release = name_of(job)
            with suppress(StorageUnavailable):
                self._release()
            raise

    def _release(self) -> None:
        """Release the job that an outage ended: the outage counts as no attempt."""
        if self._to_release:
            self._jobs.release(self._to_release)
            self._to_release = None

    def _answer(self, job: MeasurementJob, claim: Claim) -> Sequence[Message] | None:
        """Measure a job; return the messages that follow, or None where it is measured later."""
        match job:
            case ComparisonRequested():
                end = self._measure(job, claim, COMPARISON, job.recipe, job.baseline, job.candidate)
                if isinstance(end, Failed):
                    store_refusal(self._store, job, end.reason)
                return [] if end else None
            case PromotionRequested():
                # compare a model with the one in production, again if that changed meanwhile, and decide
                not_comparable: dict[str, str] = {}
                while isinstance(decision := self._promotions.decide(job, not_comparable), ComparisonNeeded):
                    baseline = decision.baseline
                    end = self._measure(job, claim, COMPARISON, job.recipe, baseline, job.model_version)
                    if end is None:
                        return None
                    if isinstance(end, Failed):
                        not_comparable[baseline] = end.reason
                return [decision]
            case ThresholdsRequested():
                answer = self._set_thresholds(job, claim)
                if answer is None:
                    return None
                promotion = promotion_of_thresholds(job, answer)
                return [answer, *([promotion] if promotion else [])]

    def _set_thresholds(self, request: ThresholdsRequested, claim: Claim) -> Answer | None:
        """Return the stored answer to a request, or make one; None where it is made later."""
        if found := find_answer(self._store, request.recipe, request.thresholds_id):
            return found
        end = self._measure(request, claim, THRESHOLDS, name_of(request))
        if isinstance(end, Failed):
            answer = refused(request, end.reason)
            store_answer(self._store, answer)
            return answer
        return find_answer(self._store, request.recipe, request.thresholds_id) if end else None

    def _measure(self, job: MeasurementJob, claim: Claim, *command: str) -> Finished | Failed | None:
        """Run a measuring process to its end and renew the claim meanwhile; None where it has to be run again.

        Raises:
            StorageUnavailable: the process could not reach object storage.
        """
        if claim.attempts > MOST_ATTEMPTS:
            return Failed(reason=GIVEN_UP)
        renewal = time.monotonic() + self._lease_seconds / 3
        with self._start(MEASURE, *command) as child:
            while not self._stop.is_set():
                self._health.beat()
                match child.next_event(EVENT_SECONDS):
                    case Finished() | Failed() as end:
                        return end
                    case Postponed(reason=reason):
                        raise StorageUnavailable(reason)
                    case Died(exit_code=exit_code):
                        _log.error("the process of a measurement died", exit_code=exit_code)
                        return None
                if time.monotonic() > renewal:
                    renewal = time.monotonic() + self._lease_seconds / 3
                    with suppress(StorageUnavailable):
                        if not self._jobs.renew(name_of(job), claim):
                            _log.warning("another trainer has taken a measurement: left it to that one")
                            return None
        self._jobs.release(name_of(job))
        return None
