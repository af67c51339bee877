"""Scan an uploaded file before it is stored: what kind it is, and where each of its frames is."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

import cv2

from shared.archives import BAD_ARCHIVE, open_archive
from shared.imaging.codec import (
    CONVERT,
    SIGNATURE_BYTES,
    UnreadableImage,
    as_jpeg_or_png,
    check_jpeg,
    decode,
    image_kind,
    is_kind_read,
    size_of,
)
from shared.imaging.formats import is_hidden, is_other_image, is_readable
from shared.imaging.video import (
    Grabber,
    UnreadableMedia,
    current_image,
    frame_rate_of,
    natural_order,
    opened_video,
    packets_of,
    played_seconds,
)

MOST_FRAMES: Final = 100_000
MOST_PIXELS: Final = 250_000_000_000
"""Pixels of all frames together: 100,000 frames of 2.5 megapixels."""
FRAME_PIXELS: Final = 17_000_000
"""Pixels of one frame of a video: a decoder holds up to sixteen of them."""
IMAGE_BYTES: Final = 64 * 1024**2
"""Size of one image in an album, unpacked."""
ALBUM_BYTES: Final = 4 * 1024**3
"""Size of all images in an album, unpacked."""
SHOWN: Final = 5
"""Broken images that an error names."""
DEFAULT_FRAME_RATE: Final = 25.0
"""Frames per second of a file that does not know its own."""
COMPLETE: Final = 0.9
"""A video of which less than this share can be read lacks its end."""
NAME_LENGTH: Final = 1_000
"""Characters of the longest name of an image in an album."""
COMPRESSIONS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""Compressions that `zipfile` can unpack in part; the others it unpacks into memory as a whole."""

VideoKind = Literal["video", "album"]


@dataclass(frozen=True)
class VideoContent:
    """What is in a video or an album."""

    kind: VideoKind
    width: int
    height: int
    frames_per_second: float
    times: tuple[float, ...] = ()
    """The time of each frame of a video that shows no damage, in milliseconds."""
    names: tuple[str, ...] = ()
    """The name of each image of an album."""
    left_out: int = 0
    """Images of an album of kinds that can't be read; damaged frames of a video."""

    @property
    def frames(self) -> int:
        return len(self.times) or len(self.names)


def scan(path: Path) -> VideoContent:
    """Read a video or an album from its beginning to its end.

    The first bytes of a file decide what it is, and not its name: FFmpeg would also open lists that lead to other
    files.

    Raises:
        UnreadableMedia: the file is neither a video nor an album, can't be read, or exceeds a limit.
    """
    with path.open("rb") as file:
        head = file.read(SIGNATURE_BYTES)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return scan_album(path)
    if (kind := image_kind(head)) and not is_kind_read(kind):
        raise UnreadableMedia(f"a file of kind {kind}, which can't be read: {CONVERT}")
    if head[4:8] == b"ftyp" or (head[:4] == b"RIFF" and head[8:] == b"AVI ") or head.startswith(b"\x1a\x45\xdf\xa3"):
        return scan_video(path)
    raise UnreadableMedia(
        "neither a video (mp4, mov, avi, mkv, webm), nor images (JPEG, PNG, BMP, TIFF, WebP) or a zip of them: "
        "convert a video with `ffmpeg -i FILE video.mp4`"
    )


def pack_album(images: Sequence[tuple[str, Path]], file: Path) -> None:
    """Write several images into one archive. The same images give the same file at any time."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, path in images:
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())


def scan_video(path: Path) -> VideoContent:
    """Read a video to its end; raises as `scan`."""
    times: list[float] = []
    with opened_video(path) as capture:
        width, height = (int(capture.get(prop)) for prop in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > FRAME_PIXELS:
            raise UnreadableMedia(f"its frames have {width} x {height} pixels: scale it down")
        frame_rate = frame_rate_of(capture, default=0.0)
        announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        grabber, damaged, start = Grabber(capture, packets=packets_of(path, check_jpeg)), 0, 0.0
        while grabbed := grabber.grab():
            damaged += grabbed.lost
            if grabbed.repaired:
                damaged += 1
                continue
            if not times:
                current_image(capture)  # raises if the images can't be converted
                start = float(capture.get(cv2.CAP_PROP_PTS)) / frame_rate if frame_rate else 0.0
            times.append(float(capture.get(cv2.CAP_PROP_POS_MSEC)))
            if len(times) > MOST_FRAMES:
                raise UnreadableMedia(f"it has more than {MOST_FRAMES:,} frames: cut it into several videos")
            if len(times) * width * height > MOST_PIXELS:
                raise UnreadableMedia(
                    f"its frames have more than {MOST_PIXELS / 1e9:.0f} gigapixels together: scale it down, or cut it"
                )
    if not times:
        raise UnreadableMedia("it has no frame that can be read: convert it with `ffmpeg -i FILE video.mp4`")
    if not frame_rate:
        return VideoContent("video", width, height, DEFAULT_FRAME_RATE, times=tuple(times), left_out=damaged)
    # a clock may go back, or jump ahead; a recorder that cuts its video into files goes on counting in each of them
    seconds = max(times[-1] / 1000 + 1 / frame_rate, (len(times) + damaged) / frame_rate)
    announced_seconds = announced / frame_rate - max(0.0, start)
    announced_seconds = min(announced_seconds, played_seconds(path) or announced_seconds)
    if seconds < COMPLETE * announced_seconds:
        raise UnreadableMedia(
            f"it breaks off after {seconds:.1f} of {announced_seconds:.1f} s: upload it again, or repair it"
        )
    return VideoContent("video", width, height, frame_rate, times=tuple(times), left_out=damaged)


def scan_album(path: Path) -> VideoContent:
    """Decode every image of an album; raises as `scan`."""
    try:
        with open_archive(path) as archive:
            files = [entry for entry in archive.infolist() if not is_hidden(entry.filename)]
            entries = [entry for entry in files if _is_image(archive, entry)]
            others = [entry.filename for entry in files if is_other_image(entry.filename)]
            _check_entries(entries, others)
            broken = []
            for entry in entries:
                if entry.file_size > IMAGE_BYTES:
                    broken.append(
                        f"{entry.filename} has {entry.file_size / 1e6:.0f} MB, and the limit is {IMAGE_BYTES / 1e6:.0f}"
                    )
                    continue
                try:
                    with archive.open(entry) as file:
                        decode(as_jpeg_or_png(file.read(IMAGE_BYTES + 1)))
                except UnreadableImage as error:
                    broken.append(f"{entry.filename} can't be used: {error}")
            if broken:
                more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
                raise UnreadableMedia(f"{'; '.join(broken[:SHOWN])}{more}: leave them out, or repair them")
            names = sorted((entry.filename for entry in entries), key=natural_order)
            width, height = size_of(as_jpeg_or_png(archive.read(names[0])))
    except (*BAD_ARCHIVE, OSError) as error:
        raise UnreadableMedia(f"a zip that can't be unpacked ({error}): pack it again, without a password") from error
    return VideoContent("album", width, height, 1.0, names=tuple(names), left_out=len(others))


def _is_image(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    """Return whether a file is an image that can be read, by the ending of its name, or by its bytes if it has none."""
    if PurePosixPath(entry.filename).suffix or entry.is_dir() or entry.compress_type not in COMPRESSIONS:
        return is_readable(entry.filename)
    with archive.open(entry) as file:
        return is_kind_read(image_kind(file.read(SIGNATURE_BYTES)))


def _check_entries(entries: Sequence[zipfile.ZipInfo], others: Sequence[str]) -> None:
    """Check the number, names and sizes of the images before any is unpacked.

    Raises:
        UnreadableMedia: there are no images, a limit is exceeded, or the compression is not one of `COMPRESSIONS`.
    """
    if not entries:
        if others:
            raise UnreadableMedia(f"its {len(others)} images ({others[0]}, …) can't be read: save them as JPEG or PNG")
        raise UnreadableMedia("there is no image in the zip: put images into it (JPEG, PNG, BMP, TIFF, WebP)")
    if len(entries) > MOST_FRAMES:
        raise UnreadableMedia(f"it has more than {MOST_FRAMES:,} images: make several of it")
    if any(len(entry.filename) > NAME_LENGTH for entry in entries):
        raise UnreadableMedia(f"it has an image whose name is longer than {NAME_LENGTH:,} characters: rename it")
    if not all(entry.compress_type in COMPRESSIONS for entry in entries):
        raise UnreadableMedia("its images are compressed in an unusual way: pack it again with deflate, or without")
    if sum(entry.file_size for entry in entries) > ALBUM_BYTES:
        raise UnreadableMedia(f"its images are more than {ALBUM_BYTES >> 30} GiB: make several of it")
