"""Open the source that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, Protocol
from urllib.parse import urlsplit

from services.camera.errors import CameraError
from services.camera.heartbeat import Heartbeat
from services.camera.settings import CameraSettings, Region
from services.camera.sources.captured_image import CapturedImage
from services.camera.sources.image_folder import ENCODINGS, ImageFolder
from services.camera.sources.opencv_camera import LiveCamera
from services.camera.sources.opencv_capture import is_address, redacted
from services.camera.sources.sampling import Sampling
from services.camera.sources.video_file import Player, Video, VideoFile
from shared.messages import CameraState

VIDEO_SUFFIXES: Final = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".mts", ".ts", ".webm"}


class Source(Protocol):
    """A video that is played, or a live camera."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Return width and height of its images in pixels; None when the first images can't be read."""
        ...

    @property
    def frames_per_second(self) -> float:
        """Return the rate after sampling."""
        ...

    @property
    def can_wait(self) -> bool:
        """Return whether it waits for a slower line. Frames of a source that can't wait may have to be dropped."""
        ...

    def images(self, heartbeat: Heartbeat) -> Iterator[CapturedImage]:
        """Yield the sampled images, until the source ends or the service is to stop."""
        ...

    def close(self) -> None:
        """Release files and devices."""
        ...


def open_source(settings: CameraSettings, on_state: Callable[[CameraState, str], None]) -> Source:
    """Open the source that the settings name, and read its first image.

    Args:
        settings: of the camera.
        on_state: called, from any thread, when a camera disconnects and when it is back.

    Raises:
        CameraError: the source does not exist, can't be read, or is smaller than the region of interest.
    """
    sampling = Sampling(settings.every_nth, settings.most_per_second)
    source: Source
    if settings.source.isdecimal() or (is_address(settings.source) and not _is_video_address(settings.source)):
        source = LiveCamera(
            int(settings.source) if settings.source.isdecimal() else settings.source,
            sampling,
            on_state,
            resolution=settings.resolution,
            default_rate=settings.frames_per_second,
        )
    else:
        video = open_video(settings.source, settings.frames_per_second)
        source = Player(video, sampling, paced=settings.pace == "source", loop=settings.at_end == "loop")
    if settings.roi and source.size:
        check_region(settings.roi, source.size)
    return source


def open_video(source: str, default_rate: float) -> Video:
    """Open a video file, a video on a web server, an image file, or a folder of images.

    Raises:
        CameraError: it does not exist, or can't be read.
    """
    if is_address(source):
        return VideoFile.of_address(source, default_rate)
    path = Path(source)
    if path.is_dir():
        return ImageFolder.of_folder(path, default_rate)
    if not path.exists():
        raise CameraError(
            f"there is no {path}: CAMERA_SOURCE is a video file, a folder of images, the index of a USB camera, "
            "or an rtsp:// or http:// address"
        )
    if path.suffix.lower() in ENCODINGS:
        return ImageFolder([path], default_rate)
    return VideoFile.of_file(path, default_rate)


def check_region(region: Region, size: tuple[int, int]) -> None:
    """Check that a region lies within images of a size.

    Raises:
        CameraError: it does not.
    """
    width, height = size
    if region.x + region.width > width or region.y + region.height > height:
        raise CameraError(
            f"CAMERA_ROI {','.join(map(str, region))} (x,y,width,height) reaches beyond the image, "
            f"which is {width} x {height}"
        )


def _is_video_address(address: str) -> bool:
    """Return whether an address names a video file on a web server rather than a camera."""
    try:
        parts = urlsplit(address)
    except ValueError:
        raise CameraError(
            f"{redacted(address)} can't be read as an address: write [ as %5B and ] as %5D in it"
        ) from None
    return parts.scheme.lower() in ("http", "https") and PurePosixPath(parts.path).suffix.lower() in VIDEO_SUFFIXES
