"""Image files with a structure that encoders never write."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

from shared.imaging.codec import encode

SMALL = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    """A part of a PNG; it may claim another length than it has."""
    claimed = len(content) if length is None else length
    return struct.pack(">I", claimed) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def pixels(width: int, height: int) -> bytes:
    """The content of a black PNG of 24 bits a pixel."""
    packer, row = zlib.compressobj(9), bytes(1 + width * 3)
    return b"".join(packer.compress(row) for _ in range(height)) + packer.flush()


def png_of_a_huge_chunk(kind: bytes, length: int) -> bytes:
    """79 bytes or so that make a decoder take gigabytes, if it believes them."""
    return png(header(24, 24), chunk(kind, pixels(24, 24), length), chunk(b"IEND", b""))


def png_whose_size_is_not_in_its_first_chunk(side: int) -> bytes:
    """It looks like 64 x 64 where IHDR is taken for granted."""
    first = chunk(b"teSt", struct.pack(">II", 64, 64) + bytes(5))
    return png(first, header(side, side), chunk(b"IDAT", pixels(24, 24)), chunk(b"IEND", b""))


def parts_of_jpeg(content: bytes) -> tuple[dict[int, list[bytes]], bytes]:
    """Segments by their marker, and the rest from the first scan on."""
    at, segments = 2, dict[int, list[bytes]]()
    while content[at + 1] != 0xDA:
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        segments.setdefault(content[at + 1], []).append(content[at : at + 2 + length])
        at += 2 + length
    return segments, content[at:]


def resized(frame: bytes, side: int) -> bytes:
    """A start of frame that claims another size."""
    return frame[:5] + struct.pack(">HH", side, side) + frame[9:]


def jpeg_with_a_marker_of_no_length(side: int) -> bytes:
    """It looks like 64 x 64 to a reader that takes what follows TEM for the length of a segment."""
    parts, scans = parts_of_jpeg(encode(np.full((16, 16, 3), 127, np.uint8), "jpeg"))
    tables, (frame,) = parts[0xDB], parts[0xC0]
    start = b"\xff\xd8\xff\x01" + tables[0]
    comment = b"a" * (4 + 0xFFDB - len(start) - 4) + resized(frame, 64)
    segment = b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment
    return start + segment + b"".join([*tables[1:], resized(frame, side), *parts[0xC4]]) + scans


def jpeg_of_two_frames() -> bytes:
    parts, scans = parts_of_jpeg(encode(SMALL, "jpeg"))
    (frame,) = parts[0xC0]
    return b"\xff\xd8" + b"".join([*parts[0xDB], frame, resized(frame, 30_000), *parts[0xC4]]) + scans


def jpeg_of_many_scans(scans: int) -> bytes:
    """Progressive, with a scan that is there again and again: each passes over all pixels."""
    done, content = cv2.imencode(".jpg", SMALL, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert done
    whole = content.tobytes()
    end = whole.rindex(b"\xff\xda")
    return whole[:end] + whole[end:-2] * scans + whole[-2:]


def jpeg_of_one_scan_again_and_again(scans: int, start_of_frame: int, side: int = 7_000) -> bytes:
    """Not progressive, and with nothing in its scans: ten bytes for each pass over all pixels."""
    parts, _ = parts_of_jpeg(encode(SMALL, "jpeg"))
    frame = bytearray(resized(parts[0xC0][0], side))
    frame[1], frame[11] = start_of_frame, 0x11
    head = b"\xff\xd8" + b"".join([*parts[0xDB], bytes(frame), *parts[0xC4]])
    return head + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * scans + b"\xff\xd9"


def png_of_packed_texts(kind: bytes, texts: int) -> bytes:
    """Each of 8 kB, and of 8 MB to a decoder that unpacks it."""
    start = {b"zTXt": b"key\0\0", b"iTXt": b"key\0\1\0\0\0"}[kind]
    text = chunk(kind, start + zlib.compress(b"a" * 7_900_000, 9))
    return png(header(24, 24), *[text] * texts, chunk(b"IDAT", pixels(24, 24)), chunk(b"IEND", b""))


BOMBS = {
    "PNG of a huge IDAT": png_of_a_huge_chunk(b"IDAT", 0x7FFFFFFF),
    "PNG of an IDAT beyond what a chunk may have": png_of_a_huge_chunk(b"IDAT", 0xFFFFFFFF),
    "PNG of a huge text": png_of_a_huge_chunk(b"tEXt", 0x60000000),
    "PNG of a huge unknown chunk": png_of_a_huge_chunk(b"vpAg", 0x60000000),
    "PNG whose IHDR comes second": png_whose_size_is_not_in_its_first_chunk(9_000),
    "PNG of two IHDR": png(header(24, 24), header(9_000, 9_000), chunk(b"IDAT", pixels(24, 24)), chunk(b"IEND", b"")),
    "PNG of a large IHDR": png(chunk(b"IHDR", bytes(500_000)), chunk(b"IEND", b"")),
    "PNG that claims 100 megapixels": png(header(10_000, 10_000), chunk(b"IDAT", b""), chunk(b"IEND", b"")),
    "PNG of no width": png(header(0, 10_000), chunk(b"IDAT", b""), chunk(b"IEND", b"")),
    "animated PNG": png(
        header(24, 24),
        chunk(b"acTL", struct.pack(">II", 1_000_000, 0)),
        chunk(b"IDAT", pixels(24, 24)),
        chunk(b"IEND", b""),
    ),
    "JPEG with TEM": jpeg_with_a_marker_of_no_length(12_000),
    "JPEG of two frames": jpeg_of_two_frames(),
    "JPEG of 100,000 scans": jpeg_of_many_scans(100_000),
    "baseline JPEG of 100,000 scans": jpeg_of_one_scan_again_and_again(100_000, 0xC0),
    "arithmetic JPEG of 100,000 scans": jpeg_of_one_scan_again_and_again(100_000, 0xC9),
    "JPEG of fill bytes": b"\xff\xd8" + b"\xff" * 3_000_000,
    "JPEG of restart markers": b"\xff\xd8" + b"\xff\xd0" * 3_000_000,
}
"""Files that must be refused at the cost of reading their headers."""
OTHERS = {
    suffix: cv2.imencode(f".{suffix}", image)[1].tobytes()
    for image, suffixes in (
        (np.tile(SMALL, (4, 4, 1)), ("tiff", "webp", "bmp", "ppm", "gif", "jp2", "avif", "ras")),
        (SMALL.astype(np.float32), ("hdr", "pfm")),
    )
    for suffix in suffixes
}
"""Files of formats that OpenCV reads and Seamline does not."""
