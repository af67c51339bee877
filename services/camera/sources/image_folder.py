"""Read a folder of image files as a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal

import structlog

from services.camera.errors import CameraError
from services.camera.sources.captured_image import CapturedImage, EncodedImage, Unreadable, clock
from shared.imaging.codec import (
    PIXEL_LIMIT,
    UnreadableImage,
    as_jpeg_or_png,
    decode,
    file_kind,
    is_kind_read,
    is_png,
)
from shared.imaging.formats import is_hidden, is_other_image, is_readable, is_video, readable_name
from shared.imaging.video import natural_order

FILE_LIMIT: Final = 256 * 1024**2
"""Most bytes of an image file that is read."""
SIZE_ATTEMPTS: Final = 10
"""Most files that are read to find the size of the images."""
SHOWN: Final = 5
"""Most folders or files that an error or a line of the log names."""

log = structlog.get_logger(__name__)


class ImageFolder:
    """Image files in natural order: 2 before 10."""

    def __init__(self, paths: Sequence[Path], frames_per_second: float, pixel_limit: int = PIXEL_LIMIT) -> None:
        self._paths = paths
        self._pixel_limit = pixel_limit
        self.frames_per_second = frames_per_second
        self.size = None
        for path in paths[:SIZE_ATTEMPTS]:
            image = read_file(path, pixel_limit)
            if isinstance(image, CapturedImage) and image.pixels is not None:
                self.size = (image.pixels.shape[1], image.pixels.shape[0])
                break

    @classmethod
    def of_folder(cls, folder: Path, frames_per_second: float, pixel_limit: int = PIXEL_LIMIT) -> ImageFolder:
        """Read the images of a folder, without its subfolders.

        Raises:
            CameraError: the folder has no image.
        """
        try:
            files = [path for path in folder.iterdir() if path.is_file() and not is_hidden(path.name)]
        except OSError as error:
            raise CameraError(f"{folder} can't be read: {error.strerror}") from error
        images = [path for path in files if is_image(path)]
        images.sort(key=lambda path: (natural_order(path.stem), path.name))
        others = [path for path in files if is_other_image(path.name)]
        videos = sorted(readable_name(path.name) for path in files if is_video(path.name))
        below = (path for path in folder.glob("*/*") if is_readable(path.name) and not is_hidden(path.parent.name))
        folders = sorted({readable_name(path.parent.name) for path in below})
        if not images:
            hint = ""
            if others:
                hint = f"; its {len(others)} other images would have to be converted"
            elif folders:
                hint = f"; its folders {', '.join(folders[:SHOWN])} have some: give one of them as the source"
            elif videos:
                hint = f"; its videos are {', '.join(videos[:SHOWN])}: give one of them as the source"
            raise CameraError(f"{folder} has no image that can be read, such as .jpg, .png, .bmp, .tif or .webp{hint}")
        if others:
            kinds = ", ".join(sorted({path.suffix.lower() for path in others}))
            log.warning(
                "skipping images of kinds that can't be read", folder=str(folder), images=len(others), kinds=kinds
            )
        if folders:
            log.warning("skipping folders with images", folder=str(folder), skipped=folders[:SHOWN], count=len(folders))
        if rest := sorted(readable_name(path.name) for path in {*files} - {*images, *others}):
            log.info("skipping files that are no images", folder=str(folder), files=len(rest), such_as=rest[:SHOWN])
        return cls(images, frames_per_second, pixel_limit)

    def images(self) -> Iterator[tuple[float, Callable[[], CapturedImage | Unreadable]]]:
        for position, path in enumerate(self._paths):
            yield position / self.frames_per_second, partial(read_file, path, self._pixel_limit)


def is_image(path: Path) -> bool:
    """Return whether a file is an image that can be read, by the ending of its name, or by its bytes if it has none."""
    return is_readable(path.name) or (not path.suffix and is_kind_read(file_kind(path)))


def read_file(path: Path, pixel_limit: int = PIXEL_LIMIT) -> CapturedImage | Unreadable:
    """Read an image file; if it can't be decoded, the image has no pixels."""
    captured_at, name = clock(), readable_name(path.name)
    content, pixels, problem = b"", None, ""
    try:
        if (size := path.stat().st_size) > FILE_LIMIT:
            return Unreadable(f"{name} has {size / 1e6:.0f} MB; the limit is {FILE_LIMIT / 1e6:.0f}")
        content = path.read_bytes()
        content = as_jpeg_or_png(content, pixel_limit)
        pixels = decode(content, pixel_limit)
    except OSError as error:
        return Unreadable(f"{name} can't be read: {error.strerror}")
    except UnreadableImage as error:
        problem = f"{name}: {error}"
    encoding: Literal["jpeg", "png"] = "png" if is_png(content) else "jpeg"
    return CapturedImage(captured_at, pixels, EncodedImage(content, encoding), problem)
