"""A version that is exported in another format is read back with its labels, masks and groups."""

from __future__ import annotations

from itertools import compress
from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.datasets.formats.export import (
    COMBINED_MASKS,
    EMPTY,
    HOLES,
    OF_NO_LABEL,
    UNUSED,
    ExportFormat,
    export_version_as,
)
from shared.datasets.importing import import_dataset
from shared.datasets.labelled_images import Dataset, Example
from shared.datasets.reading import read_dataset
from shared.imaging.codec import encode
from shared.label_names import label_slug
from shared.storage.filesystem import FilesystemStore

LABELS = ("gut", "Kratzer tief/breit", "dent")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images: a good one, one with two marked defects, one with a defect that is not marked."""
    folder = tmp_path / "source"
    (folder / "images" / "sub").mkdir(parents=True)
    for number in range(3):
        image = np.full((30, 40, 3), 60 * number, np.uint8)
        (folder / "images" / "sub" / f"{number}.png").write_bytes(encode(image, "png"))
    (folder / "labels.csv").write_text(
        f"name,{','.join(LABELS)}\nsub/0.png,1,0,0\nsub/1.png,0,1,1\nsub/2.png,0,0,1\n", encoding="utf-8"
    )
    (folder / "groups.csv").write_text("name,group\nsub/0.png,a\nsub/1.png,a\nsub/2.png,b\n")
    masks = folder / "masks_by_label" / "sub"
    masks.mkdir(parents=True)
    ring = np.zeros((30, 40), np.uint8)
    cv2.circle(ring, (20, 15), 8, 255, 3)
    spot = np.zeros((30, 40), np.uint8)
    spot[3:9, 4:11] = 255
    (masks / "1_dent.png").write_bytes(encode(ring, "png"))
    (masks / f"1_{label_slug('Kratzer tief/breit')}.png").write_bytes(encode(spot, "png"))
    return folder


def masks_of(example: Example) -> dict[str, np.ndarray]:
    return {name: np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) > 127 for name, path in example.masks}


@pytest.mark.parametrize("format_", [ExportFormat.COCO, ExportFormat.LABEL_STUDIO])
def test_an_export_is_read_back(folder: Path, tmp_path: Path, store: FilesystemStore, format_: ExportFormat) -> None:
    before = read_dataset(folder)
    version = import_dataset(before, store, "parts", by="ada", source="x").version
    count = export_version_as(format_, version, store, tmp_path / "out")
    assert (count.images, count.labels, count.masks) == (3, 4, 2)
    after = read_dataset(tmp_path / "out", LABELS)
    assert [(each.name, each.labels, each.group) for each in after.examples] == [
        (each.name, each.labels, each.group) for each in before.examples
    ]
    marked, again = masks_of(before.examples[1]), masks_of(after.examples[1])
    assert marked.keys() == again.keys()
    for name, mask in marked.items():
        if count.skipped[HOLES] and "dent" in name:
            assert again[name].sum() > mask.sum(), "the ring is filled"
        else:
            assert np.array_equal(again[name], mask)
    assert count.skipped[HOLES] == (1 if format_ is ExportFormat.LABEL_STUDIO else 0)
    assert after.examples[0].masks == after.examples[2].masks == ()


def labels_of(dataset: Dataset) -> dict[str, list[str]]:
    return {each.name: sorted(compress(dataset.label_names, each.labels)) for each in dataset.examples}


@pytest.mark.parametrize("format_", [ExportFormat.COCO, ExportFormat.LABEL_STUDIO])
def test_what_an_export_cant_hold_is_counted_and_no_label_is_lost(
    folder: Path, tmp_path: Path, store: FilesystemStore, format_: ExportFormat
) -> None:
    images = folder / "images" / "sub"
    odd = "50% #3 & +é (1).png"
    (images / "2.png").rename(images / odd)
    (folder / "labels.csv").write_text(
        f"name,gut,Kratzer tief/breit,dent,never\nsub/0.png,1,0,0,0\nsub/1.png,0,1,1,0\nsub/{odd},0,0,1,0\n",
        encoding="utf-8",
    )
    (folder / "groups.csv").unlink()
    spot, nothing = np.zeros((30, 40), np.uint8), np.zeros((30, 40), np.uint8)
    spot[20:24, 30:36] = 255
    by_label, together = folder / "masks_by_label" / "sub", folder / "masks" / "sub"
    together.mkdir(parents=True)
    for path, mask in {
        by_label / "0_dent.png": spot,
        by_label / odd.replace(".png", "_dent.png"): nothing,
        together / "1.png": spot,
        together / odd: spot,
    }.items():
        path.write_bytes(encode(mask, "png"))
    before = read_dataset(folder)
    version = import_dataset(before, store, "parts", by="ada", source="x").version
    count = export_version_as(format_, version, store, tmp_path / "out")
    after = read_dataset(tmp_path / "out")
    assert labels_of(after) == labels_of(before)
    assert (count.images, count.labels, count.masks) == (3, 4, 3)
    assert sum(len(each.masks) for each in before.examples) == count.masks + 3
    assert (count.skipped[COMBINED_MASKS], count.skipped[OF_NO_LABEL], count.skipped[EMPTY]) == (1, 1, 1)
    assert sum(len(each.masks) for each in after.examples) == count.masks
    assert set(before.label_names) - set(after.label_names) == ({"never"} if count.skipped[UNUSED] else set())
    assert count.skipped[UNUSED] == (1 if format_ is ExportFormat.LABEL_STUDIO else 0)
