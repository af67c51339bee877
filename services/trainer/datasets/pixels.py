"""Decode and resize the images of a training once, and store them in a file on disk."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.trainer.datasets.references import read_references, split_references
from shared.contracts.dataset import content_digest
from shared.datasets.labelled_images import Dataset, OnProblem
from shared.datasets.tables import DatasetError, Problem
from shared.imaging.codec import UnreadableImage, as_jpeg_or_png, decode
from shared.imaging.preprocessing import normalise, pixels_of
from shared.imaging.references import NotAligned, References
from shared.recipe import ImageSpec

THREADS: Final = 4

PNG: Final = b"\x89PNG"
PNG_DEPTH: Final = 24
"""Position of the number of bits per channel in the header of a PNG."""

Rows = NDArray[np.int64]
"""Indices of images in a `PixelStore`."""


@dataclass(frozen=True)
class PixelStore:
    """The images of a dataset, in its order."""

    pixels: NDArray[np.uint8]
    """(images, height, width, channels); mapped from a file, so that they need not fit into memory. With references,
    the channels of an image are followed by those of its reference."""
    labels: NDArray[np.float32]
    """(images, labels), 0 or 1."""
    image: ImageSpec
    digest: str
    """``sha256:…`` of names, labels, groups and image files: the digest of a dataset version with these images."""
    references: References | None = None
    """The reference images with which the images are compared; they are not among the images."""

    def prepared(self, rows: Rows) -> NDArray[np.float32]:
        """Return some images as input of a network: (rows, height, width, channels)."""
        return np.stack([normalise(self.pixels[row], self.image) for row in rows])


class DecodedImage(NamedTuple):
    """A decoded image."""

    digest: str
    is_dim: bool


def decode_images(
    dataset: Dataset,
    image: ImageSpec,
    folder: Path,
    on_problem: OnProblem = "stop",
    references: References | None = None,
) -> tuple[Dataset, PixelStore]:
    """Decode and resize every image, several at a time, and put its reference image beside it, if the recipe has any.

    Args:
        dataset: the images to decode.
        image: the size and the colours of the network's input.
        folder: gets one file, with height x width x channels bytes per image.
        on_problem: whether to stop at an image that can't be decoded or aligned with a reference, or to skip it.
        references: the reference images of a model; None for those of the dataset that the recipe names.

    Returns:
        The dataset without its reference images and without the images that can't be decoded or aligned, and the
        decoded images.

    Raises:
        DatasetError: some images (``stop``) or all images can't be decoded or aligned, and the error names their rows;
            or the reference images can't be used.
    """
    dataset, named = split_references(dataset, image)
    if image.reference and references is None:
        references = read_references(named, image)
    examples = dataset.examples
    shape = (len(examples), *image.shape)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)

    def load(row: int) -> DecodedImage | Problem:
        example = examples[row]
        try:
            content = as_jpeg_or_png(example.image.read_bytes())
            decoded = decode(content)
            pixels[row] = pixels_of(decoded, image, references)
        except (OSError, UnreadableImage, NotAligned) as error:
            return Problem(example.place, f"{example.name} can't be used: {error}", str(error))
        # a PNG of 16 bits that uses only 12 of them has 4 bits left in the 8 highest, which are decoded
        is_dim = content.startswith(PNG) and content[PNG_DEPTH] == 16 and bool(decoded.max() < 16)
        return DecodedImage(hashlib.sha256(content).hexdigest(), is_dim)

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(load, range(len(examples))))
    problems = [result for result in results if isinstance(result, Problem)]
    if problems and (on_problem == "stop" or len(problems) == len(examples)):
        raise DatasetError(problems)
    loaded = [(row, result) for row, result in enumerate(results) if isinstance(result, DecodedImage)]
    readable = [replace(examples[row], digest=each.digest) for row, each in loaded]
    dim = [example for example, (_, each) in zip(readable, loaded, strict=True) if each.is_dim]
    warning = (
        f"{len(dim)} of {len(readable)} images use 12 or fewer of their 16 bits, and are nearly black: "
        f"scale their values to 65535 (the first is {dim[0].name}, {dim[0].place})"
        if dim
        else None
    )
    dataset = replace(
        dataset,
        examples=tuple(readable),
        problems=(*dataset.problems, *problems),
        warnings=(*dataset.warnings, *([warning] if warning else [])),
    )
    labels = np.array([example.labels for example in dataset.examples], np.float32)
    contents = (as_jpeg_or_png(example.image.read_bytes()) for example in named)
    hashed = [
        replace(example, digest=hashlib.sha256(content).hexdigest())
        for example, content in zip(named, contents, strict=True)
    ]
    digest = content_digest(
        dataset.given_names or dataset.label_names,
        (
            (each.name, each.digest, each.group, each.given_labels or each.labels)
            for each in (*dataset.examples, *hashed)
        ),
    )
    # moved up in the file, since all images need not fit into memory
    for place, (row, _) in enumerate(loaded):
        if place != row:
            pixels[place] = pixels[row]
    return dataset, PixelStore(pixels[: len(loaded)], labels, image, digest, references)
