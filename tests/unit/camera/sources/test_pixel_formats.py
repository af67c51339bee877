"""The pixel formats of GenICam cameras become BGR images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.camera.errors import CameraError
from services.camera.sources.pixel_formats import WrongSize, pixel_format

WIDTH, HEIGHT = 8, 6
GREY = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
COLOUR = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def numbers(depth: int) -> NDArray[np.uint16]:
    """Return the grey values with this depth; their lowest bits are set, and must not matter."""
    lowest = (1 << (depth - 8)) - 1
    return np.asarray((GREY.astype(np.uint16) << (depth - 8)) | lowest, np.uint16)


def bit_stream(depth: int) -> bytes:
    """Pack as the PFNC does: a stream of bits, the lowest bit of the first pixel first."""
    bits = [(int(number) >> bit) & 1 for number in numbers(depth).ravel() for bit in range(depth)]
    return np.packbits(bits, bitorder="little").tobytes()


def pairs(depth: int) -> bytes:
    """Pack as GigE Vision does: two pixels in three bytes."""
    packed = bytearray()
    low = depth - 8
    for one, other in numbers(depth).reshape(-1, 2).tolist():
        mask = (1 << low) - 1
        packed += bytes([one >> low, (one & mask) | ((other & mask) << 4), other >> low])
    return bytes(packed)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("Mono8", GREY.tobytes()),
        *((f"Mono{depth}", numbers(depth).astype("<u2").tobytes()) for depth in (10, 12, 14, 16)),
        *((f"Mono{depth}p", bit_stream(depth)) for depth in (10, 12)),
        *((f"Mono{depth}Packed", pairs(depth)) for depth in (10, 12)),
    ],
)
def test_grey_values_are_the_highest_bits_of_each_pixel(name: str, content: bytes) -> None:
    image = pixel_format(name).image(content, WIDTH, HEIGHT)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert all(np.array_equal(image[:, :, channel], GREY) for channel in range(3))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("BGR8", COLOUR.tobytes()),
        ("RGB8", COLOUR[:, :, ::-1].tobytes()),
        ("RGB8Packed", COLOUR[:, :, ::-1].tobytes()),
        ("BGRa8", np.dstack([COLOUR, GREY]).tobytes()),
        ("RGBa8", np.dstack([COLOUR[:, :, ::-1], GREY]).tobytes()),
    ],
)
def test_colours_are_those_that_were_sent(name: str, content: bytes) -> None:
    assert np.array_equal(pixel_format(name).image(content, WIDTH, HEIGHT), COLOUR)


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
@pytest.mark.parametrize(("pattern", "red"), [("RG", (0, 0)), ("GR", (0, 1)), ("GB", (1, 0)), ("BG", (1, 1))])
def test_the_first_letters_of_a_bayer_format_are_its_first_pixels(
    pattern: str, red: tuple[int, int], depth: int
) -> None:
    mosaic = np.zeros((HEIGHT, WIDTH), np.uint16)
    mosaic[red[0] :: 2, red[1] :: 2] = 200 << (depth - 8)
    content = mosaic.astype(np.uint8 if depth == 8 else "<u2").tobytes()
    image = pixel_format(f"Bayer{pattern}{depth}").image(content, WIDTH, HEIGHT)
    assert np.array_equal(image[2:-2, 2:-2], np.full((HEIGHT - 4, WIDTH - 4, 3), (0, 0, 200)))


@pytest.mark.parametrize(("name", "order"), [("YUV422_8", (0, 1)), ("YUV422_8_UYVY", (1, 0))])
def test_yuv_of_two_pixels_in_four_bytes(name: str, order: tuple[int, int]) -> None:
    luma = np.full((HEIGHT, WIDTH), 180, np.uint8)
    both = np.dstack([luma, np.full_like(luma, 128)])[:, :, list(order)]
    image = pixel_format(name).image(both.tobytes(), WIDTH, HEIGHT)
    assert image.min() == image.max()
    assert abs(int(image.max()) - 191) <= 1, "180 of the range 16 to 235"


def test_rows_may_be_padded_to_one_length() -> None:
    padded = np.hstack([GREY, np.full((HEIGHT, 4), 255, np.uint8)]).tobytes()
    assert np.array_equal(cv2.cvtColor(pixel_format("Mono8").image(padded, WIDTH, HEIGHT), cv2.COLOR_BGR2GRAY), GREY)


@pytest.mark.parametrize(("name", "length"), [("Mono8", 47), ("Mono8", 50), ("Mono12p", 71), ("RGB8", 48)])
def test_data_of_another_length_is_no_image(name: str, length: int) -> None:
    with pytest.raises(WrongSize, match=f"it has {length} bytes instead of"):
        pixel_format(name).image(bytes(length), WIDTH, HEIGHT)


@pytest.mark.parametrize("name", ["Coord3D_ABC32f", "Mono1p", "JPEG", "Mono14p", ""])
def test_a_format_that_can_t_be_read_is_named_with_one_that_can(name: str) -> None:
    with pytest.raises(CameraError, match=rf"the pixel format {name} can't be read: set CAMERA_PIXEL_FORMAT to .*Mono"):
        pixel_format(name)
