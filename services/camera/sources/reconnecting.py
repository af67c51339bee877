"""Read a live camera at its own rate, and connect to it again after a failure."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from tenacity import RetryCallState

from services.camera.errors import CameraError
from services.camera.heartbeat import Heartbeat
from services.camera.sources.captured_image import CapturedImage, Unreadable, clock
from services.camera.sources.sampling import Sampling
from services.camera.sources.stream import Disconnected, Read, Stream
from shared.messages import CameraState
from shared.retry import retrying

BUFFER_BYTES: Final = 128 * 1024**2
"""Most bytes of images that wait between the camera and the outbox."""
MOST_BUFFERED: Final = 64
"""Most images that wait between the camera and the outbox. Further images are dropped and counted."""
SHORTEST_PAUSE_SECONDS: Final = 0.5
"""Seconds before a disconnected camera is opened again."""
LONGEST_PAUSE_SECONDS: Final = 15.0
"""Most seconds between two attempts to open it."""
CLOSING_SECONDS: Final = 10.0
"""Most seconds that `close` waits for the thread."""
HANG_SECONDS: Final = 60.0
"""A driver that returns neither an image nor an error for this long counts as hung. A working driver answers earlier,
because opening and reading have time limits."""
MOST_UNREADABLE_AT_OPEN: Final = 250
"""A camera that sends this many unreadable images after it was opened counts as failed."""


class DriverHung(Exception):
    """The driver does not return from a call; only a restart of the process helps."""


class LiveCamera:
    """Reads a camera in a thread, and opens the camera again after it disconnects."""

    can_wait = False
    is_live = True

    def __init__(
        self,
        name: str,
        connect: Callable[[], Stream],
        sampling: Sampling,
        on_state: Callable[[CameraState, str], None],
        *,
        default_rate: float = 25,
    ) -> None:
        """Open the camera. ``connect`` opens it, and raises `CameraError` if that fails."""
        self._name = name
        self._connect = connect
        self._sampling = sampling
        self._on_state = on_state
        self._closed = threading.Event()
        self._last_answer = time.monotonic()
        self._images: queue.SimpleQueue[CapturedImage | Unreadable | BaseException] = queue.SimpleQueue()
        stream, images, first = self._open()
        if first and first.pixels is not None:
            self.size = (first.pixels.shape[1], first.pixels.shape[0])
        else:
            assert stream.size  # noqa: S101  `_open` has read an image, or did not need one
            self.size = stream.size
        self._most_buffered = min(MOST_BUFFERED, max(2, BUFFER_BYTES // (3 * self.size[0] * self.size[1])))
        rate = stream.frames_per_second or default_rate
        self.frames_per_second = sampling.rate_of(rate)
        self._hang_seconds = max(HANG_SECONDS, 3 / rate)  # a slow camera may need three intervals
        self._thread = threading.Thread(target=self._run, args=(stream, images, first), name="live camera", daemon=True)

    def images(self, heartbeat: Heartbeat) -> Iterator[CapturedImage | Unreadable]:
        """Yield the sampled and the unreadable images as they arrive, until the service is to stop."""
        self._last_answer = time.monotonic()
        self._thread.start()
        while heartbeat.beat():
            try:
                image = self._images.get(timeout=0.5)
            except queue.Empty:
                if time.monotonic() - self._last_answer > self._hang_seconds:
                    raise DriverHung(f"{self._name} has not answered for {self._hang_seconds:.0f} s") from None
                continue
            if isinstance(image, BaseException):
                raise image
            yield image

    def close(self) -> None:
        """Release the camera."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSING_SECONDS)

    def _run(self, stream: Stream, images: Iterator[Read | Unreadable | None], first: CapturedImage | None) -> None:
        try:
            while True:
                if first and self._sampling.takes(time.monotonic()):
                    self._images.put(first)
                reason = self._read(images)
                stream.close()
                if self._closed.is_set():
                    return
                self._on_state(CameraState.RECONNECTING, reason)
                self._closed.wait(SHORTEST_PAUSE_SECONDS)
                reopen = retrying(
                    self._closed,
                    CameraError,
                    shortest=SHORTEST_PAUSE_SECONDS,
                    longest=LONGEST_PAUSE_SECONDS,
                    before_pause=self._report_failure,
                )
                stream, images, first = reopen(self._open)
                self._on_state(CameraState.RUNNING, "")
        except BaseException as error:  # noqa: BLE001  `images` raises it in the capture loop, which ends the service
            if not self._closed.is_set():
                self._images.put(error)

    def _read(self, images: Iterator[Read | Unreadable | None]) -> str:
        """Read images until the camera stops sending, and return the reason."""
        try:
            for image in images:
                self._last_answer = time.monotonic()
                if self._closed.is_set():
                    break
                if image is None:
                    continue
                if isinstance(image, Unreadable):
                    self._images.put(image)
                elif not self._sampling.takes(time.monotonic()):
                    continue
                elif self._images.qsize() >= self._most_buffered:
                    self._images.put(
                        CapturedImage(
                            clock(), problem="the buffer of the camera is full: this machine is too slow for it"
                        )
                    )
                else:
                    read = image()
                    if isinstance(read, CapturedImage):
                        # decoding takes time, in which a trigger for the next image may come
                        read = replace(read, read_at=min(self._last_answer, read.read_at))
                    self._images.put(read)
        except Disconnected as error:
            return str(error)
        return f"{self._name} stopped sending"

    def _open(self) -> tuple[Stream, Iterator[Read | Unreadable | None], CapturedImage | None]:
        """Return an open camera, its next images, and its first readable image (None if it waits for triggers)."""
        self._last_answer = time.monotonic()
        stream = self._connect()
        images = stream.images()
        if stream.size:
            return stream, images, None
        reason = "check whether another program uses it"
        try:
            for each in islice(images, MOST_UNREADABLE_AT_OPEN):
                if each is None:
                    continue
                image = each if isinstance(each, Unreadable) else each()
                if isinstance(image, CapturedImage):
                    return stream, images, image
                self._images.put(image)
                reason = image.reason
        except Disconnected as error:
            reason = str(error)
        stream.close()
        raise CameraError(f"{self._name} was opened, but sent no readable image: {reason}")

    def _report_failure(self, state: RetryCallState) -> None:
        reason = str(state.outcome.exception()) if state.outcome else ""
        self._on_state(CameraState.RECONNECTING, reason)
