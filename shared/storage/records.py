"""Read stored records of which one that can't be read must not stop the others: it is skipped and reported."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

import structlog
from prometheus_client import Counter
from pydantic import ValidationError

from shared.storage.port import ObjectNotFound
from shared.validation import first_problem

MOST_REMEMBERED: Final = 1_000
REASON_LENGTH: Final = 300
REPORTED_SECONDS: Final = 3_600
"""A record is reported for this time after the last try to read it."""

UNREADABLE: Final = Counter(
    "seamline_unreadable_records", "Stored records that can't be read and were skipped", ["folder"]
)

_log = structlog.stdlib.get_logger("records")
_unreadable: dict[str, tuple[str, float]] = {}
"""The reason, and when the record was last found unreadable, by key."""
_lock = threading.Lock()
Record = TypeVar("Record")


def readable(key: str, read: Callable[[], Record]) -> Record | None:
    """Return what ``read`` reads from the object under ``key``; None if it is deleted or unreadable.

    A record that is unreadable is reported once.

    Raises:
        StorageError: of the storage itself.
    """
    try:
        record = read()
    except ObjectNotFound:
        return None
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        # without the content: a record may hold a secret
        said = first_problem(error) if isinstance(error, ValidationError) else str(error)
        reason = (said or type(error).__name__)[:REASON_LENGTH]
        with _lock:
            known = key in _unreadable
            if known or len(_unreadable) < MOST_REMEMBERED:
                _unreadable[key] = reason, time.monotonic()
        if not known:
            UNREADABLE.labels(key.partition("/")[0]).inc()
            _log.error("skipped a record that can't be read", key=key, reason=reason)
        return None
    if key in _unreadable:
        with _lock:
            _unreadable.pop(key, None)
    return record


def unreadable() -> dict[str, str]:
    """Return the reasons for the records that this process could not read, by their keys."""
    now = time.monotonic()
    with _lock:
        return {key: reason for key, (reason, seen_at) in _unreadable.items() if now - seen_at < REPORTED_SECONDS}
