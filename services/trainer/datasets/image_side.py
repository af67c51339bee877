"""Choose the size of the network's images by the images of a dataset."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from shared.datasets.labelled_images import Dataset
from shared.imaging.codec import UnreadableImage, as_jpeg_or_png, size_of
from shared.recipe_draft import side_for

SAMPLE_SIZE: Final = 20
"""Number of images whose size is read."""


def side_of(dataset: Dataset) -> int:
    """Return the side of the network's images for a dataset, see `side_for`.

    Images that can't be read are left out here; they are reported when all images are decoded.
    """
    sides: list[int] = []
    for example in dataset.examples:
        if len(sides) == SAMPLE_SIZE:
            break
        with suppress(OSError, UnreadableImage):
            sides.append(min(size_of(as_jpeg_or_png(example.image.read_bytes()))))
    return side_for(sides)
