"""Encode and decode images: JPEG or PNG, and arrays in OpenCV's order (height, width, 3), uint8, blue green red."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

import shared

Image = NDArray[np.uint8]
"""(height, width, 3), blue green red, 0 to 255."""

PIXEL_LIMIT: Final = shared.PIXEL_LIMIT
"""Pixels of the largest image that is decoded. The size is read from the header first, before memory is allocated."""

FILE_LIMIT: Final = 4 * PIXEL_LIMIT
"""Bytes of the largest file that is read for decoding; a PNG of noise is smaller."""

MOST_SEGMENTS: Final = 100_000
"""Most segments of a file; encoders write one for each few kilobytes."""
MOST_SCANS: Final = 30
"""Most scans of a JPEG; encoders write about ten, and each covers all pixels."""

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
CHUNK: Final = struct.Struct(">I4s")
ANIMATION: Final = frozenset({b"acTL", b"fcTL", b"fdAT"})
TEXTS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt"})

SCAN: Final = b"\xff\xda"
START_OF_SCAN: Final = 0xDA
FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Frame types that libjpeg decodes: baseline, extended and progressive, with Huffman or arithmetic coding."""
SEQUENTIAL: Final = frozenset({0xC0, 0xC1})
HUFFMAN_TABLES: Final = 0xC4
AC_TABLE: Final = 0x10
MOST_TABLES: Final = 4096
"""Most bytes of the Huffman tables of a JPEG."""
SMALLEST: Final = 8
"""Share of its height and width to which libjpeg scales an image down at most."""
END_OF_IMAGE: Final = b"\xff\xd9"
ZEROS_AT_END: Final = bytes(256)
LOST_BLOCK: Final = bytes(32)
"""Zeros of a block of a disk or a transfer that was never written."""
WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD8)})
"""TEM and RSTn."""
WITH_LENGTH: Final = FRAMES | {0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE}
"""Frames, DHT, DAC, SOS, DQT, DNL, DRI, APPn, COM."""

PADDING: Final = re.compile(r"\b[1-9]\d? extraneous bytes before marker 0xd9")
"""Complaint of libjpeg about bytes between the last pixel and the end of the file, which some cameras write."""
EXIF: Final = b"Exif\0\0"
EXIF_WITHIN: Final = 64 * 1024
"""Bytes at the beginning of a file in which EXIF data begins; it may say that the image has to be turned."""

CONTENT_TYPES: Final = {"jpeg": "image/jpeg", "png": "image/png"}
SUFFIXES: Final = {"jpeg": "jpg", "png": "png"}


QUICK_PNG: Final = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB]
"""Choosing the filter for each row takes 50 % longer, and saves at most a tenth of the size."""
HEIF_BRANDS: Final = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC", b"hevc": "HEIC",
                      b"avif": "AVIF", b"avis": "AVIF"}  # fmt: skip
SIGNATURES: Final = {
    "JPEG": (b"\xff\xd8\xff",), "PNG": (PNG_SIGNATURE,), "BMP": (b"BM",), "TIFF": (b"II*\x00", b"MM\x00*"),
    "GIF": (b"GIF87a", b"GIF89a"), "BigTIFF": (b"II+\x00", b"MM\x00+"), "JPEG XL": (b"\x00\x00\x00\x0cJXL ",),
    "JPEG 2000": (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51"),
}  # fmt: skip
"""The first bytes of files by the kind of the image."""
SIGNATURE_BYTES: Final = 12
"""Bytes at the beginning of a file that show whether it is an image."""
CONVERT: Final = "save it as JPEG or PNG"
MOST_TAGS: Final = 4_096
"""Most tags of one page of a TIFF."""
TAGS: Final = frozenset({254, 256, 257, 259, 273, 279, 322, 323, 324, 325})
"""Tags of a TIFF that are read: type, size, compression, the size of tiles, and where the strips or tiles are."""
NONE: Final = (0,)
"""The value of a tag that is not there."""
TIFF_PIXEL_BYTES: Final = 8
"""Bytes of the largest pixel of a TIFF: 16 bits in four channels."""
DEFLATE: Final = (8, 32946)
INFLATED_AT_ONCE: Final = 1 << 20
"""Most bytes that are unpacked at once."""
REDUCED: Final = 1
"""The bit of a TIFF page's type (tag 254) that says that the page is a smaller copy of another one."""


class UnreadableImage(ValueError):
    """Bytes that are not an image, or a broken or too large image; the message says which."""


def encode(image: Image, encoding: Literal["jpeg", "png"], quality: int = 90) -> bytes:
    """Encode an image as a file.

    Args:
        image: (height, width, 3) or (height, width), uint8.
        encoding: PNG is lossless; a JPEG has a tenth of its size.
        quality: of JPEG, 1 to 100.

    Raises:
        ValueError: the image is too large for the encoding (JPEG: 65,500 pixels in a row).
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if encoding == "jpeg" else QUICK_PNG
    done, content = cv2.imencode(f".{SUFFIXES[encoding]}", image, options)
    if not done:
        raise ValueError(f"an image of {image.shape[1]} x {image.shape[0]} can't be encoded as {encoding}")
    return content.tobytes()


def content_type_of(content: bytes) -> str:
    """Return the content type of a JPEG or PNG file."""
    return CONTENT_TYPES["png" if is_png(content) else "jpeg"]


def is_png(content: bytes) -> bool:
    """Return whether a file is a PNG, by its first bytes."""
    return content.startswith(PNG_SIGNATURE)


def decode(content: bytes, pixel_limit: int = PIXEL_LIMIT) -> Image:
    """Decode a file; grey images get three equal channels, transparency is removed.

    Raises:
        UnreadableImage: not a JPEG or PNG, broken, or of more than ``pixel_limit`` pixels.
    """
    width, height = size_of(content)
    if width * height > pixel_limit:
        region = "set a region of interest at the camera (CAMERA_ROI), or " if pixel_limit <= PIXEL_LIMIT else ""
        raise UnreadableImage(
            f"{width} x {height} is {width * height / 1e6:.0f} megapixels, and the limit is {pixel_limit / 1e6:.0f}: "
            f"{region}scale the image down"
        )
    if content.startswith(PNG_SIGNATURE):
        content = _without_texts(content)
    elif (pixels := _decode_jpeg(content)) is not None:
        return pixels
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise UnreadableImage(f"broken image: {getattr(error, 'err', '') or error}") from error
    if image is None:
        raise UnreadableImage("broken image: its header is right, its content is not")
    if sorted(image.shape[:2]) != sorted((width, height)):  # EXIF may rotate it
        raise UnreadableImage("broken image: its header names another size than its content has")
    return np.asarray(image, np.uint8)


def _decode_jpeg(content: bytes) -> Image | None:
    """Decode a JPEG; return None for one that OpenCV has to turn or to convert from CMYK, after it was checked.

    OpenCV does not tell when a decoder fills in what is missing.

    Raises:
        UnreadableImage: a part of the image is missing or damaged.
    """
    pixels, colours = _pixels_of_jpeg(content, "BGR")
    is_for_opencv = colours in ("CMYK", "YCCK") or EXIF in content[:EXIF_WITHIN]
    return None if is_for_opencv else pixels


def check_jpeg(content: bytes) -> None:
    """Check that a JPEG is whole, in less time than it takes to decode it.

    Raises:
        UnreadableImage: not a JPEG, or a part of the image is missing or damaged.
    """
    width, height = size_of(content)
    _pixels_of_jpeg(content, "GRAY", (-(-height // SMALLEST), -(-width // SMALLEST)))


def _pixels_of_jpeg(
    content: bytes, colours: Literal["BGR", "GRAY"], least: tuple[int, int] = (0, 0)
) -> tuple[Image, str]:
    """Decode a JPEG, and return its pixels and the colours that it is stored in.

    Args:
        content: of the file.
        colours: of the pixels that are returned.
        least: height and width, to which it is scaled down at most; 0 for its own size.
    """
    options = {"fastdct": bool(least[0]), "min_height": least[0], "min_width": least[1]}
    try:
        stored = simplejpeg.decode_jpeg_header(content)[2]
        try:
            pixels = simplejpeg.decode_jpeg(content, colours, strict=True, **options)
        except ValueError as error:
            if not PADDING.search(str(error)):
                raise
            pixels = simplejpeg.decode_jpeg(content, colours, strict=False, **options)
    except (ValueError, KeyError, RuntimeError) as error:  # KeyError: unknown colours
        raise UnreadableImage(f"broken image: {error}") from error
    return np.asarray(pixels, np.uint8), stored


def size_of(content: bytes) -> tuple[int, int]:
    """Return width and height in pixels, read from the headers.

    The headers are checked up to the start of the pixels, and more strictly than the decoders do: what these would
    skip, guess or allocate memory for is refused here.

    Raises:
        UnreadableImage: neither a JPEG nor a PNG, or one whose structure is broken.
    """
    if not content:
        raise UnreadableImage("the image has zero bytes")
    if content.startswith(PNG_SIGNATURE):
        width, height = _png_size(content)
    elif content.startswith(b"\xff\xd8\xff"):
        width, height = _jpeg_size(content)
    else:
        raise UnreadableImage("neither a JPEG nor a PNG")
    if not width or not height:
        raise UnreadableImage(f"broken image: its size is {width} x {height}")
    return width, height


def _png_size(content: bytes) -> tuple[int, int]:
    """Check all chunks: OpenCV allocates the memory that a chunk claims before it reads the chunk."""
    for number, (kind, start, end) in enumerate(_png_chunks(content)):
        if (kind == b"IHDR") != (number == 0) or (kind == b"IHDR" and end - start != 12 + 13):
            raise UnreadableImage("broken PNG: its header is not its first chunk")
        if kind in ANIMATION:
            raise UnreadableImage("an animated PNG: send one image of it")
        if number >= MOST_SEGMENTS:
            raise UnreadableImage(f"broken PNG: more than {MOST_SEGMENTS:,} chunks")
    width, height = struct.unpack_from(">II", content, len(PNG_SIGNATURE) + 8)
    return int(width), int(height)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of each chunk up to the last one (PNG specification, 5)."""
    at, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        if at + 8 > len(content):
            raise UnreadableImage("broken image: a PNG without its end")
        length, kind = CHUNK.unpack_from(content, at)
        start, at = at, at + 12 + length
        if at > len(content):
            raise UnreadableImage(f"broken image: a PNG that ends within its chunk {kind!r}")
        yield kind, start, at


def _without_texts(content: bytes) -> bytes:
    """Return a PNG without text chunks: the decoder would unpack them, up to a thousand times their size."""
    chunks = list(_png_chunks(content))
    if TEXTS.isdisjoint(kind for kind, _, _ in chunks):
        return content
    return PNG_SIGNATURE + b"".join(content[start:end] for kind, start, end in chunks if kind not in TEXTS)


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Check the segments up to the first scan (ITU-T T.81, B.2), and return width and height."""
    at, size, segments = 2, None, 0
    is_sequential, components, tables = False, 0, b""
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        segments += 1
        if segments > MOST_SEGMENTS:
            raise UnreadableImage(f"broken JPEG: more than {MOST_SEGMENTS:,} segments before its pixels")
        if marker == 0xFF or marker in WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2  # a fill byte is before a marker
            continue
        if marker not in WITH_LENGTH:
            raise UnreadableImage(f"broken JPEG: marker {marker:#04x} where its header is expected")
        if marker == START_OF_SCAN:
            break
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        if marker in FRAMES:
            if size or length < 11 or at + 2 + length > len(content):
                raise UnreadableImage("broken JPEG: more than one start of frame, or a part of one")
            # the size that a start of frame names
            height, width, components = struct.unpack_from(">HHB", content, at + 5)
            if components not in (1, 3, 4):
                raise UnreadableImage(f"a JPEG of {components} components: save it as grey or in colours")
            size, is_sequential = (int(width), int(height)), marker in SEQUENTIAL
        if marker == HUFFMAN_TABLES and len(tables) + length <= MOST_TABLES:
            tables += content[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)
    if not size:
        raise UnreadableImage("broken JPEG: no start of frame")
    if content.count(SCAN, at) > MOST_SCANS:
        raise UnreadableImage(f"a JPEG of more than {MOST_SCANS} scans: save it as a baseline JPEG")
    if is_sequential and _has_lost_block(content, at, components, tables):
        raise UnreadableImage("broken image: zeros where its pixels should be")
    return size


def _has_lost_block(content: bytes, scan: int, components: int, tables: bytes) -> bool:
    """Return whether a sequential JPEG has zeros where no encoder writes them.

    Zeros are legal codes, which decoders do not complain about: of blocks that are equal to the one before, if the code
    of zeros ends a block (an encoder that optimises its tables may write that for an even area), else of nonsense.

    Args:
        content: of the file.
        scan: where its first scan begins.
        components: of the image; a scan of some of them is not checked.
        tables: contents of the segments with Huffman tables (ITU-T T.81, B.2.4.2).
    """
    head = content[scan + 4 : scan + 7]
    if len(head) < 3 or head[0] != components:
        return False
    first_symbols, at = {}, 0
    while at + 17 < len(tables):
        first_symbols[tables[at]] = tables[at + 17]
        at += 17 + sum(tables[at + 1 : at + 17])
    symbol = first_symbols.get(AC_TABLE | head[2] & 0x0F, 0)
    pixels = content[scan:].partition(END_OF_IMAGE)[0].rstrip(b"\0")  # zeros at the end may be padding
    return bool(symbol & 0x0F) and LOST_BLOCK in pixels


def as_jpeg_or_png(content: bytes, pixel_limit: int = PIXEL_LIMIT) -> bytes:
    """Return the file of an image as JPEG or PNG: BMP, TIFF and WebP become PNG, without loss; others are unchanged.

    Raises:
        UnreadableImage: a BMP, TIFF or WebP that is broken or too large, or an image of a kind that can't be read.
    """
    kind = image_kind(content)
    if kind in ("", "JPEG", "PNG"):  # of a file that is no image, the decoder says so
        return content
    if kind not in SIZES:
        raise UnreadableImage(f"a file of kind {kind}, which can't be read: {CONVERT}")
    width, height = SIZES[kind](content)
    if not 0 < width * height <= pixel_limit:
        raise UnreadableImage(
            f"a {kind} of {width} x {height} pixels; the limit is {pixel_limit / 1e6:.0f} megapixels: scale it down"
        )
    if kind == "TIFF":
        _check_tiff(content)
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


def image_kind(start: bytes) -> str:
    """Return the kind of an image, such as ``TIFF``, by at least `SIGNATURE_BYTES` of its file; empty for no image."""
    if start[4:8] == b"ftyp":
        return HEIF_BRANDS.get(start[8:12], "")
    if start.startswith(b"RIFF"):
        return "WebP" if start[8:12] == b"WEBP" else ""
    return next((kind for kind, signatures in SIGNATURES.items() if start.startswith(signatures)), "")


def file_kind(path: Path) -> str:
    """Return the kind of image that a file is, as `image_kind` names it; empty for another or an unreadable file."""
    try:
        with path.open("rb") as file:
            return image_kind(file.read(SIGNATURE_BYTES))
    except OSError:
        return ""


def is_kind_read(kind: str) -> bool:
    """Return whether images of a kind, as `image_kind` names it, can be read."""
    return kind in ("JPEG", "PNG", *SIZES)


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
    if kind != b"VP8X" and content.endswith(ZEROS_AT_END):
        raise UnreadableImage("a WebP that is broken: it ends with zeros")
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


def tiff_page(content: bytes) -> dict[int, tuple[int, ...]]:
    """Return the tags of the only page (TIFF 6.0, section 2)."""
    pages = [page for page in tiff_pages(content) if not page.get(254, NONE)[0] & REDUCED]
    if len(pages) != 1:
        raise UnreadableImage(f"a TIFF of {len(pages)} pages: save each page as an image of its own")
    return pages[0]


def tiff_size(content: bytes) -> tuple[int, int]:
    """Return width and height of the only page."""
    page = tiff_page(content)
    return page.get(256, NONE)[0], page.get(257, NONE)[0]


def _check_tiff(content: bytes) -> None:
    """Check that all pixels of a TIFF are there, and their check sums: the decoder makes up what is missing.

    Raises:
        UnreadableImage: they are not.
    """
    page = tiff_page(content)
    is_packed = page.get(259, NONE)[0] in DEFLATE
    left = TIFF_PIXEL_BYTES * _tiff_pixels(page)
    for offsets, sizes in ((273, 279), (324, 325)):  # of strips, and of tiles
        for start, size in zip(page.get(offsets, ()), page.get(sizes, ()), strict=False):
            unpacked = _inflated_size(content[start : start + size], left) if is_packed and size else 0
            if start + size > len(content) or unpacked is None:
                raise UnreadableImage("a TIFF that is broken: a part of its pixels is missing or damaged")
            left -= unpacked


def _tiff_pixels(page: dict[int, tuple[int, ...]]) -> int:
    """Return how many pixels a page stores: tiles at the right and at the bottom are whole (TIFF 6.0, section 15).

    Of what is outside the image, `PIXEL_LIMIT` pixels count at most.
    """
    width, height = page.get(256, NONE)[0], page.get(257, NONE)[0]
    tile_width, tile_length = page.get(322, NONE)[0] or 1, page.get(323, NONE)[0] or 1
    stored = -(-width // tile_width) * tile_width * -(-height // tile_length) * tile_length
    return min(stored, width * height + PIXEL_LIMIT)


def _inflated_size(data: bytes, most: int) -> int | None:
    """Return the size of packed data; None if they are damaged, or have more than ``most`` bytes."""
    packer, done = zlib.decompressobj(), 0
    try:
        while data and not packer.eof and done <= most:
            done += len(packer.decompress(data, INFLATED_AT_ONCE))
            data = packer.unconsumed_tail
    except zlib.error:
        return None
    return done if packer.eof and done <= most else None


def tiff_pages(content: bytes) -> Iterator[dict[int, tuple[int, ...]]]:
    """Yield the tags of each page that are integers."""
    order = "<" if content.startswith(b"II") else ">"
    seen: set[int] = set()
    try:
        at = struct.unpack_from(f"{order}I", content, 4)[0]
        while at and at not in seen:
            seen.add(at)
            count = struct.unpack_from(f"{order}H", content, at)[0]
            if count > MOST_TAGS or len(seen) > MOST_TAGS:
                raise UnreadableImage(f"a TIFF of too many tags or pages: {CONVERT}")
            tags: dict[int, tuple[int, ...]] = {}
            for start in range(at + 2, at + 2 + 12 * count, 12):
                tag, kind, values = struct.unpack_from(f"{order}HHI", content, start)
                if tag in TAGS and kind in (3, 4) and 0 < values <= MOST_SEGMENTS:
                    form = f"{order}{values}{'H' if kind == 3 else 'I'}"
                    is_here = struct.calcsize(form) <= 4
                    place = start + 8 if is_here else struct.unpack_from(f"{order}I", content, start + 8)[0]
                    tags[tag] = struct.unpack_from(form, content, place)
            yield tags
            at = struct.unpack_from(f"{order}I", content, at + 2 + 12 * count)[0]
    except struct.error as error:
        raise UnreadableImage("a TIFF that ends within its header") from error


SIZES: Final = {"BMP": bmp_size, "TIFF": tiff_size, "WebP": webp_size}
"""Functions that return width and height of an image, by the kinds of images that become PNG."""
