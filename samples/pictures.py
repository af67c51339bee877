"""A set of labelled pictures to train on, with masks and groups."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from samples.defect import KINDS_OF, DefectLabel
from samples.lots import chance, one_of
from samples.still import STITCHES, draw_seam
from samples.swatch import Swatch
from samples.truth import LABELS, Frame

Row: TypeAlias = dict[str, str | bool]
BOTH = 0.2
"""Share of the defective pictures that have an error and a break at once."""


def draw_pictures(
    count: int, seed: int, size: int, defect_rate: float, cloths: Sequence[Swatch]
) -> Iterator[tuple[str, Frame]]:
    """`count` pictures with their names; the swatches take turns, and all else is drawn by lot."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        stitch = one_of(rng, STITCHES)
        own_seed = int(rng.integers(2**31))
        cloth = cloths[number % len(cloths)]
        frame = draw_seam(own_seed, cloth=cloth, defects=_labels(defect_rate, rng), stitch=stitch, size=size)
        yield f"seam_{seed}_{number:06d}.png", frame


def write_pictures(pictures: Iterator[tuple[str, Frame]], folder: Path) -> None:
    """Write images/, masks/, masks_by_label/, labels.csv and groups.csv."""
    for name in ("images", "masks", "masks_by_label"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    labels: list[Row] = []
    groups: list[Row] = []
    for name, frame in pictures:
        _write_picture(folder, name, frame)
        labels.append({"name": name, **frame.truth.labels})
        groups.append(_group(name, frame))
    _write_table(folder / "labels.csv", ("name", *LABELS), labels)
    _write_table(folder / "groups.csv", ("name", "group", "cloth", "thread"), groups)


def _labels(defect_rate: float, rng: np.random.Generator) -> set[DefectLabel]:
    """Which labels a picture shall have."""
    if not chance(rng, defect_rate):
        return set()
    if chance(rng, BOTH):
        return {"error", "break"}
    return {one_of(rng, tuple(KINDS_OF))}


def _group(name: str, frame: Frame) -> Row:
    truth = frame.truth
    return {"name": name, "group": truth.swatch.name, "cloth": truth.cloth, "thread": truth.thread}


def _write_picture(folder: Path, name: str, frame: Frame) -> None:
    picture, truth = frame
    cv2.imwrite(str(folder / "images" / name), picture)
    everything = np.zeros(picture.shape[:2], dtype=np.uint8)
    for label, mask in truth.masks.items():
        everything |= mask
        cv2.imwrite(str(folder / "masks_by_label" / f"{Path(name).stem}_{label}.png"), mask)
    if truth.masks:
        cv2.imwrite(str(folder / "masks" / name), everything)


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    with path.open("w", newline="") as table:
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
