"""A reference to a dataset: to a version, to the newest one, or to a folder of the trainer."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.dashboard.datasets.service import DatasetsService
from shared.contracts.dataset import LabelledImage, make_version, write_version
from shared.storage.filesystem import FilesystemStore


def test_a_reference_is_to_a_version_or_to_the_newest_one(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    images = [LabelledImage(name="1.png", digest="0" * 64, labels=(True,), group="1")]
    first, second = (make_version("seam", number, ("good",), images, by="eva", source="a test") for number in (1, 2))
    for version in (first, second):
        write_version(store, version)
    found = [DatasetsService(store).version(reference) for reference in ("seam", first.reference)]
    assert [each.reference for each in found if each] == [second.reference, first.reference]


@pytest.mark.parametrize(
    "reference", ["/data/seam", "Nähte 2026", "data/Öse@1", "seam@Öse", "seam@", "../seam", "@", ""]
)
def test_a_folder_of_the_trainer_is_no_version(tmp_path: Path, reference: str) -> None:
    assert DatasetsService(FilesystemStore(tmp_path)).version(reference) is None
