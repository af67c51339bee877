"""How every service starts and ends."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

import structlog
from tenacity import RetryCallState

from shared.messaging import open_broker
from shared.messaging.port import Broker, BrokerUnavailable, MessagingError
from shared.patience import patient
from shared.recipe import RecipeError
from shared.settings import ServiceSettings
from shared.storage.port import StorageError, StorageUnavailable
from shared.vision.bundle import BundleError

LONGEST_PAUSE: Final = 10.0
"""Seconds between two looks for an absent broker."""

_log = structlog.stdlib.get_logger("service")


class CannotStart(Exception):
    """A service can't do what its settings ask; the message says in one line what to do. Services name their own."""


def run_service(main: Callable[[threading.Event], None]) -> None:
    """Run a service's ``main`` with the event that a signal sets.

    What the people who run it can put right is told in one line, with exit code 2; what may pass by itself, with
    exit code 1, so that whoever watches the service starts it again. Anything else is a defect, with its traceback.
    """
    try:
        main(install_stop_signals())
    except (BrokerUnavailable, StorageUnavailable) as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        raise SystemExit(1) from None
    except (CannotStart, MessagingError, StorageError, RecipeError, BundleError) as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        raise SystemExit(2) from None


def install_stop_signals() -> threading.Event:
    """An event that SIGTERM or SIGINT sets; the second signal ends the process at once."""
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def await_broker(
    settings: ServiceSettings, stop: threading.Event, connect: Callable[[ServiceSettings], Broker] = open_broker
) -> Broker:
    """The settings' broker; while it is absent, wait for it, and say so once.

    Raises:
        MessagingError: it is there and can't be used, or refuses the login.
        SystemExit: ``stop`` was set before the broker came.
    """
    try:
        return patient(stop, BrokerUnavailable, shortest=0.5, longest=LONGEST_PAUSE, tell=_say_once)(connect, settings)
    except BrokerUnavailable:
        raise SystemExit(0) from None


def _say_once(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome:
        _log.warning("waiting for the broker", reason=str(state.outcome.exception()))
