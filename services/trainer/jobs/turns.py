"""Turn after turn: how a thread of the trainer works off what it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

from shared.health import Health
from shared.messaging.port import BrokerUnavailable, PublishRefused
from shared.storage.port import StorageUnavailable

LOOK_SECONDS: Final = 2.0
"""Between two looks for work that another trainer left."""
PASSING: Final = (BrokerUnavailable, PublishRefused, StorageUnavailable)
"""Trouble after which a turn is tried again."""

_log = structlog.stdlib.get_logger("turns")


def take_turns(turn: Callable[[], bool], news: threading.Event, stop: threading.Event, health: Health) -> None:
    """Turn until the stop.

    Args:
        turn: does one piece of work; False where there is none, or it has to wait.
        news: set when there is something new to do.
        stop: ends it after the turn at hand.
        health: is told at each turn; a turn that takes longer tells it as well.
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
