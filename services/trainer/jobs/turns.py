"""Run the turns of a thread that does jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

from shared.health import Health
from shared.messaging.port import BrokerUnavailable, PublishRefused
from shared.storage.port import StorageUnavailable

LOOK_SECONDS: Final = 2.0
"""Time between two looks for jobs that another trainer left."""
PASSING: Final = (BrokerUnavailable, PublishRefused, StorageUnavailable)
"""Errors after which a turn is tried again."""

_log = structlog.stdlib.get_logger("turns")


def take_turns(turn: Callable[[], bool], news: threading.Event, stop: threading.Event, health: Health) -> None:
    """Call a function again and again until the stop.

    Args:
        turn: does one job; False if there is none, or it has to wait.
        news: set when there is a new job.
        stop: ends the turns after the one at hand.
        health: gets a beat at each turn; a turn that takes longer beats as well.
    """
    waiting = False
    while not stop.is_set():
        health.beat()
        news.clear()
        try:
            idle = not turn()
            waiting = False
        except PASSING as error:
            if not waiting:
                _log.warning("will try again until it succeeds", reason=str(error))
            idle = waiting = True
        if idle:
            news.wait(LOOK_SECONDS)
