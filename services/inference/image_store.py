"""Store and fetch the images of frames, without waiting while object storage is unavailable."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import structlog

from services.inference import metrics
from shared.contracts.retention_rules import DataKind
from shared.imaging.codec import FILE_LIMIT, SUFFIXES, content_type_of
from shared.messages import FrameCaptured, Verdict
from shared.storage.port import (
    InvalidKey,
    ObjectNotFound,
    ObjectStore,
    ObjectTooLarge,
    StorageError,
    StorageUnavailable,
)
from shared.verdict import Judgement

THREADS: Final = 8
"""Objects stored or fetched at the same time."""

Result = TypeVar("Result")
_log = structlog.stdlib.get_logger("images")


class CircuitBreaker:
    """Stop calling a storage after it failed, except for one probe after each pause, until a call succeeds."""

    def __init__(self, pause_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._probe_at: float | None = None
        self._lock = threading.Lock()

    @property
    def is_closed(self) -> bool:
        """Return whether the last call succeeded, so that calls go through."""
        return self._probe_at is None

    def probe_is_due(self) -> bool:
        """Return whether to call once now; the next probe is due after a pause."""
        with self._lock:
            if self._probe_at is None or self._clock() < self._probe_at:
                return False
            self._probe_at = self._clock() + self._pause_seconds
            return True

    def record_success(self) -> None:
        with self._lock:
            if self._probe_at is not None:
                _log.info("object storage is available again")
            self._probe_at = None

    def record_failure(self, reason: object) -> None:
        with self._lock:
            if self._probe_at is None:
                _log.warning("object storage is unavailable; its work waits in the queue", reason=str(reason))
            self._probe_at = self._clock() + self._pause_seconds


@dataclass(frozen=True)
class Missing:
    """The reason why an image is missing; ``temporary`` if a later attempt may find it."""

    reason: str
    temporary: bool


class ImageStore:
    """Store and fetch the images of a batch, in parallel and within a time limit."""

    def __init__(self, store: ObjectStore, *, wait_seconds: float, pause_seconds: float) -> None:
        self._store = store
        self._wait_seconds = wait_seconds
        self._breaker = CircuitBreaker(pause_seconds)
        self._threads = thread_pool("images")

    def fetch(self, frames: Sequence[FrameCaptured]) -> list[bytes | Missing]:
        """Return the image of each frame: from its message, or from object storage."""
        keys = [frame.image_key for frame in frames if frame.image_key]
        fetched = iter(self._in_parallel([partial(self._store.get, key, FILE_LIMIT) for key in keys]))
        contents: list[bytes | Missing] = []
        for frame in frames:
            outcome = next(fetched) if frame.image_key else frame.image
            if isinstance(outcome, StorageError):
                contents.append(Missing(str(outcome), temporary=_is_unavailable(outcome)))
            else:
                contents.append(outcome)
        return contents

    def store(self, images: Mapping[str, bytes]) -> set[str]:
        """Store images under their keys, and return the keys of those that could not be stored."""
        outcomes = self._in_parallel(
            [partial(self._store.put, key, image, content_type_of(image)) for key, image in images.items()]
        )
        failed = {key for key, outcome in zip(images, outcomes, strict=True) if isinstance(outcome, StorageError)}
        metrics.IMAGES.labels("deferred").inc(len(failed))
        metrics.IMAGES.labels("stored").inc(len(images) - len(failed))
        return failed

    def _in_parallel(self, calls: Sequence[Callable[[], Result]]) -> list[Result | StorageError]:
        """Return the result or the error of each call; wait once for a storage that is unavailable."""
        if not calls:
            return []
        if not self._breaker.is_closed:
            if self._breaker.probe_is_due():
                self._threads.submit(lambda: self._update_breaker([_attempt(calls[0])]))
            return [StorageUnavailable("object storage is unavailable")] * len(calls)
        futures = [self._threads.submit(_attempt, call) for call in calls]
        wait(futures, timeout=self._wait_seconds)
        outcomes: list[Result | StorageError] = []
        for future in futures:
            if future.done():
                outcomes.append(future.result())
            else:
                future.cancel()
                outcomes.append(StorageUnavailable(f"object storage does not answer within {self._wait_seconds:g} s"))
        self._update_breaker(outcomes)
        return outcomes

    def _update_breaker(self, outcomes: Sequence[object]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, StorageError) and _is_unavailable(outcome):
                self._breaker.record_failure(outcome)
                return
        self._breaker.record_success()


def thread_pool(name: str) -> ThreadPoolExecutor:
    """Start a pool with all of its threads, so that an outage, which needs them all, does not enlarge the process."""
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix=name)
    all_started = threading.Barrier(THREADS)
    wait([pool.submit(all_started.wait) for _ in range(THREADS)])
    return pool


def image_key(frame: FrameCaptured, judgement: Judgement) -> str:
    """Return the key of an inspected frame's image; it contains the kind, by which retention rules remove it."""
    if judgement.verdict is Verdict.NG:
        kind = DataKind.NG
    else:
        kind = DataKind.UNSURE if any(finding.unsure for finding in judgement.findings.values()) else DataKind.OK
    return f"{frame.frame.storage_key}/image.{kind.value}.{SUFFIXES[frame.encoding]}"


def _attempt(call: Callable[[], Result]) -> Result | StorageError:
    try:
        return call()
    except StorageError as error:
        return error


def _is_unavailable(error: StorageError) -> bool:
    """Return whether an error means that the storage failed, not that the request was wrong."""
    return not isinstance(error, ObjectNotFound | ObjectTooLarge | InvalidKey)
