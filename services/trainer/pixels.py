"""The pictures of a training, decoded and resized once, and kept on disk as they are read."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.trainer.dataset import Dataset, OnProblem
from services.trainer.tables import DatasetError, Problem
from shared.dataset import content_digest
from shared.recipe import PictureSpec
from shared.vision.codec import UnreadablePicture, decode
from shared.vision.preprocessing import normalise, resize

THREADS: Final = 4

Rows = NDArray[np.int64]
"""Numbers of pictures in a `PixelStore`."""


@dataclass(frozen=True)
class PixelStore:
    """The pictures of a dataset, in its order."""

    pixels: NDArray[np.uint8]
    """(pictures, height, width, channels); mapped from a file, so that it need not fit into memory."""
    labels: NDArray[np.float32]
    """(pictures, labels), 0 or 1."""
    picture: PictureSpec
    digest: str
    """``sha256:…`` of the names, labels and groups, and of the pictures' files: that of a dataset version of these."""

    def prepared(self, rows: Rows) -> NDArray[np.float32]:
        """Some pictures as a network takes them: (rows, height, width, channels)."""
        return np.stack([normalise(self.pixels[row], self.picture) for row in rows])


def decode_pictures(
    dataset: Dataset, picture: PictureSpec, folder: Path, on_problem: OnProblem = "stop"
) -> tuple[Dataset, PixelStore]:
    """Decode and resize every picture, several at a time.

    Args:
        dataset: what to decode.
        picture: the size and colours.
        folder: gets one file of height x width x channels bytes per picture.
        on_problem: what a picture that can't be decoded does.

    Returns:
        The dataset, without what could not be decoded, and its pictures.

    Raises:
        DatasetError: some can't be decoded (``stop``), or none can; the error names the rows that list them.
    """
    examples = dataset.examples
    shape = (len(examples), picture.height, picture.width, picture.channels)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)

    def load(row: int) -> str | Problem:
        """The digest of a picture that is in its place now, or why it is not."""
        example = examples[row]
        try:
            content = example.picture.read_bytes()
            pixels[row] = resize(decode(content), picture)
        except (OSError, UnreadablePicture) as error:
            return Problem(example.place, f"{example.name}: {error}")
        return hashlib.sha256(content).hexdigest()

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(load, range(len(examples))))
    problems = [result for result in results if isinstance(result, Problem)]
    if problems and (on_problem == "stop" or len(problems) == len(examples)):
        raise DatasetError(problems)
    kept = [row for row, result in enumerate(results) if isinstance(result, str)]
    dataset = replace(dataset, examples=tuple(examples[row] for row in kept), problems=(*dataset.problems, *problems))
    labels = np.array([example.labels for example in dataset.examples], np.float32)
    contents = (str(results[row]) for row in kept)
    digest = content_digest(
        dataset.label_names,
        (
            (each.name, content, each.group, each.labels)
            for each, content in zip(dataset.examples, contents, strict=True)
        ),
    )
    return dataset, PixelStore(pixels if not problems else pixels[kept], labels, picture, digest)
