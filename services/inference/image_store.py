"""The images of frames in object storage, without ever waiting for a storage that is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import structlog

from services.inference import metrics
from shared.imaging.codec import CONTENT_TYPES, FILE_LIMIT, SUFFIXES
from shared.messages import FrameCaptured, ImageDeferred
from shared.storage.port import (
    InvalidKey,
    ObjectNotFound,
    ObjectStore,
    ObjectTooLarge,
    StorageError,
    StorageUnavailable,
)

HANDS: Final = 8
"""How many objects are put or fetched at once."""

Result = TypeVar("Result")
_log = structlog.stdlib.get_logger("images")


class Breaker:
    """Whether to ask a storage: not after it failed, but for one probe now and then, until one succeeds."""

    def __init__(self, pause_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._probe_at: float | None = None
        self._lock = threading.Lock()

    @property
    def storage_answers(self) -> bool:
        """Whether the storage answered when it was asked last."""
        return self._probe_at is None

    def probe_is_due(self) -> bool:
        """Whether to ask once now; the next probe is due after a pause."""
        with self._lock:
            if self._probe_at is None or self._clock() < self._probe_at:
                return False
            self._probe_at = self._clock() + self._pause_seconds
            return True

    def succeeded(self) -> None:
        """The storage answered."""
        with self._lock:
            if self._probe_at is not None:
                _log.info("object storage is back")
            self._probe_at = None

    def failed(self, reason: object) -> None:
        """The storage did not answer, or refused."""
        with self._lock:
            if self._probe_at is None:
                _log.warning("object storage is away; its work waits in the queue", reason=str(reason))
            self._probe_at = self._clock() + self._pause_seconds


@dataclass(frozen=True)
class Missing:
    """Why there is no image. ``passing`` says whether there may be one later."""

    reason: str
    passing: bool


class Images:
    """Fetches and keeps the images of a batch, all at once and within a time limit."""

    def __init__(self, store: ObjectStore, *, wait_seconds: float, pause_seconds: float) -> None:
        self._store = store
        self._wait_seconds = wait_seconds
        self._breaker = Breaker(pause_seconds)
        self._hands = started_threads("images")

    def fetch(self, frames: Sequence[FrameCaptured]) -> list[bytes | Missing]:
        """The image of each frame: the one it brings, or the one it refers to."""
        keys = [frame.image_key for frame in frames if frame.image_key]
        fetched = iter(self._at_once([partial(self._store.get, key, FILE_LIMIT) for key in keys]))
        return [_content(next(fetched)) if frame.image_key else frame.image for frame in frames]

    def keep(self, frames: Sequence[FrameCaptured]) -> list[ImageDeferred]:
        """Keep the images that frames bring; what storage did not take comes back, to be kept later."""
        kept = [_to_keep(frame) for frame in frames]
        puts = [partial(self._store.put, one.key, one.image, one.content_type) for one in kept]
        outcomes = self._at_once(puts)
        left = [one for one, outcome in zip(kept, outcomes, strict=True) if isinstance(outcome, StorageError)]
        metrics.IMAGES.labels("deferred").inc(len(left))
        metrics.IMAGES.labels("kept").inc(len(kept) - len(left))
        return left

    def _at_once(self, calls: Sequence[Callable[[], Result]]) -> list[Result | StorageError]:
        """What each call gives, or why it gives nothing; a storage that is away is not waited for a second time."""
        if not calls:
            return []
        if not self._breaker.storage_answers:
            if self._breaker.probe_is_due():
                self._hands.submit(self._probe, calls[0])
            return [StorageUnavailable("object storage is away")] * len(calls)
        futures = [self._hands.submit(_guarded, call) for call in calls]
        wait(futures, timeout=self._wait_seconds)
        outcomes = [self._outcome(future) for future in futures]
        self._learn(outcomes)
        return outcomes

    def _probe(self, call: Callable[[], object]) -> None:
        self._learn([_guarded(call)])

    def _learn(self, outcomes: Sequence[object]) -> None:
        failures = [outcome for outcome in outcomes if isinstance(outcome, StorageError) and _is_away(outcome)]
        if failures:
            self._breaker.failed(failures[0])
        else:
            self._breaker.succeeded()

    def _outcome(self, future: Future[Result | StorageError]) -> Result | StorageError:
        if future.done():
            return future.result()
        future.cancel()
        return StorageUnavailable(f"object storage does not answer within {self._wait_seconds:g} s")


def started_threads(name: str) -> ThreadPoolExecutor:
    """A pool whose threads all run from the start: an outage, which needs them all, makes the worker no larger."""
    pool = ThreadPoolExecutor(HANDS, thread_name_prefix=name)
    together = threading.Barrier(HANDS)
    wait([pool.submit(together.wait) for _ in range(HANDS)])
    return pool


def _guarded(call: Callable[[], Result]) -> Result | StorageError:
    try:
        return call()
    except StorageError as error:
        return error


def _is_away(error: StorageError) -> bool:
    """Whether it is the storage that fails, not the question that was put to it."""
    return not isinstance(error, ObjectNotFound | ObjectTooLarge | InvalidKey)


def image_key(frame: FrameCaptured) -> str:
    """Where the image of a frame is kept."""
    return frame.image_key or f"{frame.frame.storage_key}/image.{SUFFIXES[frame.encoding]}"


def _to_keep(frame: FrameCaptured) -> ImageDeferred:
    return ImageDeferred(
        frame=frame.frame,
        key=image_key(frame),
        content_type=CONTENT_TYPES[frame.encoding],
        image=frame.image,
    )


def _content(outcome: bytes | StorageError) -> bytes | Missing:
    if isinstance(outcome, StorageError):
        return Missing(str(outcome), passing=_is_away(outcome))
    return outcome
