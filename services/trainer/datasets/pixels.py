"""The images of a training, decoded and resized once, and kept on disk as they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.trainer.datasets.labelled_images import Dataset, Example, OnProblem
from services.trainer.datasets.tables import DatasetError, Problem
from shared.contracts.dataset import content_digest
from shared.imaging.codec import Image, UnreadableImage, decode
from shared.imaging.preprocessing import normalise, resize
from shared.recipe import ImageSpec

THREADS: Final = 4

PNG: Final = b"\x89PNG"
PNG_DEPTH: Final = 24
"""Where the header has the bits of a channel."""

Rows = NDArray[np.int64]
"""Numbers of images in a `PixelStore`."""


@dataclass(frozen=True)
class PixelStore:
    """The images of a dataset, in its order."""

    pixels: NDArray[np.uint8]
    """(images, height, width, channels); mapped from a file, so that it need not fit into memory."""
    labels: NDArray[np.float32]
    """(images, labels), 0 or 1."""
    image: ImageSpec
    digest: str
    """``sha256:…`` of the names, labels and groups, and of the images' files: that of a dataset version of these."""

    def prepared(self, rows: Rows) -> NDArray[np.float32]:
        """Some images as a network takes them: (rows, height, width, channels)."""
        return np.stack([normalise(self.pixels[row], self.image) for row in rows])


class _Loaded(NamedTuple):
    """What a decoded image is."""

    digest: str
    is_dim: bool


def decode_images(
    dataset: Dataset, image: ImageSpec, folder: Path, on_problem: OnProblem = "stop"
) -> tuple[Dataset, PixelStore]:
    """Decode and resize every image, several at a time.

    Args:
        dataset: what to decode.
        image: the size and colours.
        folder: gets one file of height x width x channels bytes per image.
        on_problem: what an image that can't be decoded does.

    Returns:
        The dataset, without what could not be decoded, and its images.

    Raises:
        DatasetError: some can't be decoded (``stop``), or none can; the error names the rows that list them.
    """
    examples = dataset.examples
    shape = (len(examples), image.height, image.width, image.channels)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)

    def load(row: int) -> _Loaded | Problem:
        """What an image is that is in its place now, or why it is not."""
        example = examples[row]
        try:
            content = example.image.read_bytes()
            decoded = decode(content)
            pixels[row] = resize(decoded, image)
        except (OSError, UnreadableImage) as error:
            return Problem(example.place, f"{example.name}: {error}")
        return _Loaded(hashlib.sha256(content).hexdigest(), _is_dim(content, decoded))

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(load, range(len(examples))))
    problems = [result for result in results if isinstance(result, Problem)]
    if problems and (on_problem == "stop" or len(problems) == len(examples)):
        raise DatasetError(problems)
    kept = [row for row, result in enumerate(results) if isinstance(result, _Loaded)]
    loaded = [result for result in results if isinstance(result, _Loaded)]
    there = [replace(examples[row], digest=found.digest) for row, found in zip(kept, loaded, strict=True)]
    dataset = replace(
        dataset,
        examples=tuple(there),
        problems=(*dataset.problems, *problems),
        warnings=(*dataset.warnings, *_dim_ones(there, loaded)),
    )
    labels = np.array([example.labels for example in dataset.examples], np.float32)
    digest = content_digest(
        dataset.label_names,
        ((each.name, each.digest, each.group, each.labels) for each in dataset.examples),
    )
    return dataset, PixelStore(_closed_up(pixels, kept), labels, image, digest)


def _closed_up(pixels: NDArray[np.uint8], kept: Sequence[int]) -> NDArray[np.uint8]:
    """The rows that are kept, moved up in the file itself: all of them together need not fit into memory."""
    for place, row in enumerate(kept):
        if place != row:
            pixels[place] = pixels[row]
    return pixels[: len(kept)]


def _is_dim(content: bytes, image: Image) -> bool:
    """Whether a PNG of 16 bits uses 12 of them at most: of the 8 highest, which are decoded, 4 are left."""
    return content.startswith(PNG) and content[PNG_DEPTH] == 16 and bool(image.max() < 16)


def _dim_ones(examples: Sequence[Example], loaded: Sequence[_Loaded]) -> list[str]:
    dim = [example for example, each in zip(examples, loaded, strict=True) if each.is_dim]
    if not dim:
        return []
    return [
        f"{len(dim)} of {len(examples)} images use 12 or fewer of their 16 bits, and are nearly black: "
        f"scale their values to 65535 (the first is {dim[0].name}, {dim[0].place})"
    ]
