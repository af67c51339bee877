"""Receive the complete images of a GigE Vision or USB3 Vision camera, each with the time of its capture."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Final

from services.camera.errors import CameraError
from services.camera.settings import CameraSettings
from services.camera.sources.aravis import PACKET_SOCKET_DISABLED, STATUSES, SUCCESS, AravisError
from services.camera.sources.captured_image import MOST_SKEW, CapturedImage, Unreadable, time_of_image
from services.camera.sources.genicam_camera import SOFTWARE, GenicamCamera
from services.camera.sources.pixel_formats import WrongSize, pixel_format
from services.camera.sources.stream import Disconnected, Read

NETWORK_HINT: Final = "check the cable, the load of the network and CAMERA_PACKET_SIZE"
BUFFERS: Final = 8
"""Most images that Aravis receives while this process decodes one."""
BUFFER_BYTES: Final = 256 * 1024**2
"""Most bytes of these images together."""
POLL_SECONDS: Final = 0.5
TRIGGER_SECONDS: Final = 1.0
"""Seconds after which the camera is triggered again if a software trigger led to no image."""
MOST_MISSING: Final = 1_000
"""Most images that can be missing between two images; after a larger step of the numbers, the camera began anew."""
HIGHEST_SHORT_NUMBER: Final = 65_535
"""GigE Vision 1 numbers images from 1 to this number, then from 1 again."""


class CameraClock:
    """Converts time stamps of a camera into times of this machine.

    A camera's clock starts at an arbitrary moment. Each image arrives some time after its capture; the smallest
    difference between arrival and time stamp in the last minute is taken as the offset of the two clocks.
    """

    SECONDS: Final = 60.0
    """Seconds over which the smallest difference is searched."""
    LONGEST_STEP: Final = 1.0
    """Most seconds by which the difference changes between two images, unless one of the clocks was set."""

    def __init__(self) -> None:
        self._differences: deque[tuple[float, float]] = deque()

    def time_of(self, stamp: float, received: float) -> datetime:
        """Return when an image was captured.

        Args:
            stamp: seconds by the camera's clock; 0 if the camera has none.
            received: Unix time of this machine at which the first packet of the image arrived.
        """
        if not stamp or abs(stamp - received) < MOST_SKEW.total_seconds():
            return time_of_image(stamp or received)  # a camera whose clock is synchronised (PTP)
        difference = received - stamp
        if self._differences and abs(difference - self._differences[0][1]) > self.LONGEST_STEP:
            self._differences.clear()
        # differences rise from the first to the last: when the first is too old, the next is the smallest
        while self._differences and self._differences[-1][1] >= difference:
            self._differences.pop()
        self._differences.append((received, difference))
        while self._differences[0][0] < received - self.SECONDS:
            self._differences.popleft()
        return time_of_image(stamp + self._differences[0][1])


class ImageNumbers:
    """Counts lost images by gaps in the numbers that a camera gives its images."""

    def __init__(self) -> None:
        self._last: int | None = None

    def missing_before(self, number: int) -> int:
        """Return how many images are missing between the last image and the image with this number."""
        last, self._last = self._last, number
        step = 1 if last is None else number - last
        if step < 0 and last is not None and last <= HIGHEST_SHORT_NUMBER:
            step %= HIGHEST_SHORT_NUMBER
        return step - 1 if 1 <= step <= MOST_MISSING else 0


class GenicamStream:
    """One connection to a GigE Vision or USB3 Vision camera."""

    def __init__(self, settings: CameraSettings) -> None:
        """Open the camera and start it; raises `CameraError`."""
        self._camera = GenicamCamera(settings)
        self._aravis, self._name = self._camera.aravis, self._camera.name
        self._handle = 0
        self._numbers = ImageNumbers()
        self._clock = CameraClock()
        handle = self._camera.handle
        try:
            self._format_code = self._aravis.arv_camera_get_pixel_format(handle)
            self._format = pixel_format(self._aravis.arv_camera_get_pixel_format_as_string(handle).decode())
            waits = self._camera.waits_for_line
            self.size: tuple[int, int] | None = self._aravis.size(handle) if waits else None
            is_triggered = self._camera.trigger == SOFTWARE
            self.frames_per_second = settings.frames_per_second if is_triggered else self._camera.frames_per_second()
            self._pause = 1 / (self.frames_per_second or settings.frames_per_second)
            self._silence_seconds = max(settings.silence_seconds, 3 * self._pause)
            if self._camera.is_gige:
                device = self._aravis.arv_camera_get_device(handle)
                self._aravis.arv_gv_device_set_stream_options(device, PACKET_SOCKET_DISABLED)
            self._handle = self._aravis.arv_camera_create_stream(handle, None, None) or 0
            size = self._aravis.arv_camera_get_payload(handle)
            for _ in range(min(BUFFERS, max(3, BUFFER_BYTES // max(1, size)))):
                self._aravis.arv_stream_push_buffer(self._handle, self._aravis.arv_buffer_new_allocate(size))
            self._aravis.arv_camera_start_acquisition(handle)
        except AravisError as error:
            self.close()
            raise CameraError(f"{self._name} can't be started: {error}") from None
        except CameraError:
            self.close()
            raise

    def images(self) -> Iterator[Read | Unreadable | None]:
        last_image = due = time.monotonic()
        awaited_until = 0.0
        while True:
            now, wait = time.monotonic(), POLL_SECONDS
            if self._camera.trigger == SOFTWARE:
                if now >= max(due, awaited_until):
                    self._ask(self._aravis.arv_camera_software_trigger)
                    due, awaited_until = max(due + self._pause, now), now + TRIGGER_SECONDS
                wait = min(wait, max(due, awaited_until) - now)
            if buffer := self._aravis.arv_stream_timeout_pop_buffer(self._handle, max(1, int(wait * 1e6))):
                last_image, awaited_until = time.monotonic(), 0.0
                try:
                    yield from self._images_of(buffer)
                finally:
                    if self._handle:
                        self._aravis.arv_stream_push_buffer(self._handle, buffer)
                    else:  # closed meanwhile
                        self._aravis.g_object_unref(buffer)
                continue
            if self._camera.waits_for_line:
                self._ask(self._aravis.arv_camera_get_payload)
                if not self._camera.is_controlled:
                    raise Disconnected(f"{self._name} was restarted, or another program controls it")
            elif now - last_image >= self._silence_seconds:
                raise Disconnected(
                    f"{self._name} has sent no image for {self._silence_seconds:.3g} s: check its cable, the firewall "
                    "of this machine, and CAMERA_PACKET_SIZE"
                )
            yield None

    def close(self) -> None:
        if self._handle:
            with suppress(AravisError):  # the camera may be disconnected
                self._aravis.arv_camera_stop_acquisition(self._camera.handle)
            self._aravis.g_object_unref(self._handle)
        self._handle = 0
        self._camera.close()

    def _images_of(self, buffer: int) -> Iterator[Read | Unreadable]:
        """Yield an `Unreadable` for each missing image, and then the image of a buffer."""
        for _ in range(self._numbers.missing_before(self._aravis.arv_buffer_get_frame_id(buffer))):
            yield Unreadable(f"an image of {self._name} was lost on its way: {NETWORK_HINT}")
        status = self._aravis.arv_buffer_get_status(buffer)
        if status != SUCCESS:
            yield Unreadable(f"an image of {self._name} {STATUSES.get(status, 'is incomplete')}: {NETWORK_HINT}")
        elif self._aravis.arv_buffer_get_image_pixel_format(buffer) != self._format_code:
            yield Unreadable(f"{self._name} sent an image in another pixel format")
        else:
            yield partial(self._read, buffer)

    def _read(self, buffer: int) -> CapturedImage | Unreadable:
        library = self._aravis
        received = library.arv_buffer_get_system_timestamp(buffer) / 1e9
        read_at = time.monotonic() - max(0.0, time.time() - received)  # the buffer may have waited for this thread
        captured_at = self._clock.time_of(library.arv_buffer_get_timestamp(buffer) / 1e9, received)
        width, height = library.arv_buffer_get_image_width(buffer), library.arv_buffer_get_image_height(buffer)
        try:
            pixels = self._format.image(library.content(buffer), width, height)
        except WrongSize as error:
            return Unreadable(f"{self._name} sent a broken image: {error}")
        return CapturedImage(captured_at, pixels, read_at=read_at)

    def _ask(self, function: Callable[[int], object]) -> None:
        """Call a function of the camera; raises `Disconnected` if it does not answer."""
        try:
            function(self._camera.handle)
        except AravisError:
            raise Disconnected(f"{self._name} does not answer any more: check its power and its cable") from None
