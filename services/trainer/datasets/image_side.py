"""Choose the size of the network's images by the images of a dataset."""

from __future__ import annotations

from contextlib import suppress
from statistics import median
from typing import Final

from shared.datasets.labelled_images import Dataset
from shared.imaging.codec import UnreadableImage, as_jpeg_or_png, size_of
from shared.recipe_draft import side_for

SAMPLE_SIZE: Final = 20
"""Number of images whose size is read."""


def side_of(dataset: Dataset) -> int:
    """Return the side of the network's images for a dataset, see `side_for`."""
    return side_for(shorter_sides(dataset))


def original_side(dataset: Dataset) -> int:
    """Return the median of the shorter sides of some images, in pixels; 0 if none can be read."""
    return int(median(shorter_sides(dataset) or [0]))


def shorter_sides(dataset: Dataset) -> list[int]:
    """Return the shorter sides of some images, in pixels.

    Images that can't be read are left out here; they are reported when all images are decoded.
    """
    sides: list[int] = []
    for example in dataset.examples:
        if len(sides) == SAMPLE_SIZE:
            break
        with suppress(OSError, UnreadableImage):
            sides.append(min(size_of(as_jpeg_or_png(example.image.read_bytes()))))
    return sides
