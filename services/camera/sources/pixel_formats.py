"""Convert images from the pixel formats of GenICam cameras to BGR."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.camera.errors import CameraError
from shared.imaging.codec import Image

Bytes = NDArray[np.uint8]

_COLOURS: Final = {
    "Mono": cv2.COLOR_GRAY2BGR,
    "BayerRG": cv2.COLOR_BayerRGGB2BGR,
    "BayerGR": cv2.COLOR_BayerGRBG2BGR,
    "BayerGB": cv2.COLOR_BayerGBRG2BGR,
    "BayerBG": cv2.COLOR_BayerBGGR2BGR,
}
"""OpenCV's conversions of formats with one number per pixel, by the beginning of their name."""
_WHOLE: Final = {
    "RGB8": (3, cv2.COLOR_RGB2BGR),
    "RGB8Packed": (3, cv2.COLOR_RGB2BGR),
    "BGR8": (3, None),
    "BGR8Packed": (3, None),
    "RGBa8": (4, cv2.COLOR_RGBA2BGR),
    "BGRa8": (4, cv2.COLOR_BGRA2BGR),
    "YUV422_8": (2, cv2.COLOR_YUV2BGR_YUY2),
    "YUYVPacked": (2, cv2.COLOR_YUV2BGR_YUY2),
    "YUV422_8_UYVY": (2, cv2.COLOR_YUV2BGR_UYVY),
    "YUV422Packed": (2, cv2.COLOR_YUV2BGR_UYVY),
}
"""Formats of whole bytes: the bytes per pixel, and OpenCV's conversion."""
_ONE_NUMBER: Final = re.compile(rf"({'|'.join(_COLOURS)})(8|10|12|14|16)(p|Packed)?")
_BIT_STREAMS: Final = {(10, "p"): (5, 4), (12, "p"): (3, 2), (10, "Packed"): (3, 2), (12, "Packed"): (3, 2)}
"""Formats whose pixels share bytes, by bits per pixel and packing: a number of bytes, and the pixels in them."""
SUPPORTED: Final = (
    "Mono8 to Mono16, BayerRG8 to BayerRG16 and the other Bayer patterns, also packed, RGB8, BGR8, RGBa8, BGRa8 and "
    "YUV422_8"
)


class WrongSize(ValueError):
    """The data of an image has another length than its size and its pixel format require."""


@dataclass(frozen=True)
class PixelFormat:
    """A pixel format: its bits per pixel, and how to decode it."""

    bits: float
    """Bits per pixel."""
    decode: Callable[[Bytes, int, int], Image]
    """Returns the image of data without padding, width and height."""

    def image(self, content: bytes, width: int, height: int) -> Image:
        """Return the BGR image of the data that a camera sent. Its rows may be padded, all to the same length.

        Raises:
            WrongSize: the data has the wrong length.
        """
        data = np.frombuffer(content, np.uint8)
        expected = math.ceil(width * height * self.bits / 8)
        if len(data) == expected:
            return self.decode(data, width, height)
        row, partial_byte = divmod(width * self.bits, 8)
        stride, rest = divmod(len(data), max(height, 1))
        if rest or stride < row or partial_byte:
            raise WrongSize(f"it has {len(data)} bytes instead of {expected}")
        return self.decode(data.reshape(height, stride)[:, : int(row)].ravel(), width, height)


def pixel_format(name: str) -> PixelFormat:
    """Return the format with this name.

    Raises:
        CameraError: the format is not supported.
    """
    if name in _WHOLE:
        size, conversion = _WHOLE[name]

        def whole(data: Bytes, width: int, height: int) -> Image:
            pixels = data.reshape(height, width, size)
            return pixels.copy() if conversion is None else np.asarray(cv2.cvtColor(pixels, conversion), np.uint8)

        return PixelFormat(8 * size, whole)
    match = _ONE_NUMBER.fullmatch(name)
    if match is None:
        raise CameraError(f"the pixel format {name} can't be read: set CAMERA_PIXEL_FORMAT to one of {SUPPORTED}")
    depth, packing = int(match[2]), match[3] or ""
    if packing and (depth, packing) not in _BIT_STREAMS:
        raise CameraError(f"the pixel format {name} can't be read: set CAMERA_PIXEL_FORMAT to {match[1]}{depth} or 8")
    colour = _COLOURS[match[1]]

    def one_number(data: Bytes, width: int, height: int) -> Image:
        if packing:
            pixels = _highest_bits(data, depth, packing)[: width * height]
        elif depth > 8:
            pixels = (data.view("<u2") >> (depth - 8)).astype(np.uint8)
        else:
            pixels = data
        return np.asarray(cv2.cvtColor(pixels.reshape(height, width), colour), np.uint8)

    if packing:
        size, pixel_count = _BIT_STREAMS[depth, packing]
        return PixelFormat(8 * size / pixel_count, one_number)
    return PixelFormat(8 if depth == 8 else 16, one_number)


def _highest_bits(data: Bytes, depth: int, packing: str) -> Bytes:
    """Return the eight highest bits of each pixel of a format whose pixels share bytes.

    Formats of the PFNC (``p``) are a stream of bits, the lowest bit first. Formats of GigE Vision (``Packed``) have two
    pixels in three bytes: the first and the third byte have the highest bits of one pixel each, the second byte has the
    lowest bits of both pixels.
    """
    size, _ = _BIT_STREAMS[depth, packing]
    whole = np.concatenate([data, np.zeros(-len(data) % size, np.uint8)]).reshape(-1, size)
    if packing == "Packed":
        return whole[:, [0, 2]].ravel()
    lowest = depth - 8
    columns = []
    for pixel in range(_BIT_STREAMS[depth, packing][1]):
        byte, shift = divmod(pixel * depth + lowest, 8)
        low = whole[:, byte] >> shift
        columns.append(low | (whole[:, byte + 1] << (8 - shift)) if shift else low)
    return np.stack(columns, 1).astype(np.uint8).ravel()
