from dataclasses import replace
from pathlib import Path

import pytest

from services.trainer.datasets.download import DatasetAccess, DownloadedDataset
from services.trainer.datasets.versions import dataset_of, with_labels
from shared.contracts.dataset import versions
from shared.datasets.importing import import_dataset
from shared.datasets.reading import read_dataset
from shared.datasets.tables import DatasetError
from shared.recipe import Recipe, parse_recipe
from shared.storage.filesystem import FilesystemStore
from tests.strokes import STROKES, draw_strokes

NAMES = ("good", "dark", "bright")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return draw_strokes(tmp_path / "folders" / "strokes", 12)


@pytest.fixture
def fetch(store: FilesystemStore, recipe: Recipe, tmp_path: Path) -> "Fetch":
    return Fetch(store, recipe, tmp_path)


class Fetch:
    """Fetches datasets, each into a cache of its own."""

    def __init__(self, store: FilesystemStore, recipe: Recipe, folder: Path) -> None:
        self._store, self._recipe, self._folder = store, recipe, folder
        self._caches = 0

    def __call__(self, dataset: str) -> DownloadedDataset:
        self._caches += 1
        datasets = DatasetAccess(self._store, self._folder / f"cache-{self._caches}", self._folder / "folders")
        return datasets.fetch(dataset, self._recipe, requested_by="ada")


def test_a_folder_becomes_a_version_when_it_is_trained_on_and_another_when_it_changed(
    store: FilesystemStore, source: Path, fetch: Fetch
) -> None:
    first, again = fetch("strokes"), fetch("strokes")
    assert first.version == again.version
    assert first.version.source == "strokes"
    table = (source / "labels.csv").read_text().splitlines()
    (source / "labels.csv").write_text("\n".join(table[:-1]))
    shorter = fetch("strokes")
    assert len(shorter.version.images) == len(shorter.dataset.examples) == 11
    assert versions(store, "strokes") == [first.version.version, shorter.version.version]


def test_a_version_is_learned_from_as_it_was(source: Path, fetch: Fetch) -> None:
    first = fetch("strokes").version
    before = read_dataset(source, NAMES)
    (source / "labels.csv").write_text("name,good,dark,bright\nstroke_0000.png,True,False,False\n")
    found = fetch(f"datasets/{first.reference}")
    assert found.version == first
    for then, now in zip(before.examples, found.dataset.examples, strict=True):
        assert (now.name, now.group, now.labels) == (then.name, then.group, then.labels)
        assert now.image.read_bytes() == then.image.read_bytes()


def test_each_image_is_downloaded_once(source: Path, fetch: Fetch) -> None:
    first = (source / "images" / "stroke_0000.png").read_bytes()
    (source / "images" / "stroke_0001.png").write_bytes(first)
    found = fetch("strokes")
    assert len(list(found.dataset.examples[0].image.parent.iterdir())) == 11
    assert found.dataset.examples[0].image == found.dataset.examples[1].image


def test_rows_that_come_in_another_order_are_learned_from_in_that_of_the_version(source: Path, fetch: Fetch) -> None:
    """Their split is that of the version that the model names, and of the training when it is resumed."""
    first = fetch("strokes")
    head, *rows = (source / "labels.csv").read_text().splitlines()
    (source / "labels.csv").write_text("\n".join([head, *reversed(rows)]))
    again = fetch("strokes")
    assert again.version == first.version
    assert [each.name for each in again.dataset.examples] == [each.name for each in first.dataset.examples]


def test_an_imported_dataset_is_named_without_its_version_for_the_newest(
    store: FilesystemStore, recipe: Recipe, source: Path, tmp_path: Path
) -> None:
    imported = import_dataset(read_dataset(source), store, "strokes", by="ada", source="x").version
    for number, name in enumerate(("strokes", "datasets/strokes", "datasets/strokes/", imported.reference)):
        datasets = DatasetAccess(store, tmp_path / str(number), tmp_path / "elsewhere")
        found = datasets.fetch(name, recipe, requested_by="ada")
        assert found.version == imported
        assert found.dataset.group_count == read_dataset(source).group_count


def test_a_folder_of_the_trainer_gets_a_version_and_its_wrong_rows_are_reported(
    store: FilesystemStore, source: Path, recipe: Recipe, tmp_path: Path
) -> None:
    (source / "images" / "stroke_0003.png").unlink()
    datasets = DatasetAccess(store, tmp_path / "cache", tmp_path / "folders")
    found = datasets.fetch("strokes", recipe, requested_by="ada", on_problem="skip")
    assert (found.version.dataset, len(found.version.images)) == ("strokes", 11)
    assert any("stroke_0003.png is not there" in note for note in found.import_warnings)
    assert len(found.dataset.examples) == 11


def test_a_version_that_does_not_fit_the_recipe_is_not_learned_from(
    store: FilesystemStore, source: Path, recipe: Recipe
) -> None:
    dataset = dataset_of(import_dataset(read_dataset(source), store, "strokes", by="ada", source="x").version)
    with pytest.raises(DatasetError, match=r"the dataset has no label good, dark: "):
        with_labels(replace(dataset, label_names=("fine", "dim", "bright")), recipe, "skip")
    extra = replace(dataset, label_names=(*dataset.label_names, "stain"))
    extra = replace(extra, examples=tuple(replace(each, labels=(*each.labels, True)) for each in extra.examples))
    with pytest.raises(DatasetError, match=r"labels.csv, line 1: the recipe has no label stain"):
        with_labels(extra, recipe, "stop")
    fitting = with_labels(extra, recipe, "skip")
    assert [each.labels for each in fitting.examples] == [
        each.labels for each in with_labels(dataset, recipe, "stop").examples
    ]
    exclusive = parse_recipe(STROKES.replace("multi-label", "exclusive"))
    none_true = replace(dataset.examples[0], labels=(False, False, False))
    wrong = replace(dataset, examples=(none_true, *dataset.examples[1:]))
    with pytest.raises(DatasetError, match=r"labels.csv, line 2: no label is true, and the recipe wants exactly one"):
        with_labels(wrong, exclusive, "stop")
    assert all(sum(each.labels) == 1 for each in with_labels(wrong, exclusive, "skip").examples)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("datasets/none", "there is no dataset 'none' in object storage: make it from annotations on the dashboard"),
        ("../outside", "only folders below"),
        ("datasets/../x", "is not a storage key"),
        ("strokes@0009-00000000", "no version"),
        ("x" * 300, "there is no dataset 'xxx"),
        ("a\0b", "is not a storage key"),
    ],
)
def test_a_dataset_that_is_not_there_is_named(fetch: Fetch, name: str, expected: str) -> None:
    with pytest.raises(DatasetError, match=expected):
        fetch(name)
