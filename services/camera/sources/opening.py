"""Open the source in the settings."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from services.camera import REGION_PIXEL_LIMIT
from services.camera.errors import CameraError
from services.camera.heartbeat import Heartbeat
from services.camera.settings import CameraSettings, RegionOfInterest
from services.camera.sources.address import ADDRESS_STARTS, WEB_SCHEMES, checked_address, is_address, redacted
from services.camera.sources.captured_image import CapturedImage, Unreadable
from services.camera.sources.genicam_camera import SCHEME, is_genicam, name_of
from services.camera.sources.genicam_stream import GenicamStream
from services.camera.sources.http_camera import HttpAddress, MjpegStream, PolledImage
from services.camera.sources.image_folder import ImageFolder
from services.camera.sources.opencv_capture import Device
from services.camera.sources.opencv_stream import OpenCvStream
from services.camera.sources.reconnecting import LiveCamera
from services.camera.sources.sampling import Sampling
from services.camera.sources.stream import Stream
from services.camera.sources.video_file import Player, Video, VideoFile
from shared.imaging.codec import CONVERT, PIXEL_LIMIT, file_kind, is_kind_read
from shared.imaging.formats import is_readable
from shared.messages import CameraState

SEGMENT_SECONDS: Final = 30.0
"""Least seconds without an image before a camera with a playlist is opened again, because it sends whole segments."""
MOVING: Final = "GIF"
"""The kind of images that are played as a video."""

GENICAM_SETTINGS: Final = ("exposure_microseconds", "gain", "trigger", "pixel_format", "packet_size", "features")
"""Settings that only GenICam cameras have."""


class Source(Protocol):
    """A video, a folder of images, or a live camera."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the images in pixels; None if the first images can't be read."""
        ...

    @property
    def frames_per_second(self) -> float:
        """The rate of the images that remain after sampling."""
        ...

    @property
    def can_wait(self) -> bool:
        """Whether the source waits for a slower line. If it can't wait, frames may be dropped."""
        ...

    @property
    def is_live(self) -> bool:
        """Whether the source is a live camera, not a file."""
        ...

    def images(self, heartbeat: Heartbeat) -> Iterator[CapturedImage | Unreadable]:
        """Yield the sampled images, and all unreadable images, until the source ends or the service is to stop."""
        ...

    def close(self) -> None:
        """Release files and devices."""
        ...


def open_source(settings: CameraSettings, on_state: Callable[[CameraState, str], None]) -> Source:
    """Open the source in the settings, and read its first image.

    Args:
        settings: the settings of the camera.
        on_state: called with the new state and its reason, from any thread, when a live camera disconnects or is back.

    Raises:
        CameraError: the source does not exist or can't be read, or its images are smaller than the region of interest.
    """
    check_for_other_cameras(settings)
    sampling = Sampling(settings.every_nth, settings.most_per_second)
    source: Source
    camera: tuple[str, Callable[[], Stream]] | None
    if is_genicam(settings.source):
        camera = name_of(settings.source), partial(GenicamStream, settings)
    else:
        camera = live_camera(settings)
    if camera:
        source = LiveCamera(*camera, sampling, on_state, default_rate=settings.frames_per_second)
    else:
        video = open_video(settings)
        paced = settings.pace == "source" and not settings.is_triggered
        source = Player(video, sampling, paced=paced, loop=settings.at_end == "loop")
    if settings.roi and source.size:
        check_region(settings.roi, source.size)
    return source


def live_camera(settings: CameraSettings) -> tuple[str, Callable[[], Stream]] | None:
    """Return the name of a USB or network camera, and the function that connects to it; None if the source is a video.

    Raises:
        CameraError: the source is not a valid address, or its web server does not answer.
    """
    silence_seconds = settings.silence_seconds
    if device := device_of(settings.source, settings.kind):
        name = f"USB camera {device[0]}"
        return name, partial(
            OpenCvStream, device[0], name, silence_seconds=silence_seconds, resolution=settings.resolution
        )
    if not is_address(settings.source) or settings.kind == "video":
        return None
    address = checked_address(settings.source)
    name = redacted(address)
    if address.startswith(WEB_SCHEMES):
        web = HttpAddress(address, silence_seconds)
        kind = "image" if settings.kind == "image" else web.kind()
        if kind == "video" and settings.kind == "auto":
            return None
        if kind == "image":
            return name, partial(PolledImage, web, settings.frames_per_second)
        if kind == "mjpeg":
            return name, partial(MjpegStream, web)
        if kind == "playlist":
            silence_seconds = max(silence_seconds, SEGMENT_SECONDS)
    return name, partial(
        OpenCvStream, address, name, silence_seconds=silence_seconds, accept_repaired=settings.accept_repaired
    )


def device_of(source: str, kind: str = "auto") -> tuple[Device] | None:
    """Return the USB camera of a source in a tuple; None if the source is not the number or path of a device."""
    path = Path(source)
    try:
        if stat.S_ISCHR(path.stat().st_mode):
            return (path,)
        is_file = True
    except (OSError, ValueError):
        is_file = False
    if source.isdecimal() and (kind == "live" or not is_file):
        return (int(source),)
    return (path,) if source.startswith("/dev/") and not is_file else None


def open_video(settings: CameraSettings) -> Video:
    """Open a video file, a video on a web server, an image file, or a folder of images.

    Raises:
        CameraError: the source does not exist, or can't be read.
    """
    source, default_rate = settings.source, settings.frames_per_second
    if is_address(source):
        return VideoFile.of_address(checked_address(source), default_rate, accept_repaired=settings.accept_repaired)
    path = Path(source)
    pixel_limit = REGION_PIXEL_LIMIT if settings.roi else PIXEL_LIMIT
    if path.is_dir():
        return ImageFolder.of_folder(path, default_rate, pixel_limit)
    if not path.exists():
        raise CameraError(
            f"there is no {redacted(source)}: CAMERA_SOURCE is a video file, a folder of images, the index or the "
            f"device of a USB camera, {SCHEME} and the name of a GigE Vision or USB3 Vision camera, or an address that "
            f"starts with {ADDRESS_STARTS}"
        )
    if not path.is_file():
        raise CameraError(f"{path} is neither a file nor a folder: write the video to a file, and give that")
    kind = file_kind(path)
    if is_readable(path.name) or is_kind_read(kind):
        return ImageFolder([path], default_rate, pixel_limit)
    if kind not in ("", MOVING):
        raise CameraError(f"{path} is a file of kind {kind}, which can't be read: {CONVERT}")
    if zipfile.is_zipfile(path):
        raise CameraError(f"{path} is a zip: unpack it, and give the folder of its images or its video")
    return VideoFile.of_file(path, default_rate, accept_repaired=settings.accept_repaired)


def check_for_other_cameras(settings: CameraSettings) -> None:
    """Check that no setting is for another kind of camera.

    Raises:
        CameraError: a setting is for GenICam cameras only, and the source is another camera.
    """
    useless = [name for name in GENICAM_SETTINGS if getattr(settings, name) is not None]
    if useless and not is_genicam(settings.source):
        raise CameraError(
            f"CAMERA_{useless[0].upper()} is for GigE Vision and USB3 Vision cameras only (CAMERA_SOURCE={SCHEME}…): "
            "remove it"
        )


def check_region(region: RegionOfInterest, size: tuple[int, int]) -> None:
    """Check that a region lies within images of this width and height.

    Raises:
        CameraError: the region reaches beyond the images.
    """
    width, height = size
    if region.x + region.width > width or region.y + region.height > height:
        raise CameraError(
            f"CAMERA_ROI {','.join(map(str, region))} (x,y,width,height) reaches beyond the image, "
            f"which is {width} x {height}"
        )
