"""Looking through a video before it is taken in: what kind it is, and where each of its images is."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

import cv2

from services.dashboard.labelling.videos.reader import UnreadableVideo, opened
from shared.imaging.codec import UnreadableImage, decode, size_of

MOST_IMAGES: Final = 100_000
MOST_PIXELS: Final = 250_000_000_000
"""Of all images of a video: 100,000 of 2.5 megapixels."""
VIDEO_PIXELS: Final = 17_000_000
"""Of an image of a video: its decoder keeps up to sixteen of them."""
IMAGE_BYTES: Final = 64 * 1024**2
"""The largest image in an archive, unpacked."""
ARCHIVE_BYTES: Final = 4 * 1024**3
"""All images of an archive, unpacked."""
SHOWN: Final = 5
"""Broken images that an error names."""
FASTEST: Final = 1_000.0
"""Frames per second; a file that claims more does not know its speed."""
USUAL: Final = 25.0
"""Frames per second of a file that does not know its own."""
WHOLE: Final = 0.9
"""Of the announced time; less of it, and the end of the video is missing."""
NAME_LENGTH: Final = 1_000
"""Characters of the longest name of an image in an archive."""
PACKED: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""Ways to pack of which a part can be unpacked: of the others, `zipfile` unpacks all that is there into memory."""
NO_ARCHIVE: Final = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, UnicodeError,
)  # fmt: skip
"""What a broken or strange archive raises."""
IMAGE_SUFFIXES: Final = {".jpg", ".jpeg", ".png"}

Kind = Literal["video", "album"]


@dataclass(frozen=True)
class Content:
    """What is in a video."""

    kind: Kind
    width: int
    height: int
    frames_per_second: float
    times: tuple[float, ...] = ()
    """Of a video: of each image, in milliseconds."""
    names: tuple[str, ...] = ()
    """Of an album: of each image."""

    @property
    def frames(self) -> int:
        """How many images there are."""
        return len(self.times) or len(self.names)


def look_through(path: Path) -> Content:
    """Read a video from beginning to end.

    What a file is, its first bytes say, never its name: FFmpeg also opens lists that lead to other files.

    Raises:
        UnreadableVideo: it is none that can be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _look_through_album(path)
    if head[4:8] == b"ftyp" or (head[:4] == b"RIFF" and head[8:] == b"AVI ") or head.startswith(b"\x1a\x45\xdf\xa3"):
        return _look_through_video(path)
    raise UnreadableVideo(
        "neither a video (mp4, mov, avi, mkv, webm), nor a zip of images, nor JPEG or PNG images: "
        "convert a video with `ffmpeg -i FILE video.mp4`"
    )


def pack(images: Sequence[tuple[str, Path]], into: Path) -> None:
    """Make one archive of several images, by their names: of the same images the same file, whenever that is."""
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
        for name, path in images:
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())


def natural_order(name: str) -> tuple[list[str | int], str]:
    """Sorts names as a person would number them: 2 before 10."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if position % 2 else part for position, part in enumerate(parts)], name


def _look_through_video(path: Path) -> Content:
    times: list[float] = []
    with opened(path) as capture:
        width, height = (int(capture.get(prop)) for prop in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > VIDEO_PIXELS:
            raise UnreadableVideo(f"its images have {width} x {height} pixels: scale it down")
        speed = float(capture.get(cv2.CAP_PROP_FPS))
        announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        while capture.grab():
            times.append(float(capture.get(cv2.CAP_PROP_POS_MSEC)))
            _check_length(len(times), width * height)
    if not times:
        raise UnreadableVideo("it has no image that can be read: convert it with `ffmpeg -i FILE video.mp4`")
    if not 0 < speed <= FASTEST:
        return Content("video", width, height, USUAL, times=tuple(times))
    seconds, announced_seconds = times[-1] / 1000 + 1 / speed, announced / speed
    if seconds < WHOLE * announced_seconds:
        raise UnreadableVideo(
            f"it breaks off after {seconds:.1f} of {announced_seconds:.1f} s: upload it again, or repair it"
        )
    return Content("video", width, height, speed, times=tuple(times))


def _check_length(images: int, pixels: int) -> None:
    if images > MOST_IMAGES:
        raise UnreadableVideo(f"it has more than {MOST_IMAGES:,} images: cut it into several videos")
    if images * pixels > MOST_PIXELS:
        raise UnreadableVideo(
            f"its images have more than {MOST_PIXELS / 1e9:.0f} gigapixels together: scale it down, or cut it"
        )


def _look_through_album(path: Path) -> Content:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if _is_image(entry.filename)]
            _check_entries(entries)
            broken = [f"{entry.filename}: {why}" for entry in entries if (why := _what_is_wrong(archive, entry))]
            if broken:
                more = f" and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
                raise UnreadableVideo(f"{'; '.join(broken[:SHOWN])}{more}: leave them out, or repair them")
            names = sorted((entry.filename for entry in entries), key=natural_order)
            width, height = size_of(archive.read(names[0]))
    except NO_ARCHIVE as error:
        raise UnreadableVideo(f"a zip that can't be unpacked ({error}): pack it again, without a password") from error
    return Content("album", width, height, 1.0, names=tuple(names))


def _check_entries(entries: Sequence[zipfile.ZipInfo]) -> None:
    if not entries:
        raise UnreadableVideo("there is no .jpg, .jpeg or .png in the zip: put images into it")
    if len(entries) > MOST_IMAGES:
        raise UnreadableVideo(f"it has more than {MOST_IMAGES:,} images: make several of it")
    if any(len(entry.filename) > NAME_LENGTH for entry in entries):
        raise UnreadableVideo(f"it has an image whose name is longer than {NAME_LENGTH:,} characters: rename it")
    if not all(entry.compress_type in PACKED for entry in entries):
        raise UnreadableVideo("its images are packed in an unusual way: pack it again with deflate, or without")
    if sum(entry.file_size for entry in entries) > ARCHIVE_BYTES:
        raise UnreadableVideo(f"its images are more than {ARCHIVE_BYTES >> 30} GiB: make several of it")


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and "__MACOSX" not in path.parts


def _what_is_wrong(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    """Why an image can't be used; empty when it can."""
    if entry.file_size > IMAGE_BYTES:
        return f"{entry.file_size / 1e6:.0f} MB"
    try:
        with archive.open(entry) as file:
            decode(file.read(IMAGE_BYTES + 1))
    except UnreadableImage as error:
        return str(error)
    return ""
