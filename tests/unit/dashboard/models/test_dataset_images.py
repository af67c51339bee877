"""The images of a model's dataset version, small; a model of a folder has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.dashboard.models.dataset_images import WIDTH, DatasetImages
from services.dashboard.web.problems import Problem
from shared.contracts.dataset import LabelledImage, image_key, make_version, put_image, write_version
from shared.imaging.codec import encode, size_of
from shared.language import speak
from shared.storage.filesystem import FilesystemStore


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path)


def put_version(store: FilesystemStore) -> str:
    digest = put_image(store, encode(np.full((300, 480, 3), 90, np.uint8), "jpeg"))
    images = [LabelledImage(name=name, digest=digest, labels=(True,), group=name) for name in ("a.jpg", "b.jpg")]
    images.append(LabelledImage(name="lost.jpg", digest="0" * 64, labels=(True,), group="lost"))
    version = make_version("seams", 1, ["good"], images, by="eva", source="a test")
    write_version(store, version)
    return version.reference


def test_an_image_of_a_dataset_version_is_made_small(store: FilesystemStore) -> None:
    images, dataset = DatasetImages(store), put_version(store)
    assert images.has(dataset)
    assert size_of(images.thumbnail(dataset, "a.jpg")) == (WIDTH, 150)


def test_an_image_that_is_not_stored_is_a_problem(store: FilesystemStore) -> None:
    images, dataset = DatasetImages(store), put_version(store)
    for name in ("c.jpg", "lost.jpg"):
        with pytest.raises(Problem) as problem:
            images.thumbnail(dataset, name)
        assert problem.value.details.status == 404
    store.put(image_key("0" * 64), b"no image")
    with pytest.raises(Problem, match="can't be read"):
        images.thumbnail(dataset, "lost.jpg")


@pytest.mark.parametrize("dataset", ["sha256:" + "0" * 64, "datasets/seam", "/data/Öse@1", "seams@0009-00000000", ""])
def test_a_model_of_a_folder_has_no_images(store: FilesystemStore, dataset: str) -> None:
    images = DatasetImages(store)
    assert not images.has(dataset)
    with pytest.raises(Problem, match="trained on a folder"):
        images.thumbnail(dataset, "a.jpg")


def test_the_reason_is_told_in_the_language_of_the_reader(store: FilesystemStore) -> None:
    images, dataset = DatasetImages(store), put_version(store)
    speak("de")
    with pytest.raises(Problem, match=r"es gibt kein Objekt datasets/images/0{64}"):
        images.thumbnail(dataset, "lost.jpg")
    speak("en")
