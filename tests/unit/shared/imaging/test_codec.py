"""Files that are made to harm a decoder are refused cheaply."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest

from shared.imaging import codec
from shared.imaging.codec import PIXEL_LIMIT, UnreadableImage, decode, encode, size_of
from tests.bounded import MEBIBYTE, peak, run_bounded
from tests.images import BOMBS, OTHERS, SMALL, chunk, header, jpeg_of_many_scans, pixels, png, png_of_packed_texts


def refuse_bombs() -> None:
    for name, content in BOMBS.items():
        before = peak()
        with pytest.raises(UnreadableImage):
            decode(content)
        assert peak() - before <= 20 * MEBIBYTE, name


def test_a_file_made_to_harm_is_refused_at_the_cost_of_its_header() -> None:
    run_bounded("tests.unit.shared.imaging.test_codec:refuse_bombs", growth=40, seconds=5)


def decode_packed_texts() -> None:
    for kind in (b"zTXt", b"iTXt"):
        assert not decode(png_of_packed_texts(kind, 130)).any()


def test_the_texts_of_a_png_are_not_unpacked() -> None:
    run_bounded("tests.unit.shared.imaging.test_codec:decode_packed_texts", growth=60, seconds=5)


@pytest.mark.parametrize("suffix", OTHERS)
def test_a_format_that_opencv_reads_and_seamline_does_not_is_refused(suffix: str) -> None:
    assert cv2.imdecode(np.frombuffer(OTHERS[suffix], np.uint8), cv2.IMREAD_COLOR) is not None
    with pytest.raises(UnreadableImage, match="neither a JPEG nor a PNG"):
        decode(OTHERS[suffix])


@pytest.mark.parametrize("package", ["services", "deploy.embedded", "samples"])
def test_opencv_itself_is_bounded_in_every_process(package: str) -> None:
    code = (
        f"import {package}, cv2, numpy, sys\n"
        "try: cv2.imdecode(numpy.frombuffer(sys.stdin.buffer.read(), numpy.uint8), cv2.IMREAD_COLOR)\n"
        "except cv2.error as error: sys.exit('pixels' in error.err and 7)"
    )
    large = png(header(9_000, 9_000), chunk(b"IDAT", pixels(9, 9)), chunk(b"IEND", b""))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV")}
    done = subprocess.run([sys.executable, "-c", code], input=large, env=environment, timeout=120, check=False)
    assert done.returncode == 7, f"of {PIXEL_LIMIT:,} pixels"


def test_an_image_is_decoded_whose_encoder_is_not_opencv() -> None:
    """Fill bytes, restart markers, further chunks, a PNG of many chunks, and what follows the end."""
    jpeg = encode(SMALL, "jpeg")
    filled = jpeg[:2] + b"\xff\xff\xff" + jpeg[2:]
    assert np.array_equal(decode(filled), decode(jpeg))
    assert np.array_equal(decode(jpeg + b"something else"), decode(jpeg))
    rows = pixels(300, 200)
    chunks = [chunk(b"IDAT", rows[at : at + 7]) for at in range(0, len(rows), 7)]
    text = chunk(b"tEXt", b"Software\0a microscope")
    file = png(header(300, 200), text, *chunks, chunk(b"IEND", b"")) + b"something else"
    assert size_of(file) == (300, 200)
    assert not decode(file).any()


def test_a_progressive_image_and_one_that_exif_turns_are_decoded() -> None:
    assert decode(jpeg_of_many_scans(1)).shape == SMALL.shape
    orientation = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    jpeg = encode(SMALL, "jpeg")
    turned = jpeg[:2] + b"\xff\xe1" + (len(orientation) + 2).to_bytes(2, "big") + orientation + jpeg[2:]
    assert decode(turned).shape == (32, 24, 3)


SCENE = np.random.default_rng(5).integers(0, 255, (96, 128, 3)).astype(np.uint8)
WHOLE = encode(SCENE, "jpeg")


def zeroed(begin: int, end: int) -> bytes:
    return WHOLE[:begin] + bytes(end - begin) + WHOLE[end:]


@pytest.mark.parametrize(
    "content",
    [
        WHOLE[: len(WHOLE) // 2],
        WHOLE[:-200],
        WHOLE[: len(WHOLE) // 2] + b"\xff\xd9",
        zeroed(len(WHOLE) // 2, len(WHOLE)),
        zeroed(len(WHOLE) // 2, len(WHOLE) // 2 + 512),
    ],
    ids=["a half", "without its last bytes", "a half with an end", "the second half zeros", "a lost block"],
)
def test_a_jpeg_of_which_a_part_is_missing_is_no_image(content: bytes) -> None:
    with pytest.raises(UnreadableImage, match="broken image"):
        decode(content)


def test_bytes_between_the_last_pixel_and_the_end_are_no_damage() -> None:
    assert (decode(WHOLE[:-2] + b"\0\0" + b"\xff\xd9") == decode(WHOLE)).all()


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]])
@pytest.mark.parametrize("image", [SCENE, SCENE[:, :, 0]], ids=["colour", "grey"])
def test_a_whole_jpeg_is_decoded_to_the_pixels_of_opencv(image: codec.Image, options: list[int]) -> None:
    _, content = cv2.imencode(".jpg", image, options)
    assert (decode(content.tobytes()) == cv2.imdecode(content, cv2.IMREAD_COLOR)).all()


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_RST_INTERVAL, 4], [cv2.IMWRITE_JPEG_QUALITY, 40]])
@pytest.mark.parametrize("image", [SCENE, SCENE[:, :, 0], cv2.GaussianBlur(SCENE, (0, 0), 4)])
def test_a_block_of_zeros_in_a_jpeg_is_noticed_wherever_it_is(image: codec.Image, options: list[int]) -> None:
    whole = cv2.imencode(".jpg", image, options)[1].tobytes()
    scan = whole.index(b"\xff\xda") + 14
    for at in range(scan, len(whole) - 100, 61):
        with pytest.raises(UnreadableImage, match="broken image"):
            decode(whole[:at] + bytes(64) + whole[at + 64 :])


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_OPTIMIZE, 1], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_jpeg_of_one_brightness_is_an_image(grey: int, options: list[int]) -> None:
    for shape in ((600, 800, 3), (600, 800)):
        content = cv2.imencode(".jpg", np.full(shape, grey, np.uint8), options)[1].tobytes()
        assert (decode(content) == grey).all()
    assert (decode(content[:-2] + bytes(60) + content[-2:] + bytes(500)) == grey).all(), "padding is no damage"


PNG = encode(SCENE, "png")


def with_byte(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]


@pytest.mark.parametrize("at", [20, PNG.index(b"IDAT") + 6, len(PNG) // 2, len(PNG) - 18])
def test_a_png_of_which_a_byte_is_wrong_is_no_image(at: int) -> None:
    with pytest.raises(UnreadableImage, match=r"broken|limit is"):
        decode(with_byte(PNG, at))


def test_a_png_whose_rows_are_missing_is_no_image() -> None:
    rows = zlib.compress(zlib.decompress(pixels(30, 20))[: 10 * 91])
    with pytest.raises(UnreadableImage, match="broken image"):
        decode(png(header(30, 20), chunk(b"IDAT", rows), chunk(b"IEND", b"")))
