"""Pictures as bytes (JPEG, PNG) and as arrays: (height, width, 3) uint8, blue green red, as OpenCV has them."""

from __future__ import annotations

import struct
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""(height, width, 3), blue green red, 0 to 255."""

PIXEL_LIMIT: Final = 50_000_000
"""The largest picture that is decoded. The size is read from the header first: a small file can claim a huge one."""

CONTENT_TYPES: Final = {"jpeg": "image/jpeg", "png": "image/png"}
SUFFIXES: Final = {"jpeg": "jpg", "png": "png"}


QUICK_PNG: Final = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB]
"""To try other filters on each row takes half as long again, and is smaller by a tenth at best."""


class UnreadablePicture(ValueError):
    """Bytes that are no picture, a broken one, or one that is too large; the message says which."""


def encode(picture: Picture, encoding: Literal["jpeg", "png"], quality: int = 90) -> bytes:
    """A picture as a file.

    Args:
        picture: (height, width, 3) or (height, width), uint8.
        encoding: PNG keeps every pixel; JPEG is a tenth of its size.
        quality: of JPEG, 1 to 100.

    Raises:
        ValueError: the encoding has no room for its size (JPEG ends at 65,500 pixels in a row).
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if encoding == "jpeg" else QUICK_PNG
    done, content = cv2.imencode(f".{SUFFIXES[encoding]}", picture, options)
    if not done:
        raise ValueError(f"a picture of {picture.shape[1]} x {picture.shape[0]} can't be encoded as {encoding}")
    return content.tobytes()


def decode(content: bytes, pixel_limit: int = PIXEL_LIMIT) -> Picture:
    """A file as a picture; grey ones get three equal channels, transparency is dropped.

    Raises:
        UnreadablePicture: not a JPEG or PNG, broken, or of more than ``pixel_limit`` pixels.
    """
    width, height = size_of(content)
    if width * height > pixel_limit:
        raise UnreadablePicture(
            f"{width} x {height} is {width * height / 1e6:.0f} megapixels, and the limit is {pixel_limit / 1e6:.0f}: "
            "set a region of interest at the camera, or scale the picture down"
        )
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise UnreadablePicture(f"broken picture: {error.err}") from error
    if picture is None:
        raise UnreadablePicture("broken picture: its header is right, its content is not")
    return np.asarray(picture, np.uint8)


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the header alone.

    Raises:
        UnreadablePicture: neither a JPEG nor a PNG.
    """
    if not content:
        raise UnreadablePicture("the picture has zero bytes")
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return int(width), int(height)
    if content.startswith(b"\xff\xd8"):
        return _jpeg_size(content)
    raise UnreadablePicture("neither a JPEG nor a PNG")


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Walk the segments to the start of frame (ITU-T T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(content):
        if content[at] != 0xFF:
            break
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return int(width), int(height)
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    raise UnreadablePicture("broken JPEG: no start of frame")
