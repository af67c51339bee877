from pathlib import Path

import pytest

from services.trainer.datasets.download import Datasets, Reading
from services.trainer.datasets.labelled_images import read_dataset
from services.trainer.datasets.tables import DatasetError
from services.trainer.datasets.versions import keep
from shared.contracts.dataset import versions
from shared.recipe import Recipe
from shared.storage.filesystem import FilesystemStore
from tests.strokes import draw_strokes


@pytest.fixture
def reading(recipe: Recipe) -> Reading:
    return Reading(recipe, "stop", by="ada")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return draw_strokes(tmp_path / "folders" / "strokes", 12)


def put(store: FilesystemStore, folder: Path, prefix: str) -> None:
    for path in folder.rglob("*.*"):
        store.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def test_a_prefix_gets_a_version_when_it_is_trained_on_and_another_when_it_changed(
    store: FilesystemStore, source: Path, reading: Reading, tmp_path: Path
) -> None:
    put(store, source, "datasets/strokes")
    first = Datasets(store, tmp_path / "a", None).fetch("datasets/strokes/", reading)
    again = Datasets(store, tmp_path / "b", None).fetch("strokes", reading)
    assert first.version == again.version
    assert first.version.source == "datasets/strokes"
    table = store.get("datasets/strokes/labels.csv").decode().splitlines()
    store.put("datasets/strokes/labels.csv", "\n".join(table[:-1]).encode())
    shorter = Datasets(store, tmp_path / "c", None).fetch("datasets/strokes", reading)
    assert len(shorter.version.images) == 11
    assert versions(store, "strokes") == [first.version.version, shorter.version.version]


def test_a_version_is_learned_from_as_it_was(
    store: FilesystemStore, source: Path, reading: Reading, tmp_path: Path
) -> None:
    put(store, source, "datasets/strokes")
    first = Datasets(store, tmp_path / "a", None).fetch("datasets/strokes", reading).version
    store.put("datasets/strokes/labels.csv", b"name,good,dark,bright\nstroke_0000.png,True,False,False\n")
    material = Datasets(store, tmp_path / "b", None).fetch(f"datasets/{first.reference}", reading)
    assert material.version == first
    names = ("good", "dark", "bright")
    assert read_dataset(material.folder, names).examples[5].labels == read_dataset(source, names).examples[5].labels


def test_rows_that_come_in_another_order_are_learned_from_in_that_of_the_version(
    store: FilesystemStore, source: Path, reading: Reading, tmp_path: Path
) -> None:
    """Their split is that of the version that the model names, and of the training when it is resumed."""
    put(store, source, "datasets/strokes")
    first = Datasets(store, tmp_path / "a", None).fetch("datasets/strokes", reading)
    head, *rows = store.get("datasets/strokes/labels.csv").splitlines()
    store.put("datasets/strokes/labels.csv", b"\n".join([head, *reversed(rows)]))
    again = Datasets(store, tmp_path / "b", None).fetch("datasets/strokes", reading)
    assert again.version == first.version
    names = [[each.name for each in read_dataset(one.folder).examples] for one in (first, again)]
    assert names[0] == names[1]


def test_an_imported_dataset_is_named_without_its_version_for_the_newest(
    store: FilesystemStore, source: Path, reading: Reading, tmp_path: Path
) -> None:
    kept = keep(read_dataset(source), store, "strokes", by="ada", source="x").version
    for number, name in enumerate(("strokes", "datasets/strokes", "datasets/strokes/", kept.reference)):
        material = Datasets(store, tmp_path / str(number), tmp_path / "elsewhere").fetch(name, reading)
        assert material.version == kept
        assert read_dataset(material.folder).groups == read_dataset(source).groups


def test_a_folder_of_the_trainer_gets_a_version_and_its_wrong_rows_are_told(
    store: FilesystemStore, source: Path, recipe: Recipe, tmp_path: Path
) -> None:
    (source / "images" / "stroke_0003.png").unlink()
    reading = Reading(recipe, "skip", by="ada")
    material = Datasets(store, tmp_path / "cache", tmp_path / "folders").fetch("strokes", reading)
    assert (material.version.dataset, len(material.version.images)) == ("strokes", 11)
    assert any("stroke_0003.png is not there" in note for note in material.notes)
    assert len(read_dataset(material.folder, recipe.label_names).examples) == 11


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("datasets/none", "there is no dataset 'none' in object storage: import it, or put its tables"),
        ("../outside", "only folders below"),
        ("datasets/../x", "is no storage key"),
        ("strokes@0009-00000000", "no version"),
        ("x" * 300, "there is no dataset 'xxx"),
        ("a\0b", "is no storage key"),
    ],
)
def test_what_is_not_there_is_told(
    store: FilesystemStore, reading: Reading, tmp_path: Path, name: str, expected: str
) -> None:
    with pytest.raises(DatasetError, match=expected):
        Datasets(store, tmp_path / "cache", tmp_path / "folders").fetch(name, reading)
