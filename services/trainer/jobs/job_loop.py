"""Run jobs one after the other in a thread, until the trainer ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

from shared.health import Health
from shared.messaging.port import BrokerUnavailable, PublishRefused
from shared.storage.port import StorageUnavailable

CHECK_SECONDS: Final = 2.0
"""Time between two checks for jobs that another trainer released."""
TRANSIENT_ERRORS: Final = (BrokerUnavailable, PublishRefused, StorageUnavailable)
"""Errors after which a job is tried again."""

_log = structlog.stdlib.get_logger("job-loop")


def run_jobs(
    run_next: Callable[[], bool], jobs_changed: threading.Event, stop: threading.Event, health: Health
) -> None:
    """Call a function again and again until ``stop`` is set.

    Args:
        run_next: runs one job, and returns whether to look for the next job at once; if not, the loop pauses.
        jobs_changed: set when there is a new job; it ends the pause.
        stop: ends the loop after the running job.
        health: gets a beat before each job; a job that takes longer beats as well.
    """
    is_failing = False
    while not stop.is_set():
        health.beat()
        jobs_changed.clear()
        try:
            pauses = not run_next()
            is_failing = False
        except TRANSIENT_ERRORS as error:
            if not is_failing:
                _log.warning("a job failed; will try again until it succeeds", reason=str(error))
            pauses = is_failing = True
        if pauses:
            jobs_changed.wait(CHECK_SECONDS)
