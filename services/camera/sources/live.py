"""Cameras that do not wait: USB and network."""

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
from services.camera.pacemaker import Pulse
from services.camera.settings import Resolution
from services.camera.sources.opencv import open_capture, shown, speed_of
from services.camera.sources.sampling import Sampling
from services.camera.sources.shot import Shot, clock
from shared.imaging.codec import Image
from shared.messages import CameraState
from shared.retry import retrying

BUFFER_BYTES: Final = 128 * 1024**2
MOST_BUFFERED: Final = 64
"""Images between the camera and the disk, for slow moments. One that finds no room is refused, and counted."""
SHORTEST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 15.0
"""Seconds between two tries to open a camera that went away."""
CLOSING_SECONDS: Final = 10.0
HANG_SECONDS: Final = 60.0
"""A driver that gives back neither an image nor a failure for so long hangs: opening and reading have limits."""

log = structlog.get_logger(__name__)


class DriverHangs(Exception):
    """The thread that reads the camera stands; only a new process helps."""


class LiveCamera:
    """A camera, read by a thread of its own at the camera's speed, and opened again whenever it goes away."""

    patient = False

    def __init__(
        self,
        address: str | int,
        sampling: Sampling,
        on_state: Callable[[CameraState, str], None],
        *,
        resolution: Resolution | None = None,
        speed_otherwise: float = 25,
    ) -> None:
        self._address = address
        self._name = f"USB camera {address}" if isinstance(address, int) else shown(address)
        self._sampling = sampling
        self._on_state = on_state
        self._resolution = resolution
        self._closed = threading.Event()
        self._turned_at = time.monotonic()
        self._shots: queue.SimpleQueue[Shot | BaseException] = queue.SimpleQueue()
        capture, image = self._open()
        first = Shot(clock(), image)
        self.size = (image.shape[1], image.shape[0])
        self._buffer = min(MOST_BUFFERED, max(2, BUFFER_BYTES // image.nbytes))
        self.frames_per_second = sampling.rate_of(speed_of(capture, speed_otherwise))
        self._thread = threading.Thread(target=self._video, args=(capture, first), name="live camera", daemon=True)

    def shots(self, pulse: Pulse) -> Iterator[Shot]:
        """The images that sampling takes, as they come, until the service is to stop."""
        self._turned_at = time.monotonic()
        self._thread.start()
        while pulse.beat():
            try:
                shot = self._shots.get(timeout=0.5)
            except queue.Empty:
                if time.monotonic() - self._turned_at > HANG_SECONDS:
                    raise DriverHangs(f"{self._name} has not answered for {HANG_SECONDS:.0f} s") from None
                continue
            if isinstance(shot, BaseException):
                raise shot
            yield shot

    def close(self) -> None:
        """Let the camera go."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSING_SECONDS)

    def _video(self, capture: cv2.VideoCapture, first: Shot) -> None:
        try:
            while True:
                if self._sampling.takes(time.monotonic()):
                    self._shots.put(first)
                self._read(capture)
                capture.release()
                if self._closed.is_set():
                    return
                self._on_state(CameraState.RECONNECTING, f"{self._name} stopped sending")
                capture, image = self._opened_again()
                first = Shot(clock(), image)
                self._on_state(CameraState.RUNNING, "")
        except BaseException as error:  # noqa: BLE001 - the loop raises it, and the service starts anew
            if not self._closed.is_set():
                self._shots.put(error)

    def _read(self, capture: cv2.VideoCapture) -> None:
        """Until the camera stops sending."""
        while not self._closed.is_set() and capture.grab():
            self._turned_at = time.monotonic()
            taken_at = clock()
            if not self._sampling.takes(time.monotonic()):
                continue
            if self._shots.qsize() >= self._buffer:
                self._shots.put(Shot(taken_at, problem="the camera is faster than this machine"))
                continue
            readable, image = capture.retrieve()
            if readable:
                self._shots.put(Shot(taken_at, np.asarray(image, np.uint8)))
            else:
                self._shots.put(Shot(taken_at, problem=f"{self._name} sent a broken image"))

    def _open(self) -> tuple[cv2.VideoCapture, Image]:
        """An open camera, and the image that proves it."""
        self._turned_at = time.monotonic()
        capture = open_capture(self._address, self._resolution)
        readable, image = capture.read()
        if not readable:
            capture.release()
            raise CameraError(f"{self._name} opens and sends no image: see whether something else is using it")
        return capture, np.asarray(image, np.uint8)

    def _opened_again(self) -> tuple[cv2.VideoCapture, Image]:
        self._closed.wait(SHORTEST_PAUSE)
        pauses = {"shortest": SHORTEST_PAUSE, "longest": LONGEST_PAUSE}
        return retrying(self._closed, CameraError, **pauses, before_pause=self._tell)(self._open)

    def _tell(self, state: RetryCallState) -> None:
        reason = str(state.outcome.exception()) if state.outcome else ""
        self._on_state(CameraState.RECONNECTING, reason)
