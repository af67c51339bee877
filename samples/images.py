"""Draw a set of labelled images to train on, with masks and groups."""

import csv
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from samples.choices import chance, one_of
from samples.defect import KINDS_OF, DefectLabel
from samples.still import STITCHES, draw_seam
from samples.swatch import Swatch
from samples.truth import LABELS, Frame

Row: TypeAlias = dict[str, str | bool]
BOTH = 0.2
"""Share of the defective images that have an error and a break at once."""
CHUNK = 16
"""Number of images that a process draws before it gets more."""


@dataclass(frozen=True)
class ImageSet:
    """Images to be drawn. The same set has the same pixels, whatever the number of processes."""

    count: int
    seed: int
    size: int
    defect_rate: float
    cloths: Sequence[Swatch]
    """They take turns; everything else is random."""
    varied: bool = False
    """Whether they look as from many cameras, with the defects of the cloth among the errors."""

    def draw(self, number: int) -> tuple[str, Frame]:
        """Return image `number`, from 0, with its name."""
        rng = np.random.default_rng([self.seed, number])
        stitch = one_of(rng, STITCHES)
        own_seed = int(rng.integers(2**31))
        cloth = self.cloths[number % len(self.cloths)]
        frame = draw_seam(
            own_seed,
            cloth=cloth,
            defects=_labels(self.defect_rate, rng),
            stitch=stitch,
            size=self.size,
            varied=self.varied,
        )
        return f"seam_{self.seed}_{number:06d}.png", frame


def write_images(images: ImageSet, folder: Path, processes: int = 1) -> Iterator[tuple[Row, Row]]:
    """Write images/, masks/ and masks_by_label/.

    Args:
        images: what to draw.
        folder: created if it is missing.
        processes: number of processes that draw at once.

    Yields:
        The rows of `labels.csv` and `groups.csv` of each image, in order, when it is written.
    """
    for name in ("images", "masks", "masks_by_label"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write = partial(_write_image, images, folder)
    if processes == 1:
        yield from map(write, range(images.count))
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(write, range(images.count), chunksize=CHUNK)


def write_tables(rows: Iterable[tuple[Row, Row]], folder: Path) -> None:
    """Write labels.csv and groups.csv."""
    labels, groups = zip(*rows, strict=True)
    _write_table(folder / "labels.csv", ("name", *LABELS), labels)
    _write_table(folder / "groups.csv", ("name", "group", "cloth", "thread"), groups)


def _labels(defect_rate: float, rng: np.random.Generator) -> set[DefectLabel]:
    """Which labels an image shall have."""
    if not chance(rng, defect_rate):
        return set()
    if chance(rng, BOTH):
        return {"error", "break"}
    return {one_of(rng, tuple(KINDS_OF))}


def _group(name: str, frame: Frame) -> Row:
    truth = frame.truth
    return {"name": name, "group": truth.swatch.name, "cloth": truth.cloth, "thread": truth.thread}


def _write_image(images: ImageSet, folder: Path, number: int) -> tuple[Row, Row]:
    name, frame = images.draw(number)
    image, truth = frame
    cv2.imwrite(str(folder / "images" / name), image)
    everything = np.zeros(image.shape[:2], dtype=np.uint8)
    for label, mask in truth.masks.items():
        everything |= mask
        cv2.imwrite(str(folder / "masks_by_label" / f"{Path(name).stem}_{label}.png"), mask)
    if truth.masks:
        cv2.imwrite(str(folder / "masks" / name), everything)
    return {"name": name, **truth.labels}, _group(name, frame)


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    with path.open("w", newline="") as table:
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
