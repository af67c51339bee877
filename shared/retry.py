"""Retry with exponential backoff and jitter."""

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


def retrying(
    stop: threading.Event,
    retry_on: type[Exception] | tuple[type[Exception], ...],
    *,
    shortest: float = 0.2,
    longest: float,
    before_pause: Callable[[RetryCallState], None] | None = None,
) -> Retrying:
    """Return a caller that repeats a call until it succeeds.

    Each pause is random below a bound that doubles, so that many clients do not try again at the same time.

    Args:
        stop: ends the tries, also in the middle of a pause; the last error is then raised.
        retry_on: errors after which the call is repeated; all others are raised at once.
        shortest: bound of the first pause, in seconds.
        longest: bound of every pause, in seconds.
        before_pause: called before each pause.
    """
    return Retrying(
        retry=retry_if_exception_type(retry_on),
        wait=wait_random_exponential(multiplier=shortest, max=longest),
        stop=stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        before_sleep=before_pause,
        reraise=True,
    )
