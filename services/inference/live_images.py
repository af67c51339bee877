"""Store the newest inspected image of each camera, at a low rate, for the page of the line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from shared.contracts.live import LiveFrame, LiveImage, live_key
from shared.messages import FrameCaptured
from shared.storage.port import ObjectStore, StorageError
from shared.verdict import Judgement

_log = structlog.stdlib.get_logger("live")


class LiveImages:
    """Store images in a background thread. An image that comes too soon, or while one is being stored, is skipped."""

    def __init__(self, store: ObjectStore, every_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``every_seconds``: the time between two images of a camera; 0: store none."""
        self._store = store
        self._every_seconds = every_seconds
        self._clock = clock
        self._due: dict[str, float] = {}
        self._busy = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live")

    def show(self, frame: FrameCaptured, judgement: Judgement) -> None:
        """Store the image of a frame, if one of its camera is due; after a failure the next one is tried."""
        key, now = live_key(frame.frame.line, frame.frame.camera), self._clock()
        if self._every_seconds == 0 or now < self._due.get(key, 0.0) or not self._busy.acquire(blocking=False):
            return
        self._due[key] = now + self._every_seconds
        about = LiveFrame(
            frame=frame.frame,
            verdict=judgement.verdict,
            reason=judgement.reason,
            encoding=frame.encoding,
            image_key=frame.image_key,
        )
        self._thread.submit(self._put, key, LiveImage(about, frame.image))

    def _put(self, key: str, image: LiveImage) -> None:
        try:
            self._store.put(key, image.encode(), "application/octet-stream")
        except StorageError as error:
            _log.debug("the live image was not stored", reason=str(error))
        finally:
            self._busy.release()
