"""Read stored records; a record that can't be read is skipped and reported, so that it does not stop the others."""

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
"""Most unreadable records that a process remembers."""
LONGEST_REASON: Final = 300
"""Most characters of a reason."""
REPORTED_SECONDS: Final = 3_600
"""A record is reported for this time after the last try to read it."""

UNREADABLE: Final = Counter(
    "seamline_unreadable_records", "Stored records that can't be read and were skipped", ["folder"]
)

_log = structlog.stdlib.get_logger("records")
_unreadable: dict[str, tuple[str, float]] = {}
"""Why records are unreadable, and when this process last tried to read them, by key."""
_lock = threading.Lock()
Record = TypeVar("Record")


def read_or_skip(key: str, read: Callable[[], Record]) -> Record | None:
    """Return the record that ``read`` reads from the object under ``key``; None if it is deleted or unreadable.

    An unreadable record is logged and counted once.

    Raises:
        StorageError: object storage failed.
    """
    try:
        record = read()
    except ObjectNotFound:
        return None
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        # without the content: a record may hold a secret
        message = first_problem(error) if isinstance(error, ValidationError) else str(error)
        reason = (message or type(error).__name__)[:LONGEST_REASON]
        with _lock:
            is_known = key in _unreadable
            if is_known or len(_unreadable) < MOST_REMEMBERED:
                _unreadable[key] = reason, time.monotonic()
        if not is_known:
            UNREADABLE.labels(key.partition("/")[0]).inc()
            _log.error("skipped a record that can't be read", key=key, reason=reason)
        return None
    if key in _unreadable:
        with _lock:
            _unreadable.pop(key, None)
    return record


def unreadable_records() -> dict[str, str]:
    """Return the reasons for the records that this process could not read, by their keys."""
    now = time.monotonic()
    with _lock:
        return {key: reason for key, (reason, seen_at) in _unreadable.items() if now - seen_at < REPORTED_SECONDS}
