"""How every service starts and ends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import structlog
from tenacity import RetryCallState

from shared.contracts.bundle import BundleError
from shared.errors import CannotStart
from shared.messaging import open_broker
from shared.messaging.port import Broker, BrokerUnavailable, MessagingError
from shared.recipe import RecipeError
from shared.retry import retrying
from shared.settings import ServiceSettings
from shared.shutdown import Stop, hear_signals
from shared.storage.port import StorageError, StorageRefusedLogin, StorageUnavailable

LONGEST_PAUSE: Final = 10.0
"""Seconds between two looks for an absent broker."""

_log = structlog.stdlib.get_logger("service")


def run_service(main: Callable[[Stop], None]) -> None:
    """Run a service's ``main`` with the event that a signal sets.

    What the people who run it can put right is told in one line, with exit code 2; what may pass by itself, with
    exit code 1, so that whoever watches the service starts it again. Anything else is a defect, with its traceback. A
    thread that ends with an error ends the service with it.
    """
    stop = hear_signals()
    try:
        with _ending_with_its_threads(stop):
            main(stop)
    except (CannotStart, MessagingError, StorageError, RecipeError, BundleError) as error:
        passing = isinstance(error, BrokerUnavailable | StorageUnavailable)
        _end(stop, error, 1 if passing and not isinstance(error, StorageRefusedLogin) else 2)
    else:
        stop.exit_code = 0


def _end(stop: Stop, error: Exception, exit_code: int) -> NoReturn:
    stop.exit_code = exit_code
    sys.stderr.write(f"{' '.join(str(error).split())}\n")
    raise SystemExit(exit_code) from None


@contextmanager
def _ending_with_its_threads(stop: Stop) -> Iterator[None]:
    """Stop when any thread of the process fails, and raise its error after the block."""
    failures: list[BaseException] = []

    def on_failure(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is None or isinstance(failed.exc_value, SystemExit):
            return
        name = failed.thread.name if failed.thread else ""
        _log.error("a thread failed: the service ends", thread=name, exc_info=failed.exc_value)
        failures.append(failed.exc_value)
        stop.exit_code = 1
        stop.set()

    before, threading.excepthook = threading.excepthook, on_failure
    try:
        yield
    finally:
        threading.excepthook = before
    if failures:
        raise failures[0]


def await_broker(
    settings: ServiceSettings, stop: threading.Event, connect: Callable[[ServiceSettings], Broker] = open_broker
) -> Broker:
    """The settings' broker; while it is absent, wait for it, and say so once.

    Raises:
        MessagingError: it is there and can't be used, or refuses the login.
        SystemExit: ``stop`` was set before the broker came.
    """
    try:
        return retrying(stop, BrokerUnavailable, shortest=0.5, longest=LONGEST_PAUSE, before_pause=_say_once)(
            connect, settings
        )
    except BrokerUnavailable:
        raise SystemExit(0) from None


def _say_once(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome:
        _log.warning("waiting for the broker", reason=str(state.outcome.exception()))
