"""Run the measurement jobs, each in a child process, in a thread of the trainer's service."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from services.trainer.jobs.announcement import requested_thresholds_promotion, thresholds_refused_message
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
    start_child,
)
from services.trainer.jobs.job_loop import TRANSIENT_ERRORS, run_jobs
from services.trainer.jobs.measurement_jobs import MeasurementJob, MeasurementJobs, name_of
from services.trainer.jobs.threshold_results import ThresholdResult, find_result, store_result
from services.trainer.promotion.comparison import store_refusal
from services.trainer.promotion.promotions import ComparisonNeeded, Promotions
from shared.claims import Claim
from shared.health import Health
from shared.messages import ComparisonRequested, Message, PromotionRequested, ThresholdsRequested
from shared.messaging.port import Publisher
from shared.storage.port import ObjectStore, StorageUnavailable

MOST_ATTEMPTS: Final = 3
"""Number of attempts in which the process of a job died, after which the job fails."""
FAILURE_REASON: Final = f"its process died {MOST_ATTEMPTS} times while it measured: see the trainer's log"

_log = structlog.stdlib.get_logger("measurer")


class Measurer:
    """Runs open measurement jobs, oldest first."""

    def __init__(
        self,
        jobs: MeasurementJobs,
        promotions: Promotions,
        store: ObjectStore,
        publisher: Publisher,
        *,
        jobs_changed: threading.Event,
        stop: threading.Event,
        lease_seconds: float,
        health: Health,
        start: Callable[..., AbstractContextManager[Child]] = start_child,
    ) -> None:
        """Create a measurer.

        Args:
            jobs: the measurement jobs.
            promotions: decides about requested promotions.
            store: object storage with the models.
            publisher: a publisher that no other thread uses.
            jobs_changed: set when there is a new job.
            stop: set by a signal; the running job is released.
            lease_seconds: lease of the claim on a job.
            health: heartbeat of this measurer's loop.
            start: starts a command of the trainer, given as its words, in a child process.
        """
        self._jobs = jobs
        self._promotions = promotions
        self._store = store
        self._publisher = publisher
        self._jobs_changed = jobs_changed
        self._stop = stop
        self._lease_seconds = lease_seconds
        self._health = health
        self._start = start
        self._to_release: str | None = None

    def run(self) -> None:
        """Run jobs until ``stop`` is set."""
        run_jobs(self._run_next, self._jobs_changed, self._stop, self._health)

    def _run_next(self) -> bool:
        """Run the first job that no other trainer runs. Return whether there was one."""
        self._release()
        for job in self._jobs.list_open():
            claim = self._jobs.claim(name_of(job))
            if claim is not None:
                with bound_contextvars(measurement=name_of(job)):
                    self._run_job(job, claim)
                return True
        return False

    def _run_job(self, job: MeasurementJob, claim: Claim) -> None:
        """Measure, publish the results, and only then delete the job: if a step fails, the job runs again."""
        _log.info("measuring", attempt=claim.attempts)
        try:
            results = self._results_of(job, claim)
            if results is None:
                return
            for confirm in [self._publisher.publish(message) for message in results]:
                confirm.result()
            self._jobs.finish(job)
        except TRANSIENT_ERRORS:
            self._to_release = name_of(job)
            with suppress(StorageUnavailable):
                self._release()
            raise

    def _release(self) -> None:
        """Release the job that an outage ended, so that the outage does not count as an attempt."""
        if self._to_release:
            self._jobs.release(self._to_release)
            self._to_release = None

    def _results_of(self, job: MeasurementJob, claim: Claim) -> Sequence[Message] | None:
        """Measure a job; return the messages to publish, or None if the job is measured later."""
        match job:
            case ComparisonRequested():
                end = self._measure(job, claim, COMPARISON, job.recipe, job.baseline, job.candidate)
                if isinstance(end, Failed):
                    store_refusal(self._store, job, end.reason)
                return [] if end else None
            case PromotionRequested():
                # compare the model with the one in production, again if another went into production, and decide
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
                result = self._threshold_result(job, claim)
                if result is None:
                    return None
                promotion = requested_thresholds_promotion(job, result)
                return [result, *([promotion] if promotion else [])]

    def _threshold_result(self, request: ThresholdsRequested, claim: Claim) -> ThresholdResult | None:
        """Return the stored result of a request, or make the threshold set; None if it is made later."""
        if stored := find_result(self._store, request.recipe, request.thresholds_id):
            return stored
        end = self._measure(request, claim, THRESHOLDS, name_of(request))
        if isinstance(end, Failed):
            refusal = thresholds_refused_message(request, end.reason)
            store_result(self._store, refusal)
            return refusal
        return find_result(self._store, request.recipe, request.thresholds_id) if end else None

    def _measure(self, job: MeasurementJob, claim: Claim, *command: str) -> Finished | Failed | None:
        """Run a measuring process to its end, and renew the claim meanwhile; None if it has to run again later.

        Raises:
            StorageUnavailable: the process could not reach object storage.
        """
        if claim.attempts > MOST_ATTEMPTS:
            return Failed(reason=FAILURE_REASON)
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
                            _log.warning("lost the claim of a measurement to another trainer")
                            return None
        self._jobs.release(name_of(job))
        return None
