"""Read videos with OpenCV: without its log output, with time limits, past damage, and aware of repaired frames."""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.imaging.decoder_log import failed_conversions, gaps, listen, repairs
from shared.imaging.matroska import checked, is_matroska
from shared.imaging.packets import MOTION_JPEG, REPORTING, Packet, PacketDamage, codec_of, is_damaged
from shared.imaging.transport_stream import is_transport_stream, transport_packets

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
READ_AHEAD: Final = 2
"""Frames, at most, that come out between the reading of data and the frame of these data."""
MOST_REORDERED: Final = 8
"""Frames of a video with B frames, at most, that come out between the decoding of a frame and the frame itself."""


class UnreadableMedia(ValueError):
    """A file that is not a video, or a video that can't be read; the message says what to do."""


def silence_opencv() -> None:
    """Suppress the log output of OpenCV and FFmpeg, which may contain passwords of network addresses."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def open_video(
    source: Path | str, read_milliseconds: int = TIMEOUT_MILLISECONDS, *, is_decoded: bool = True
) -> cv2.VideoCapture:
    """Open a video file or a network address.

    One thread decodes: then a repair belongs to the frame that is being read, and no frame waits in a second thread.

    Args:
        source: path or address.
        read_milliseconds: time limit to read one frame.
        is_decoded: whether frames are read as images, else as they are encoded in the file.

    Raises:
        UnreadableMedia: It can't be opened.
    """
    silence_opencv()
    options = {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: TIMEOUT_MILLISECONDS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: read_milliseconds,
        cv2.CAP_PROP_N_THREADS: 1,
    }
    if not is_decoded:
        options[cv2.CAP_PROP_FORMAT] = -1
    capture = cv2.VideoCapture(str(source), cv2.CAP_FFMPEG, [each for option in options.items() for each in option])
    if not capture.isOpened():
        capture.release()
        raise UnreadableMedia("not a video that can be read: convert it with `ffmpeg -i FILE video.mp4`")
    listen()
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

    def __init__(
        self, capture: cv2.VideoCapture, longest_damage: int = LONGEST_DAMAGE, packets: Iterator[Packet] | None = None
    ) -> None:
        """Begin before the first frame.

        Args:
            capture: an open video or stream.
            longest_damage: packets in a row that can't be decoded, after which the video is at its end.
            packets: of the same video (`packets_of`), so that damage that the decoder does not notice is found.
        """
        self._capture = capture
        self._longest_damage = longest_damage
        self._packets = PacketDamage(packets) if packets else None
        # of motion JPEG over RTP, FFmpeg leaves out each image that misses a part
        self._read_ahead = 0 if codec_of(capture) == MOTION_JPEG else READ_AHEAD
        self._repaired = False
        self._since_repair = self._since_gap = LONGEST_WAIT_FOR_INTRA
        self._reorders = False
        self.damaged = False
        """Whether damage was found so far, also behind the last frame."""

    def grab(self, longest_seconds: float = TIMEOUT_MILLISECONDS / 1000) -> Grabbed | None:
        """Go to the next frame that can be decoded; return None at the end, or if no data came for this time."""
        repairs_before, gaps_before = repairs(), gaps()
        for lost in range(self._longest_damage):
            began = time.monotonic()
            done = self._capture.grab()
            self.damaged = self.damaged or gaps() > gaps_before
            if time.monotonic() - began >= longest_seconds:
                return None  # after its time limit, FFmpeg hands out what its decoder still holds
            if done:
                damage = lost > 0 or repairs() > repairs_before
                gap = gaps() > gaps_before
                if self._packets:
                    damage |= self._packets.reaches(float(self._capture.get(cv2.CAP_PROP_POS_MSEC)))
                    gap = False
                return Grabbed(lost, self._is_repaired(damage, gap))
        return None

    def _is_repaired(self, damage: bool, gap: bool) -> bool:
        """Return whether the current frame shows damage: from a repair on, until an intra frame was decoded whole.

        Args:
            damage: the frame is damaged.
            gap: data of this frame or of one of the next frames are missing.
        """
        frame_type = int(self._capture.get(cv2.CAP_PROP_FRAME_TYPE))
        self._reorders = self._reorders or frame_type == ord("B")
        self._since_repair = 0 if damage else self._since_repair + 1
        self._since_gap = 0 if gap else self._since_gap + 1
        if damage or gap:
            self._repaired = self.damaged = True
        elif self._repaired:
            # with B frames, a frame comes out some frames after it was decoded
            delay = MOST_REORDERED if self._reorders else 0
            is_decoded_since = self._since_repair > delay and self._since_gap > delay + self._read_ahead
            is_whole = frame_type == ord("I") and is_decoded_since
            self._repaired = not is_whole and min(self._since_repair, self._since_gap) <= LONGEST_WAIT_FOR_INTRA
        return self._repaired


def current_image(capture: cv2.VideoCapture) -> NDArray[np.uint8] | None:
    """Return the current frame, (height, width, 3); None if it is broken.

    Raises:
        UnreadableMedia: the frame can't be converted, such as one of interlaced H.264.
    """
    failures = failed_conversions()
    readable, image = capture.retrieve()
    if failed_conversions() > failures:
        raise UnreadableMedia(
            "its images can't be converted, perhaps because they are interlaced: record progressive video, or convert "
            "it with `ffmpeg -i FILE -vf yadif video.mp4`"
        )
    return np.asarray(image, np.uint8) if readable else None


def packets_of(path: Path, check_jpeg: Callable[[bytes], None]) -> Iterator[Packet]:
    """Return the packets of a video file, and which of them are damaged, as far as its container tells.

    Args:
        path: of the file.
        check_jpeg: raises ValueError if an image of motion JPEG is not whole.
    """
    if is_transport_stream(path):
        return transport_packets(path)
    capture = open_video(path, is_decoded=False)
    packets = encoded_packets(capture, check_jpeg)
    # a wrong check sum costs seconds of video
    return checked(packets, path) if is_matroska(path) and codec_of(capture) not in REPORTING else packets


def encoded_packets(capture: cv2.VideoCapture, check_jpeg: Callable[[bytes], None]) -> Iterator[Packet]:
    """Yield the packets of a video that was opened to be read without decoding.

    A packet is damaged by its content (`is_damaged`), or if its container does not continue behind it.
    """
    codec = codec_of(capture)
    packet: Packet | None = None
    failures = 0
    while failures < LONGEST_DAMAGE:
        before = gaps()
        grabbed = capture.grab()
        if packet and gaps() > before:
            packet = packet[0], True
        failures = 0 if grabbed else failures + 1
        if not grabbed:
            continue
        if packet:
            yield packet
        _, data = capture.retrieve()
        content = b"" if data is None else data.tobytes()
        packet = float(capture.get(cv2.CAP_PROP_POS_MSEC)), is_damaged(content, codec, check_jpeg)
    if packet:
        yield packet
    capture.release()


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
