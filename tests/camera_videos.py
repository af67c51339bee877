"""Videos and folders of images that all differ."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

BITS = 8


def image_of(number: int, size: tuple[int, int] = (64, 48)) -> NDArray[np.uint8]:
    """An image that says its number (to 65,535) in two rows of black and white fields: readable after any codec."""
    fields = np.array([255 * (number >> bit & 1) for bit in range(2 * BITS)], np.uint8).reshape(2, BITS)
    image = cv2.resize(fields, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)


def number_of(image: NDArray[np.uint8] | None) -> int:
    """The number that `image_of` was given."""
    assert image is not None
    fields = cv2.resize(image.mean(axis=2), (BITS, 2), interpolation=cv2.INTER_AREA).reshape(-1)
    return sum(1 << bit for bit, field in enumerate(fields) if field > 127)


def scene(number: int, size: tuple[int, int] = (160, 128)) -> NDArray[np.uint8]:
    """A textured image in which a bright bar moves, so that an encoded frame is large."""
    image = np.random.default_rng(7).integers(40, 140, (size[1] // 8, size[0] // 8, 3)).astype(np.uint8)
    image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    image[:, number * 4 % size[0] :][:, :16] = 250
    image[number * 3 % size[1] :, :][:16, :] = 5
    return image


def write_video(
    path: Path,
    images: int,
    *,
    frames_per_second: float = 25,
    size: tuple[int, int] = (64, 48),
    codec: str = "mp4v",
    draw: Callable[[int, tuple[int, int]], NDArray[np.uint8]] = image_of,
) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), frames_per_second, size)
    assert writer.isOpened()
    for number in range(images):
        writer.write(draw(number, size))
    writer.release()
    return path


def trimmed(whole: Path, begin: float, seconds: float, copy: Path) -> Path:
    """A copy of an MP4 whose list of edits leaves out its beginning, as a telephone trims a video."""
    content = bytearray(whole.read_bytes())

    def at(box: bytes) -> int:
        return content.index(box) + 4

    clock = struct.unpack_from(">I", content, at(b"mdhd") + 12)[0]
    movie = struct.unpack_from(">I", content, at(b"mvhd") + 12)[0]
    left = round((seconds - begin) * movie)
    struct.pack_into(">I", content, at(b"mvhd") + 16, left)
    struct.pack_into(">Ii", content, at(b"elst") + 8, left, round(begin * clock))
    copy.write_bytes(content)
    return copy


def write_images(folder: Path, names: Sequence[str]) -> None:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), image_of(number))


def damaged(whole: Path, begin: float, end: float, copy: Path) -> Path:
    """A copy of a video in which random bytes between two shares of it are wrong."""
    content = bytearray(whole.read_bytes())
    random = np.random.default_rng(1)
    places = random.integers(int(len(content) * begin), int(len(content) * end), len(content) // 200)
    for place in places:
        content[place] = random.integers(256)
    copy.write_bytes(content)
    return copy


def write_interlaced(path: Path, frames: int = 2) -> Path:
    """Interlaced H.264, 64 x 64, which OpenCV has no encoder for: grey frames of 63 bytes that x264 made."""
    head = "0000000167641015acf1134200000300020000030064280000000168fe0392c8b00000000165"
    frame = bytes.fromhex(f"{head}88822c04bff6de22fdbe0d23efd6a7a97a72fc0629f07aed")
    path.write_bytes(frame * frames)
    return path
