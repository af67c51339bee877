"""Count the repairs of FFmpeg: it shows a damaged frame as if it were whole, and only its log tells.

OpenCV gives no access to the flags of a decoded frame. `av_log_set_callback` is a public function of FFmpeg, and OpenCV
brings FFmpeg as shared libraries (docs/adr/0020-damaged-frames.md).
"""

from __future__ import annotations

import atexit
import ctypes
from pathlib import Path
from typing import Any, Final

ERROR: Final = 16
"""AV_LOG_ERROR: at this level or below, a decoder could not decode a part of a frame."""
DECODER: Final = b"AVCodecContext"
"""The class of the objects that log what a decoder does."""
REPAIRS: Final = (b"concealing", b"Frame num gap", b"EOI missing", b"overread", b"RTP: missed", b"Missing packets")
"""Beginnings of messages about missing data that FFmpeg logs at other levels, or outside its decoders."""
HARMLESS: Final = (b"SEI", b"number of reference frames")
"""Parts of errors about frames that are decoded completely: broken metadata, and a wrong number in a header."""

_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)

_repairs = 0
_library: Any = None


def repairs() -> int:
    """Return how many repairs FFmpeg has logged in this process since `count_repairs`."""
    return _repairs


def count_repairs() -> bool:
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
def _listener(source: int | None, level: int, message: bytes | None, _arguments: int | None) -> None:
    global _repairs  # noqa: PLW0603
    if message and is_repair(_class_of(source), level, message):
        _repairs += 1


def is_repair(source: bytes, level: int, message: bytes) -> bool:
    """Return whether a message of FFmpeg says that a frame is not shown as it was sent.

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
