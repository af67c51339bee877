"""Trying again, with longer and longer pauses, for as long as the trouble may pass and nobody says stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)


def patient(
    stop: threading.Event,
    passing: type[Exception] | tuple[type[Exception], ...],
    *,
    shortest: float = 0.2,
    longest: float,
    tell: Callable[[RetryCallState], None] | None = None,
) -> Retrying:
    """Calls what it is given until it succeeds.

    The pauses are drawn by lot below a bound that doubles, so that many who wait do not come back at once
    ("exponential backoff and jitter").

    Args:
        stop: ends the waiting, also in the middle of a pause; the last error is then raised.
        passing: errors after which it is worth trying again; all others are raised at once.
        shortest: bound of the first pause, in seconds.
        longest: bound of every pause, in seconds.
        tell: is called before each pause.
    """
    return Retrying(
        retry=retry_if_exception_type(passing),
        wait=wait_random_exponential(multiplier=shortest, max=longest),
        stop=stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        before_sleep=tell,
        reraise=True,
    )
