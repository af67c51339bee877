"""Read a folder of image files as a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal

import structlog

from services.camera.errors import CameraError
from services.camera.sources.captured_image import CapturedImage, ImageFile, clock
from shared.imaging.codec import UnreadableImage, decode
from shared.imaging.video import natural_order

ENCODINGS: Final[dict[str, Literal["jpeg", "png"]]] = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}
OTHER_IMAGES: Final = {".bmp", ".gif", ".tif", ".tiff", ".webp"}
FILE_LIMIT: Final = 256 * 1024**2
"""Bytes of the largest image file that is read."""
SIZE_ATTEMPTS: Final = 10
"""Files that are tried to find the size of the images."""

log = structlog.get_logger(__name__)


class ImageFolder:
    """JPEG and PNG files in natural order: 2 before 10."""

    def __init__(self, paths: Sequence[Path], frames_per_second: float) -> None:
        self._paths = paths
        self.frames_per_second = frames_per_second
        readable = (pixels for path in paths[:SIZE_ATTEMPTS] if (pixels := read_file(path).pixels) is not None)
        first = next(readable, None)
        self.size = None if first is None else (first.shape[1], first.shape[0])

    @classmethod
    def of_folder(cls, folder: Path, frames_per_second: float) -> ImageFolder:
        """Read the images of a folder, without its subfolders.

        Raises:
            CameraError: the folder has no image.
        """
        try:
            files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
        except OSError as error:
            raise CameraError(f"{folder} can't be read: {error.strerror}") from error
        images = [path for path in files if path.suffix.lower() in ENCODINGS]
        images.sort(key=lambda path: (natural_order(path.stem), path.name))
        others = sum(path.suffix.lower() in OTHER_IMAGES for path in files)
        if not images:
            hint = f"; its {others} other images would have to be converted" if others else ""
            raise CameraError(f"{folder} has no .jpg, .jpeg or .png in it{hint}")
        if others:
            log.warning("skipping images that are neither JPEG nor PNG", folder=str(folder), images=others)
        return cls(images, frames_per_second)

    def images(self) -> Iterator[tuple[float, Callable[[], CapturedImage]]]:
        for position, path in enumerate(self._paths):
            yield position / self.frames_per_second, partial(read_file, path)


def read_file(path: Path) -> CapturedImage:
    """Read an image file; without pixels if it can't be decoded, without a file if it can't be read."""
    captured_at = clock()
    encoding = ENCODINGS[path.suffix.lower()]
    content, pixels, problem = b"", None, ""
    try:
        if (size := path.stat().st_size) > FILE_LIMIT:
            problem = f"{path.name} has {size / 1e6:.0f} MB; the limit is {FILE_LIMIT / 1e6:.0f}"
            return CapturedImage(captured_at, problem=problem)
        content = path.read_bytes()
        encoding = "png" if content.startswith(b"\x89PNG") else "jpeg" if content.startswith(b"\xff\xd8") else encoding
        pixels = decode(content)
    except OSError as error:
        problem = f"{path.name} can't be read: {error.strerror}"
    except UnreadableImage as error:
        problem = f"{path.name}: {error}"
    return CapturedImage(captured_at, pixels, ImageFile(content, encoding), problem)
