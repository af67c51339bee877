"""Count what FFmpeg misses or repairs: it shows a damaged frame as if it were whole, and only its log tells.

OpenCV gives no access to the flags of a decoded frame. `av_log_set_callback` is a public function of FFmpeg, and OpenCV
brings FFmpeg as shared libraries (docs/adr/0020-damaged-frames.md).
"""

from __future__ import annotations

import atexit
import ctypes
import re
from pathlib import Path
from typing import Any, Final

ERROR: Final = 16
"""AV_LOG_ERROR: at this level or below, a decoder could not decode a part of a frame."""
DECODER: Final = b"AVCodecContext"
"""The class of the objects that log what a decoder does."""
REPAIRS: Final = (b"concealing", b"Frame num gap", b"EOI missing", b"overread")
"""Beginnings of messages about missing data that a decoder logs at other levels."""
HARMLESS: Final = (b"SEI", b"number of reference frames")
"""Parts of errors about frames that are decoded completely: broken metadata, and a wrong number in a header."""

GAPS: Final = (
    b"RTP: missed", b"Missing packets", b"Packet had TEI flag", b"Read error at pos", b"File ended prematurely",
    b"0x00 at pos", b"Length %d indicated by an EBML", b"Element at 0x", b"Unknown element", b"Unknown-sized element",
    b"stream %d, offset 0x%",
)  # fmt: skip
"""Beginnings of messages of the readers of RTP, MPEG-TS, Matroska and MP4 about data that are missing or damaged."""
DISCONTINUITY: Final = b"Continuity check failed for pid "
"""Beginning of the message of MPEG-TS about packets that are missing: `…%d expected %d got %d`."""
TABLES: Final = (0x00, 0x11)
"""Streams of MPEG-TS that are tables: of the programmes, and of the services."""
CONVERTER: Final = b"SWScaler"
"""The class of the objects that convert a decoded frame into the colours of an image."""
LINE_BYTES: Final = 256

_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)

_repairs = 0
_gaps = 0
_failed_conversions = 0
_library: Any = None


class ContinuityCounters:
    """The counters of MPEG-TS: each packet of a stream has the number of the one before plus 1, modulo 16."""

    def __init__(self) -> None:
        self._restarted: int | None = None

    def is_gap(self, stream: int, number: int) -> bool:
        """Return whether packets of images are missing before one whose number is not the expected one.

        Where another recording begins, the counters of all streams restart at 0, and nothing is missing.

        Args:
            stream: identifier of the packet's stream.
            number: of the packet.
        """
        begins = number == 0 and self._restarted not in (None, stream)
        self._restarted = stream if number == 0 else None
        return not begins and stream not in TABLES


_counters = ContinuityCounters()


def repairs() -> int:
    """Return how many repairs of its decoders FFmpeg has logged in this process since `listen`."""
    return _repairs


def gaps() -> int:
    """Return how many gaps in the data of videos and streams FFmpeg has logged in this process since `listen`.

    It logs a gap when it reads the data, which may be some frames before the damaged frame is decoded.
    """
    return _gaps


def failed_conversions() -> int:
    """Return how many frames FFmpeg could not convert in this process since `listen`; OpenCV returns other pixels."""
    return _failed_conversions


def listen() -> bool:
    """Begin to count, and return whether FFmpeg was found. Call it after a video was opened: that loads FFmpeg."""
    global _library  # noqa: PLW0603  FFmpeg has one log per process
    if _library is None:
        path = _loaded_library("libavutil")
        if path is None:
            return False
        _library = ctypes.CDLL(path)
        atexit.register(_library.av_log_set_callback, None)
    # OpenCV sets its own callback when it opens its first video
    _library.av_log_set_callback(_listener)
    return True


@_Callback  # type: ignore[untyped-decorator]
def _listener(source: int | None, level: int, message: bytes | None, arguments: int | None) -> None:
    global _repairs, _gaps, _failed_conversions  # noqa: PLW0603
    if not message:
        return
    if message.startswith(DISCONTINUITY):
        stream, _, number = map(int, re.findall(rb"\d+", _with_values(source, level, message, arguments)))
        _gaps += _counters.is_gap(stream, number)
    elif message.startswith(GAPS):
        _gaps += 1
    elif level <= ERROR and _class_of(source) == CONVERTER:
        _failed_conversions += 1
    elif is_repair(_class_of(source), level, message):
        _repairs += 1


def _with_values(source: int | None, level: int, message: bytes, arguments: int | None) -> bytes:
    line, prefix = ctypes.create_string_buffer(LINE_BYTES), ctypes.c_int(0)
    _library.av_log_format_line2(
        ctypes.c_void_p(source), level, message, ctypes.c_void_p(arguments), line, LINE_BYTES, ctypes.byref(prefix)
    )
    return line.value


def is_repair(source: bytes, level: int, message: bytes) -> bool:
    """Return whether a message of FFmpeg says that a decoder does not show a frame as it was sent.

    Args:
        source: name of the class that logs.
        level: as FFmpeg numbers it: the lower, the worse.
        message: format of the message, without its values.
    """
    if message.startswith(REPAIRS):
        return True
    return level <= ERROR and source == DECODER and not any(part in message for part in HARMLESS)


def _class_of(source: int | None) -> bytes:
    """Return the name of an object's class. An object begins with a pointer to its class, and that with its name."""
    if not source:
        return b""
    described = ctypes.cast(source, ctypes.POINTER(ctypes.POINTER(ctypes.c_char_p)))[0]
    return described[0] or b"" if described else b""


def _loaded_library(name: str) -> str | None:
    """Return the path of a shared library that this process has loaded; None if there is none."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    paths = (line.split(maxsplit=5)[-1] for line in lines if name in line)
    return next((path for path in paths if Path(path).name.startswith(name)), None)
