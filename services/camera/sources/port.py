"""Where images come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, Protocol
from urllib.parse import urlsplit

from services.camera.errors import CameraError
from services.camera.pacemaker import Pulse
from services.camera.settings import CameraSettings, Region
from services.camera.sources.live import LiveCamera
from services.camera.sources.opencv import is_address, shown
from services.camera.sources.sampling import Sampling
from services.camera.sources.shot import Shot
from services.camera.sources.video_file import ENCODINGS, ImageFolder, Player, Video, VideoFile
from shared.messages import CameraState

VIDEO_SUFFIXES: Final = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".mts", ".ts", ".webm"}


class Source(Protocol):
    """A video that is played, or a camera."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of its images in pixels; None when the first ones can't be read."""
        ...

    @property
    def frames_per_second(self) -> float:
        """After sampling."""
        ...

    @property
    def patient(self) -> bool:
        """Whether it waits for a line that is slower. Of one that does not, frames may have to be refused."""
        ...

    def shots(self, pulse: Pulse) -> Iterator[Shot]:
        """The images to make frames of, until the source ends or the service is to stop."""
        ...

    def close(self) -> None:
        """Let go of files and devices."""
        ...


def open_source(settings: CameraSettings, on_state: Callable[[CameraState, str], None]) -> Source:
    """The source that the settings name, with a first image seen.

    Args:
        settings: of the camera.
        on_state: told when a camera goes away and comes back, from any thread.

    Raises:
        CameraError: it is not there, can't be read, or is smaller than the region of interest.
    """
    sampling = Sampling(settings.every_nth, settings.most_per_second)
    source = _live(settings, sampling, on_state)
    if source is None:
        video = _video(settings)
        source = Player(video, sampling, paced=settings.pace == "source", loop=settings.at_end == "loop")
    if settings.roi and source.size:
        check_region(settings.roi, source.size)
    return source


def check_region(region: Region, size: tuple[int, int]) -> None:
    """Whether a region lies within images of a size.

    Raises:
        CameraError: it does not.
    """
    width, height = size
    if region.x + region.width > width or region.y + region.height > height:
        raise CameraError(
            f"CAMERA_ROI {','.join(map(str, region))} (x,y,width,height) reaches beyond the image, "
            f"which is {width} x {height}"
        )


def _live(settings: CameraSettings, sampling: Sampling, on_state: Callable[[CameraState, str], None]) -> Source | None:
    if settings.source.isdecimal():
        address: str | int = int(settings.source)
    elif is_address(settings.source) and not _has_an_end(settings.source):
        address = settings.source
    else:
        return None
    return LiveCamera(
        address, sampling, on_state, resolution=settings.resolution, speed_otherwise=settings.frames_per_second
    )


def _video(settings: CameraSettings) -> Video:
    if is_address(settings.source):
        return VideoFile.of_address(settings.source, settings.frames_per_second)
    path = Path(settings.source)
    if path.is_dir():
        return ImageFolder.of_folder(path, settings.frames_per_second)
    if not path.exists():
        raise CameraError(
            f"there is no {path}: CAMERA_SOURCE is a video file, a folder of images, the index of a USB camera, "
            "or an rtsp:// or http:// address"
        )
    if path.suffix.lower() in ENCODINGS:
        return ImageFolder([path], settings.frames_per_second)
    return VideoFile.of_file(path, settings.frames_per_second)


def _has_an_end(address: str) -> bool:
    """Whether an address is that of a video file on a web server, and not of a camera."""
    try:
        parts = urlsplit(address)
    except ValueError:
        raise CameraError(f"{shown(address)} can't be read as an address: write [ as %5B and ] as %5D in it") from None
    return parts.scheme.lower() in ("http", "https") and PurePosixPath(parts.path).suffix.lower() in VIDEO_SUFFIXES
