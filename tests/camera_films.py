"""Films and folders whose every picture can be told from the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

BITS = 8


def picture_of(number: int, size: tuple[int, int] = (64, 48)) -> NDArray[np.uint8]:
    """A picture that says its number (to 65,535) in two rows of black and white fields: readable after any codec."""
    fields = np.array([255 * (number >> bit & 1) for bit in range(2 * BITS)], np.uint8).reshape(2, BITS)
    picture = cv2.resize(fields, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)


def number_of(picture: NDArray[np.uint8] | None) -> int:
    """What `picture_of` was told."""
    assert picture is not None
    fields = cv2.resize(picture.mean(axis=2), (BITS, 2), interpolation=cv2.INTER_AREA).reshape(-1)
    return sum(1 << bit for bit, field in enumerate(fields) if field > 127)


def write_film(
    path: Path, pictures: int, *, frames_per_second: float = 25, size: tuple[int, int] = (64, 48), codec: str = "mp4v"
) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), frames_per_second, size)
    assert writer.isOpened()
    for number in range(pictures):
        writer.write(picture_of(number, size))
    writer.release()
    return path


def write_pictures(folder: Path, names: Sequence[str]) -> None:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), picture_of(number))
