"""Decode and resize the images of a training once, and store them in a file on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.trainer.datasets.references import read_references, split_references
from shared.contracts.dataset import content_digest
from shared.datasets.coverage import OTHER_LABELS, contradictions
from shared.datasets.labelled_images import Dataset, Example, OnProblem
from shared.datasets.tables import DatasetError, Problem, problem_lines
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
    """It uses 12 or fewer of its 16 bits, and is nearly black."""
    is_even: bool
    """All its pixels have one colour."""
    masks: tuple[tuple[str, Path], ...]
    """The masks of the image that can be decoded."""
    problems: tuple[Problem, ...]
    """Why other masks can't be decoded."""


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
        on_problem: whether to stop at an image or mask that can't be decoded, or an image that can't be aligned with a
            reference; or to skip it. An image whose mask is skipped stays.
        references: the reference images of a model; None for those of the dataset that the recipe names.

    Returns:
        The dataset without its reference images, and without the images and masks that can't be decoded or aligned;
        and the decoded images.

    Raises:
        DatasetError: some images or masks (``stop``) or all images can't be decoded or aligned, and the error names
            their rows; or the reference images can't be used.
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
        is_even = bool((decoded == decoded[:1, :1]).all())
        return DecodedImage(hashlib.sha256(content).hexdigest(), is_dim, is_even, *readable_masks(example))

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(load, range(len(examples))))
    problems = [problem for each in results for problem in ([each] if isinstance(each, Problem) else each.problems)]
    loaded = [(row, result) for row, result in enumerate(results) if isinstance(result, DecodedImage)]
    if problems and (on_problem == "stop" or not loaded):
        raise DatasetError(problems)
    readable = [replace(examples[row], digest=each.digest, masks=each.masks) for row, each in loaded]
    dataset = replace(
        dataset,
        examples=tuple(readable),
        problems=(*dataset.problems, *problems),
        warnings=(*dataset.warnings, *warnings_of(readable, [each for _, each in loaded])),
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


def readable_masks(example: Example) -> tuple[tuple[tuple[str, Path], ...], tuple[Problem, ...]]:
    """Return the masks of an image that can be decoded, and why others can't be."""
    masks, problems = [], []
    for name, path in example.masks:
        try:
            decode(as_jpeg_or_png(path.read_bytes()))
            masks.append((name, path))
        except (OSError, UnreadableImage) as error:
            problems.append(Problem(example.place, f"{name}, the mask of {example.name}: {error}"))
    return tuple(masks), tuple(problems)


def warnings_of(examples: Sequence[Example], images: Sequence[DecodedImage]) -> list[str]:
    """Return warnings about images that can't teach: nearly black, of one colour, or equal with other labels."""
    dim = [example for example, image in zip(examples, images, strict=True) if image.is_dim]
    even = [example for example, image in zip(examples, images, strict=True) if image.is_even]
    warnings = []
    if dim:
        warnings.append(
            f"{len(dim)} of {len(images)} images use 12 or fewer of their 16 bits, and are nearly black: "
            f"scale their values to 65535 (the first is {dim[0].name}, {dim[0].place})"
        )
    if even:
        warnings.append(
            f"{len(even)} of {len(images)} images have one colour alone, and show nothing to learn: check them "
            f"(the first is {even[0].name}, {even[0].place})"
        )
    return [*warnings, *problem_lines([each for each in contradictions(examples) if each.cause == OTHER_LABELS])]
