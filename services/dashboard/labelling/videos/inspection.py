"""Looking through a film before it is taken in: what kind it is, and where each of its pictures is."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

import cv2

from services.dashboard.labelling.videos.reader import UnreadableFilm, opened
from shared.imaging.codec import UnreadablePicture, decode, size_of

MOST_PICTURES: Final = 100_000
MOST_PIXELS: Final = 250_000_000_000
"""Of all pictures of a video: 100,000 of 2.5 megapixels."""
VIDEO_PIXELS: Final = 17_000_000
"""Of a picture of a video: its decoder keeps up to sixteen of them."""
PICTURE_BYTES: Final = 64 * 1024**2
"""The largest picture in an archive, unpacked."""
ARCHIVE_BYTES: Final = 4 * 1024**3
"""All pictures of an archive, unpacked."""
SHOWN: Final = 5
"""Broken pictures that an error names."""
FASTEST: Final = 1_000.0
"""Frames per second; a file that claims more does not know its speed."""
USUAL: Final = 25.0
"""Frames per second of a file that does not know its own."""
WHOLE: Final = 0.9
"""Of the announced time; less of it, and the end of the film is missing."""
NAME_LENGTH: Final = 1_000
"""Characters of the longest name of a picture in an archive."""
PACKED: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""Ways to pack of which a part can be unpacked: of the others, `zipfile` unpacks all that is there into memory."""
NO_ARCHIVE: Final = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, UnicodeError,
)  # fmt: skip
"""What a broken or strange archive raises."""
PICTURE_SUFFIXES: Final = {".jpg", ".jpeg", ".png"}

Kind = Literal["video", "album"]


@dataclass(frozen=True)
class Content:
    """What is in a film."""

    kind: Kind
    width: int
    height: int
    frames_per_second: float
    times: tuple[float, ...] = ()
    """Of a video: of each picture, in milliseconds."""
    names: tuple[str, ...] = ()
    """Of an album: of each picture."""

    @property
    def frames(self) -> int:
        """How many pictures there are."""
        return len(self.times) or len(self.names)


def look_through(path: Path) -> Content:
    """Read a film from beginning to end.

    What a file is, its first bytes say, never its name: FFmpeg also opens lists that lead to other files.

    Raises:
        UnreadableFilm: it is none that can be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _look_through_album(path)
    if head[4:8] == b"ftyp" or (head[:4] == b"RIFF" and head[8:] == b"AVI ") or head.startswith(b"\x1a\x45\xdf\xa3"):
        return _look_through_video(path)
    raise UnreadableFilm(
        "neither a video (mp4, mov, avi, mkv, webm), nor a zip of pictures, nor JPEG or PNG pictures: "
        "convert a video with `ffmpeg -i FILE film.mp4`"
    )


def pack(pictures: Sequence[tuple[str, Path]], into: Path) -> None:
    """Make one archive of several pictures, by their names: of the same pictures the same file, whenever that is."""
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
        for name, path in pictures:
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
            raise UnreadableFilm(f"its pictures have {width} x {height} pixels: scale it down")
        speed = float(capture.get(cv2.CAP_PROP_FPS))
        announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        while capture.grab():
            times.append(float(capture.get(cv2.CAP_PROP_POS_MSEC)))
            _check_length(len(times), width * height)
    if not times:
        raise UnreadableFilm("it has no picture that can be read: convert it with `ffmpeg -i FILE film.mp4`")
    if not 0 < speed <= FASTEST:
        return Content("video", width, height, USUAL, times=tuple(times))
    seconds, announced_seconds = times[-1] / 1000 + 1 / speed, announced / speed
    if seconds < WHOLE * announced_seconds:
        raise UnreadableFilm(
            f"it breaks off after {seconds:.1f} of {announced_seconds:.1f} s: upload it again, or repair it"
        )
    return Content("video", width, height, speed, times=tuple(times))


def _check_length(pictures: int, pixels: int) -> None:
    if pictures > MOST_PICTURES:
        raise UnreadableFilm(f"it has more than {MOST_PICTURES:,} pictures: cut it into several films")
    if pictures * pixels > MOST_PIXELS:
        raise UnreadableFilm(
            f"its pictures have more than {MOST_PIXELS / 1e9:.0f} gigapixels together: scale it down, or cut it"
        )


def _look_through_album(path: Path) -> Content:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if _is_picture(entry.filename)]
            _check_entries(entries)
            broken = [f"{entry.filename}: {why}" for entry in entries if (why := _what_is_wrong(archive, entry))]
            if broken:
                more = f" and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
                raise UnreadableFilm(f"{'; '.join(broken[:SHOWN])}{more}: leave them out, or repair them")
            names = sorted((entry.filename for entry in entries), key=natural_order)
            width, height = size_of(archive.read(names[0]))
    except NO_ARCHIVE as error:
        raise UnreadableFilm(f"a zip that can't be unpacked ({error}): pack it again, without a password") from error
    return Content("album", width, height, 1.0, names=tuple(names))


def _check_entries(entries: Sequence[zipfile.ZipInfo]) -> None:
    if not entries:
        raise UnreadableFilm("there is no .jpg, .jpeg or .png in the zip: put pictures into it")
    if len(entries) > MOST_PICTURES:
        raise UnreadableFilm(f"it has more than {MOST_PICTURES:,} pictures: make several of it")
    if any(len(entry.filename) > NAME_LENGTH for entry in entries):
        raise UnreadableFilm(f"it has a picture whose name is longer than {NAME_LENGTH:,} characters: rename it")
    if not all(entry.compress_type in PACKED for entry in entries):
        raise UnreadableFilm("its pictures are packed in an unusual way: pack it again with deflate, or without")
    if sum(entry.file_size for entry in entries) > ARCHIVE_BYTES:
        raise UnreadableFilm(f"its pictures are more than {ARCHIVE_BYTES >> 30} GiB: make several of it")


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and "__MACOSX" not in path.parts


def _what_is_wrong(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    """Why a picture can't be used; empty when it can."""
    if entry.file_size > PICTURE_BYTES:
        return f"{entry.file_size / 1e6:.0f} MB"
    try:
        with archive.open(entry) as file:
            decode(file.read(PICTURE_BYTES + 1))
    except UnreadablePicture as error:
        return str(error)
    return ""
