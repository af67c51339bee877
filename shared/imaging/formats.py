"""Which files are images, which of them can be read, and the conversion of those that are neither JPEG nor PNG."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

import cv2
import numpy as np

from shared.imaging.codec import PIXEL_LIMIT, PNG_SIGNATURE, QUICK_PNG, UnreadableImage

READABLE: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp"}
)
"""Endings of images that are read, in lower case."""
OTHER: Final = frozenset(
    {".heic", ".heif", ".avif", ".gif", ".jp2", ".j2k", ".jxl", ".psd", ".svg", ".tga", ".exr", ".hdr", ".raw", ".dng",
     ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".ico", ".pcx", ".ppm", ".pgm", ".pbm"}
)  # fmt: skip
"""Endings of images that are not read, in lower case."""
HEIF_BRANDS: Final = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC", b"hevc": "HEIC",
                      b"avif": "AVIF", b"avis": "AVIF"}  # fmt: skip
CONVERT: Final = "save it as JPEG or PNG"
MOST_TAGS: Final = 4_096
"""Tags of one page of a TIFF, at most."""
REDUCED: Final = 1
"""The bit of a TIFF page's type (tag 254) that says that the page is a smaller copy of another one."""


def is_readable(name: str) -> bool:
    """Return whether a file is an image that can be read, by the ending of its name."""
    return PurePath(name).suffix.lower() in READABLE


def is_other_image(name: str) -> bool:
    """Return whether a file is an image that can't be read, by the ending of its name."""
    return PurePath(name).suffix.lower() in OTHER


def as_jpeg_or_png(content: bytes, pixel_limit: int = PIXEL_LIMIT) -> bytes:
    """Return the file of an image as JPEG or PNG: BMP, TIFF and WebP become PNG, without loss; others are unchanged.

    Raises:
        UnreadableImage: a BMP, TIFF or WebP that is broken or too large, or an image of a kind that can't be read.
    """
    if content.startswith((PNG_SIGNATURE, b"\xff\xd8\xff")):
        return content
    if content.startswith(b"BM"):
        kind, size = "BMP", bmp_size(content)
    elif content.startswith((b"II*\x00", b"MM\x00*")):
        kind, size = "TIFF", tiff_size(content)
    elif content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        kind, size = "WebP", webp_size(content)
    else:
        if other := other_kind(content):
            raise UnreadableImage(f"a file of kind {other}, which can't be read: {CONVERT}")
        return content  # the decoder says that it is no image
    width, height = size
    if not 0 < width * height <= pixel_limit:
        raise UnreadableImage(
            f"a {kind} of {width} x {height} pixels; the limit is {pixel_limit / 1e6:.0f} megapixels: scale it down"
        )
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
        done, png = cv2.imencode(".png", image, QUICK_PNG) if image is not None else (False, None)
    except cv2.error as error:
        raise UnreadableImage(f"a {kind} that can't be read: {CONVERT}") from error
    if not done or png is None or image is None or image.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(f"a {kind} that is broken, or whose pixels are no integers of 8 or 16 bits: {CONVERT}")
    if sorted(image.shape[:2]) != sorted((width, height)):  # EXIF may rotate it
        raise UnreadableImage(f"a {kind} whose header names another size than its content has: {CONVERT}")
    return png.tobytes()


def other_kind(content: bytes) -> str:
    """Return the name of a kind of images that can't be read, by the first bytes of a file; empty for any other."""
    if content[4:8] == b"ftyp":
        return HEIF_BRANDS.get(content[8:12], "")
    return "GIF" if content.startswith((b"GIF87a", b"GIF89a")) else ""


def bmp_size(content: bytes) -> tuple[int, int]:
    try:
        if struct.unpack_from("<I", content, 14)[0] == 12:  # the header of OS/2
            width, height = struct.unpack_from("<HH", content, 18)
        else:
            width, height = struct.unpack_from("<ii", content, 18)
    except struct.error as error:
        raise UnreadableImage("a BMP that ends within its header") from error
    return int(width), abs(int(height))  # a negative height: the rows are stored from top to bottom


def webp_size(content: bytes) -> tuple[int, int]:
    """Return width and height (RFC 9649, 2.5 to 2.7)."""
    kind, data = content[12:16], content[20:30]
    if len(data) < 10:
        raise UnreadableImage("a WebP that ends within its header")
    if kind == b"VP8X":
        if data[0] & 2:
            raise UnreadableImage(f"an animated WebP: {CONVERT}")
        return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise UnreadableImage("a WebP of an unknown kind")


def tiff_size(content: bytes) -> tuple[int, int]:
    """Return width and height of the only page (TIFF 6.0, section 2)."""
    pages = [page for page in tiff_pages(content) if not page.get(254, 0) & REDUCED]
    if len(pages) != 1:
        raise UnreadableImage(f"a TIFF of {len(pages)} pages: save each page as an image of its own")
    return pages[0].get(256, 0), pages[0].get(257, 0)


def tiff_pages(content: bytes) -> Iterator[dict[int, int]]:
    """Yield the tags of each page that are one integer."""
    order = "<" if content.startswith(b"II") else ">"
    seen: set[int] = set()
    try:
        at = struct.unpack_from(f"{order}I", content, 4)[0]
        while at and at not in seen:
            seen.add(at)
            count = struct.unpack_from(f"{order}H", content, at)[0]
            if count > MOST_TAGS or len(seen) > MOST_TAGS:
                raise UnreadableImage(f"a TIFF of too many tags or pages: {CONVERT}")
            tags = {}
            for start in range(at + 2, at + 2 + 12 * count, 12):
                tag, kind, values = struct.unpack_from(f"{order}HHI", content, start)
                if values == 1 and kind in (3, 4):
                    form = f"{order}{'H' if kind == 3 else 'I'}"
                    tags[tag] = struct.unpack_from(form, content, start + 8)[0]
            yield tags
            at = struct.unpack_from(f"{order}I", content, at + 2 + 12 * count)[0]
    except struct.error as error:
        raise UnreadableImage("a TIFF that ends within its header") from error
