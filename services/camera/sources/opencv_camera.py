"""Read live cameras, which do not wait: USB and network cameras."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import cv2
import numpy as np
import structlog
from tenacity import RetryCallState

from services.camera.errors import CameraError
from services.camera.heartbeat import Heartbeat
from services.camera.settings import Resolution
from services.camera.sources.captured_image import CapturedImage, clock
from services.camera.sources.opencv_capture import open_capture, redacted
from services.camera.sources.sampling import Sampling
from shared.imaging.codec import Image
from shared.imaging.video import frame_rate_of
from shared.messages import CameraState
from shared.retry import retrying

BUFFER_BYTES: Final = 128 * 1024**2
MOST_BUFFERED: Final = 64
"""Images between the camera and the disk, for slow moments. An image that finds no room is dropped and counted."""
SHORTEST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 15.0
"""Seconds between two attempts to open a camera that disconnected."""
CLOSING_SECONDS: Final = 10.0
HANG_SECONDS: Final = 60.0
"""A driver that returns neither an image nor a failure for this long hangs: opening and reading have time limits."""

log = structlog.get_logger(__name__)


class DriverHangs(Exception):
    """The thread that reads the camera has stalled; only a new process helps."""


class LiveCamera:
    """Read a camera in a thread of its own at the camera's rate, and open it again whenever it disconnects."""

    can_wait = False

    def __init__(
        self,
        address: str | int,
        sampling: Sampling,
        on_state: Callable[[CameraState, str], None],
        *,
        resolution: Resolution | None = None,
        default_rate: float = 25,
    ) -> None:
        self._address = address
        self._name = f"USB camera {address}" if isinstance(address, int) else redacted(address)
        self._sampling = sampling
        self._on_state = on_state
        self._resolution = resolution
        self._closed = threading.Event()
        self._last_answer = time.monotonic()
        self._images: queue.SimpleQueue[CapturedImage | BaseException] = queue.SimpleQueue()
        capture, image = self._open()
        first = CapturedImage(clock(), image)
        self.size = (image.shape[1], image.shape[0])
        self._buffer = min(MOST_BUFFERED, max(2, BUFFER_BYTES // image.nbytes))
        self.frames_per_second = sampling.rate_of(frame_rate_of(capture, default_rate))
        self._thread = threading.Thread(target=self._run, args=(capture, first), name="live camera", daemon=True)

    def images(self, heartbeat: Heartbeat) -> Iterator[CapturedImage]:
        """Yield the sampled images as they come, until the service is to stop."""
        self._last_answer = time.monotonic()
        self._thread.start()
        while heartbeat.beat():
            try:
                image = self._images.get(timeout=0.5)
            except queue.Empty:
                if time.monotonic() - self._last_answer > HANG_SECONDS:
                    raise DriverHangs(f"{self._name} has not answered for {HANG_SECONDS:.0f} s") from None
                continue
            if isinstance(image, BaseException):
                raise image
            yield image

    def close(self) -> None:
        """Release the camera."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSING_SECONDS)

    def _run(self, capture: cv2.VideoCapture, first: CapturedImage) -> None:
        try:
            while True:
                if self._sampling.takes(time.monotonic()):
                    self._images.put(first)
                self._read(capture)
                capture.release()
                if self._closed.is_set():
                    return
                self._on_state(CameraState.RECONNECTING, f"{self._name} stopped sending")
                self._closed.wait(SHORTEST_PAUSE)
                pauses = {"shortest": SHORTEST_PAUSE, "longest": LONGEST_PAUSE}
                reopen = retrying(self._closed, CameraError, **pauses, before_pause=self._report_failure)
                capture, image = reopen(self._open)
                first = CapturedImage(clock(), image)
                self._on_state(CameraState.RUNNING, "")
        except BaseException as error:  # noqa: BLE001 - the loop raises it, and the service is restarted
            if not self._closed.is_set():
                self._images.put(error)

    def _read(self, capture: cv2.VideoCapture) -> None:
        """Read images until the camera stops sending."""
        while not self._closed.is_set() and capture.grab():
            self._last_answer = time.monotonic()
            captured_at = clock()
            if not self._sampling.takes(time.monotonic()):
                continue
            if self._images.qsize() >= self._buffer:
                self._images.put(CapturedImage(captured_at, problem="the camera is faster than this machine"))
                continue
            readable, image = capture.retrieve()
            if readable:
                self._images.put(CapturedImage(captured_at, np.asarray(image, np.uint8)))
            else:
                self._images.put(CapturedImage(captured_at, problem=f"{self._name} sent a broken image"))

    def _open(self) -> tuple[cv2.VideoCapture, Image]:
        """Return an open camera with its first image."""
        self._last_answer = time.monotonic()
        capture = open_capture(self._address, self._resolution)
        readable, image = capture.read()
        if not readable:
            capture.release()
            raise CameraError(f"{self._name} opens and sends no image: check whether another program uses it")
        return capture, np.asarray(image, np.uint8)

    def _report_failure(self, state: RetryCallState) -> None:
        reason = str(state.outcome.exception()) if state.outcome else ""
        self._on_state(CameraState.RECONNECTING, reason)
