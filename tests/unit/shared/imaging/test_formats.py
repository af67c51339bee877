"""Images that are neither JPEG nor PNG become PNG without loss, or are named."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from shared.imaging.codec import UnreadableImage, as_jpeg_or_png, decode
from shared.imaging.formats import is_other_image, is_readable

IMAGE = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        (".bmp", []),
        (".tiff", []),
        (".tiff", [cv2.IMWRITE_TIFF_COMPRESSION, 1]),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
        (".png", []),
    ],
)
def test_an_image_keeps_its_pixels(ending: str, options: list[int]) -> None:
    content = cv2.imencode(ending, IMAGE, options)[1].tobytes()
    assert np.array_equal(decode(as_jpeg_or_png(content)), IMAGE)
    assert is_readable(f"A{ending.upper()}")


def test_a_lossy_webp_is_read_by_its_size() -> None:
    content = cv2.imencode(".webp", IMAGE, [cv2.IMWRITE_WEBP_QUALITY, 80])[1].tobytes()
    assert decode(as_jpeg_or_png(content)).shape == IMAGE.shape


def test_a_tiff_of_16_bits_keeps_them() -> None:
    wide = np.full((20, 30), 4095, np.uint16)
    png = as_jpeg_or_png(cv2.imencode(".tiff", wide)[1].tobytes())
    assert np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)).max() == 4095


def test_a_jpeg_and_what_is_no_image_are_unchanged() -> None:
    jpeg = cv2.imencode(".jpg", IMAGE)[1].tobytes()
    assert as_jpeg_or_png(jpeg) == jpeg
    assert as_jpeg_or_png(b"hello") == b"hello"


def huge_bmp() -> bytes:
    return b"BM" + bytes(12) + struct.pack("<Iii", 40, 60_000, 60_000) + bytes(100)


def pages() -> bytes:
    done, content = cv2.imencodemulti(".tiff", [IMAGE, IMAGE])
    assert done
    return content.tobytes()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (huge_bmp(), "a BMP of 60000 x 60000 pixels; the limit is"),
        (pages(), "a TIFF of 2 pages: save each page as an image"),
        (cv2.imencode(".tiff", np.zeros((4, 4), np.float32))[1].tobytes(), "save it as JPEG or PNG"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "of kind HEIC, which can't be read: save it as JPEG or PNG"),
        (b"GIF89a" + bytes(20), "of kind GIF"),
        (b"II+\0\x08\0\0\0" + bytes(20), "of kind BigTIFF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(20), "of kind JPEG 2000"),
        (cv2.imencode(".bmp", IMAGE)[1].tobytes()[:30], "a BMP that"),
        (cv2.imencode(".tiff", IMAGE)[1].tobytes()[:12], "a TIFF that ends within its header"),
        (b"RIFF\0\0\0\0WEBPVP8X", "a WebP that ends within its header"),
    ],
)
def test_what_cant_be_read_says_why_and_what_to_do(content: bytes, expected: str) -> None:
    with pytest.raises(UnreadableImage) as refused:
        as_jpeg_or_png(content)
    assert expected in str(refused.value)


def tiff(pixels: bytes, compression: int) -> bytes:
    """A TIFF of `IMAGE` whose tags are before its pixels, as cameras write it."""
    height, width = IMAGE.shape[:2]
    tags = {256: width, 257: height, 258: 8, 259: compression, 262: 2, 273: 0, 277: 3, 278: height, 279: len(pixels)}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + pixels


ROWS = IMAGE[..., ::-1].tobytes()
PACKED = zlib.compress(ROWS)


def test_a_tiff_whose_tags_are_before_its_pixels_is_read() -> None:
    assert np.array_equal(decode(as_jpeg_or_png(tiff(ROWS, 1))), IMAGE)
    assert np.array_equal(decode(as_jpeg_or_png(tiff(PACKED, 8))), IMAGE)


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("left", [0.1, 0.5, 0.999])
def test_a_tiff_that_is_cut_off_is_no_image(compression: int, left: float) -> None:
    head, content = len(tiff(b"", 1)), tiff(ROWS if compression == 1 else PACKED, compression)
    with pytest.raises(UnreadableImage, match="a part of its pixels is missing"):
        as_jpeg_or_png(content[: head + int((len(content) - head) * left)])


@pytest.mark.parametrize("damaged", [PACKED[:900] + b"\0\0" + PACKED[902:], PACKED[:900], zlib.compress(bytes(10**7))])
def test_a_packed_tiff_of_which_a_byte_is_wrong_is_no_image(damaged: bytes) -> None:
    with pytest.raises(UnreadableImage, match="a TIFF that is broken"):
        as_jpeg_or_png(tiff(damaged, 8))


def tiled(image: NDArray[np.uint8], side: int) -> bytes:
    """A TIFF of grey tiles, each packed; those at the right and at the bottom are filled up with zeros."""
    height, width = image.shape
    filled = np.pad(image, ((0, -height % side), (0, -width % side)))
    tiles = [
        zlib.compress(filled[row : row + side, column : column + side].tobytes())
        for row in range(0, height, side)
        for column in range(0, width, side)
    ]
    count, tags = len(tiles), {256: width, 257: height, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side}
    lists_at = 8 + 2 + 12 * (len(tags) + 2) + 4
    pixels_at = lists_at + 8 * count
    sizes = [len(tile) for tile in tiles]
    starts = [pixels_at + sum(sizes[:place]) for place in range(count)]
    entries = [(tag, 1, value) for tag, value in tags.items()]
    entries += [(324, count, lists_at if count > 1 else starts[0])]
    entries += [(325, count, lists_at + 4 * count if count > 1 else sizes[0])]
    head = b"".join(struct.pack("<HHII", tag, 4, number, value) for tag, number, value in entries)
    lists = struct.pack(f"<{2 * count}I", *starts, *sizes)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + head + bytes(4) + lists + b"".join(tiles)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (10, 2000), (40, 2000), (300, 20)])
def test_a_tiff_whose_tiles_are_larger_than_its_image_is_read(height: int, width: int) -> None:
    grey = np.random.default_rng(1).integers(0, 255, (height, width), np.uint8)
    content = tiled(grey, 256)
    assert np.array_equal(decode(as_jpeg_or_png(content))[..., 0], grey)
    with pytest.raises(UnreadableImage, match="a part of its pixels is missing"):
        as_jpeg_or_png(content[:-20])


def test_a_tile_that_unpacks_to_more_than_any_tile_holds_is_no_image() -> None:
    content = tiled(np.zeros((64, 64), np.uint8), 256)
    bomb = zlib.compress(bytes(8 * 256 * 256 + 1))
    start = len(content) - len(zlib.compress(bytes(256 * 256)))
    sizes = struct.pack("<HHI", 325, 4, 1)
    at = content.index(sizes) + len(sizes)
    with pytest.raises(UnreadableImage, match="a TIFF that is broken"):
        as_jpeg_or_png(content[:at] + struct.pack("<I", len(bomb)) + content[at + 4 : start] + bomb)


@pytest.mark.parametrize("quality", [80, 101])
@pytest.mark.parametrize("left", [0.2, 0.6, 0.9])
def test_a_webp_that_is_cut_off_or_ends_with_zeros_is_no_image(quality: int, left: float) -> None:
    image = np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)
    content = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
    at = int(len(content) * left)
    for damaged in (content[:at], content[:at] + bytes(len(content) - at)):
        with pytest.raises(UnreadableImage, match="that is broken"):
            as_jpeg_or_png(damaged)


def test_kinds_that_cant_be_read_are_known_by_their_endings() -> None:
    assert is_other_image("IMG_1.HEIC")
    assert not is_other_image("IMG_1.jfif")
    assert is_readable("IMG_1.jfif")
