"""Read videos with OpenCV: without its log output, with time limits, past damage, and aware of repaired frames."""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import cv2

from shared.imaging.decoder_log import count_repairs, repairs

TIMEOUT_MILLISECONDS: Final = 5_000
"""Time limit to open a video, and to read one frame."""
LONGEST_DAMAGE: Final = 1_000
"""Most packets in a row that can't be decoded; after more, a video is at its end."""
LONGEST_WAIT_FOR_INTRA: Final = 600
"""Frames after a repair, at most, that count as damaged while no intra frame comes: 20 s at 30 frames per second."""
HIGHEST_FRAME_RATE: Final = 1_000.0
"""Frames per second. A file that claims more, such as the 90,000 of a clock, does not know its frame rate."""

UNKNOWN: Final = 0xFFFFFFFF
UNKNOWN_LONG: Final = 0xFFFFFFFFFFFFFFFF
"""Durations of a movie header that say nothing."""
MOST_REORDERED: Final = 8
"""Frames of a video with B frames, at most, that come out between the decoding of a frame and the frame itself."""


class UnreadableMedia(ValueError):
    """A file that is not a video, or a video that can't be read; the message says what to do."""


def silence_opencv() -> None:
    """Suppress the log output of OpenCV and FFmpeg, which may contain passwords of network addresses."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def open_video(source: Path | str, read_milliseconds: int = TIMEOUT_MILLISECONDS) -> cv2.VideoCapture:
    """Open a video file or a network address.

    One thread decodes: then a repair belongs to the frame that is being read, and no frame waits in a second thread.

    Raises:
        UnreadableMedia: It can't be opened.
    """
    silence_opencv()
    options = {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: TIMEOUT_MILLISECONDS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: read_milliseconds,
        cv2.CAP_PROP_N_THREADS: 1,
    }
    capture = cv2.VideoCapture(str(source), cv2.CAP_FFMPEG, [each for option in options.items() for each in option])
    if not capture.isOpened():
        capture.release()
        raise UnreadableMedia("not a video that can be read: convert it with `ffmpeg -i FILE video.mp4`")
    count_repairs()
    return capture


@contextmanager
def opened_video(path: Path) -> Iterator[cv2.VideoCapture]:
    """Open a video file while the block runs; raises as `open_video`."""
    capture = open_video(path)
    try:
        yield capture
    finally:
        capture.release()


@dataclass(frozen=True)
class Grabbed:
    """A frame that `Grabber` went to."""

    lost: int
    """Packets before it that could not be decoded."""
    repaired: bool
    """FFmpeg filled in a part of the frame, or of a frame that it refers to, from other images."""


class Grabber:
    """Go through the frames of an open video or stream, past what can't be decoded."""

    def __init__(self, capture: cv2.VideoCapture, longest_damage: int = LONGEST_DAMAGE) -> None:
        """``longest_damage``: packets in a row that can't be decoded, after which the video is at its end."""
        self._capture = capture
        self._longest_damage = longest_damage
        self._repaired = False
        self._since_repair = 0
        self._reorders = False

    def grab(self, longest_seconds: float = TIMEOUT_MILLISECONDS / 1000) -> Grabbed | None:
        """Go to the next frame that can be decoded; return None at the end, or if no data came for this time."""
        before = repairs()
        for lost in range(self._longest_damage):
            began = time.monotonic()
            done = self._capture.grab()
            if time.monotonic() - began >= longest_seconds:
                return None  # after its time limit, FFmpeg hands out what its decoder still holds
            if done:
                return Grabbed(lost, self._is_repaired(lost > 0 or repairs() > before))
        return None

    def _is_repaired(self, damage: bool) -> bool:
        """Return whether the current frame shows damage: from a repair on, until an intra frame was decoded whole."""
        frame_type = int(self._capture.get(cv2.CAP_PROP_FRAME_TYPE))
        self._reorders = self._reorders or frame_type == ord("B")
        self._since_repair = 0 if damage else self._since_repair + 1
        if damage:
            self._repaired = True
        elif self._repaired:
            # with B frames, a frame comes out some frames after it was decoded
            is_whole = frame_type == ord("I") and self._since_repair > (MOST_REORDERED if self._reorders else 0)
            self._repaired = not is_whole and self._since_repair <= LONGEST_WAIT_FOR_INTRA
        return self._repaired


def frame_rate_of(capture: cv2.VideoCapture, default: float) -> float:
    """Return the frames per second of an open video, or the default if the video does not know them."""
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    return rate if 0 < rate <= HIGHEST_FRAME_RATE else default


def played_seconds(path: Path) -> float | None:
    """Return how long an MP4 or MOV file is played, by its movie header (ISO/IEC 14496-12, 8.2.2); None if it has none.

    The container counts all its images, also those that its lists of edits leave out, such as a trimmed beginning.
    """
    try:
        with path.open("rb") as file:
            end = path.stat().st_size
            for name in (b"moov", b"mvhd"):
                end = _enter_box(file, name, end)
            head = file.read(32)
        version_1 = head[:1] == b"\x01"
        scale, duration = struct.unpack_from(">IQ", head, 20) if version_1 else struct.unpack_from(">II", head, 12)
    except (OSError, LookupError, struct.error):
        return None
    is_known = scale and 0 < duration < (UNKNOWN_LONG if version_1 else UNKNOWN)
    return float(duration / scale) if is_known else None


def _enter_box(file: IO[bytes], name: bytes, end: int) -> int:
    """Go to the content of the first box of a name up to a position, and return where it ends.

    Raises:
        LookupError: there is none.
    """
    while (start := file.tell()) < end:
        size, kind = struct.unpack(">I4s", file.read(8))
        size = struct.unpack(">Q", file.read(8))[0] if size == 1 else size or end - start
        if kind == name:
            return int(start + size)
        if size < 8:
            break
        file.seek(start + size)
    raise LookupError(name)


def natural_order(name: str) -> tuple[list[str | int], str]:
    """Return a sort key by which file names are ordered as a person numbers them: 2 before 10."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if position % 2 else part for position, part in enumerate(parts)], name
