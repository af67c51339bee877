import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from services.trainer.datasets.pixels import decode_images
from services.trainer.datasets.split import split, tables
from services.trainer.datasets.versions import dataset_of, export_version, find_version
from shared.contracts.dataset import DatasetVersionError, datasets, image_key, read_version, versions, write_version
from shared.contracts.training import Shares
from shared.datasets.importing import Imported, import_dataset
from shared.datasets.labelled_images import Dataset
from shared.datasets.reading import read_dataset
from shared.datasets.tables import DatasetError
from shared.imaging.codec import encode
from shared.recipe import ImageSpec
from shared.storage.filesystem import FilesystemStore

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images in images/, and their labels."""
    folder = tmp_path / "seams"
    (folder / "images").mkdir(parents=True)
    for number in range(4):
        draw(folder, number, grey=40 * number)
    (folder / "labels.csv").write_text("name,good,break\n0.png,True,False\n1.png,True,False\n2.png,False,True\n")
    return folder


def draw(folder: Path, number: int, grey: int) -> None:
    image = np.full((20, 30, 3), grey, np.uint8)
    (folder / "images" / f"{number}.png").write_bytes(encode(image, "png"))


def kept(folder: Path, store: FilesystemStore, dataset: Dataset | None = None) -> Imported:
    return import_dataset(dataset or read_dataset(folder), store, "seam", by="ada", source=str(folder))


def test_a_version_says_which_images_with_which_labels(folder: Path, store: FilesystemStore) -> None:
    (folder / "groups.csv").write_text("name,group\n0.png,part-1\n1.png,part-1\n2.png,part-2\n")
    (folder / "labelled.csv").write_text("name,by,at\n2.png,eva,2026-01-31T12:00:00+01:00\n")
    version = read_version(store, "seam", kept(folder, store).version.version)
    content = (folder / "images" / "2.png").read_bytes()
    last = version.images[-1]
    assert (version.label_names, last.name, last.labels) == (("good", "break"), "2.png", (False, True))
    assert last.digest == hashlib.sha256(content).hexdigest()
    assert (last.group, last.labelled_by) == ("part-2", "eva")
    assert last.labelled_at
    assert last.labelled_at.isoformat() == "2026-01-31T12:00:00+01:00"
    assert store.get(image_key(last.digest)) == content
    assert (version.counts, version.group_count, version.made_by) == ({"good": 2, "break": 1}, 2, "ada")


def test_importing_again_makes_a_version_only_if_something_changed(folder: Path, store: FilesystemStore) -> None:
    first = kept(folder, store)
    again = kept(folder, store)
    assert (first.is_new, again.is_new, again.version) == (True, False, first.version)
    (folder / "labels.csv").write_text("name,good,break\n0.png,True,False\n1.png,False,True\n2.png,False,True\n")
    relabelled = kept(folder, store)
    draw(folder, 0, grey=9)
    redrawn = kept(folder, store)
    (folder / "labelled.csv").write_text("name,by,at\n2.png,eva,\n")
    signed = kept(folder, store)
    made = [each.version.version for each in (first, relabelled, redrawn, signed)]
    assert all(each.is_new for each in (relabelled, redrawn, signed))
    assert [version.partition("-")[0] for version in made] == ["0001", "0002", "0003", "0004"]
    assert versions(store, "seam") == made
    assert datasets(store) == ["seam"]


def test_an_image_that_changed_in_its_folder_is_found_again_as_it_was(
    folder: Path, store: FilesystemStore, tmp_path: Path
) -> None:
    before = (folder / "images" / "0.png").read_bytes()
    first = kept(folder, store).version
    draw(folder, 0, grey=9)
    kept(folder, store)
    export_version(first, store, tmp_path / "copy")
    assert (tmp_path / "copy" / "images" / "0.png").read_bytes() == before


def test_the_order_of_rows_and_columns_is_no_change(folder: Path, store: FilesystemStore) -> None:
    first = kept(folder, store)
    (folder / "labels.csv").write_text("name,break,good\n2.png,True,False\n1.png,False,True\n0.png,False,True\n")
    assert kept(folder, store).version == first.version


def test_a_version_taken_out_and_imported_is_the_same(folder: Path, store: FilesystemStore, tmp_path: Path) -> None:
    (folder / "labels.csv").unlink()
    (folder / "one_data.csv").write_text(",name,good\n0,0.png,True\n1,1.png,True\n")
    (folder / "two_data.csv").write_text(",name,good\n0,2.png,False\n1,3.png,False\n")
    version = kept(folder, store).version
    assert {image.group for image in version.images} == {"one", "two"}
    export_version(version, store, tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["images", "one_data.csv", "two_data.csv"]
    assert (tmp_path / "copy" / "two_data.csv").read_text() == "name,good\n2.png,False\n3.png,False\n"
    assert not kept(tmp_path / "copy", store).is_new


def test_a_version_has_the_digest_of_the_training_data(folder: Path, store: FilesystemStore, tmp_path: Path) -> None:
    pixels = decode_images(read_dataset(folder, ("break", "good")), ImageSpec(height=16, width=16), tmp_path)[1]
    assert kept(folder, store).version.digest == pixels.digest


def test_a_version_is_split_as_its_folder_is(strokes: Path, store: FilesystemStore) -> None:
    dataset = read_dataset(strokes)
    shares = Shares(train=0.6, valid=0.2, test=0.2)
    version = import_dataset(dataset, store, "strokes", by="ada", source="strokes").version
    parts = tables(split(dataset_of(version), shares, seed=3), version.label_names)
    assert parts == tables(split(dataset, shares, seed=3), dataset.label_names)


def test_an_image_that_cant_be_decoded_stops_the_import_or_is_passed_over(folder: Path, store: FilesystemStore) -> None:
    (folder / "images" / "1.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"labels.csv, line 3: 1.png can't be used: neither a JPEG nor a PNG"):
        kept(folder, store)
    assert list(store.keys("")) == []
    passed = import_dataset(read_dataset(folder), store, "seam", by="ada", source="x", on_problem="skip")
    assert [image.name for image in passed.version.images] == ["0.png", "2.png"]
    assert [str(problem.place) for problem in passed.problems] == ["labels.csv, line 3"]


def test_equal_images_that_contradict_each_other_are_named(folder: Path, store: FilesystemStore) -> None:
    draw(folder, 2, grey=0)
    warnings = kept(folder, store).warnings
    assert "labels.csv, line 4: 2.png is the same image as labels.csv, line 2, and has other labels" in warnings


def test_a_label_with_too_few_examples_is_warned_of(folder: Path, store: FilesystemStore) -> None:
    assert "good (2 of 3), break (1 of 3) to measure them" in kept(folder, store).warnings[0]


def mark(folder: Path, name: str, grey: int = 255) -> bytes:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode(np.full((20, 30, 3), grey, np.uint8), "png"))
    return path.read_bytes()


def test_masks_are_part_of_a_version_and_come_back_with_it(
    folder: Path, store: FilesystemStore, tmp_path: Path
) -> None:
    first = kept(folder, store)
    both = {name: mark(folder, name) for name in ("masks/2.png", "masks_by_label/2_break.png")}
    mark(folder, "masks/7.png")
    version = kept(folder, store).version
    assert version.digest == first.version.digest  # what a network learns from is the same
    assert read_version(store, "seam", version.version).images[2].masks == {
        name: hashlib.sha256(content).hexdigest() for name, content in both.items()
    }
    assert [each.masks for each in version.images[:2]] == [{}, {}]
    export_version(version, store, tmp_path / "copy")
    assert {name: (tmp_path / "copy" / name).read_bytes() for name in both} == both
    assert not (tmp_path / "copy" / "masks" / "7.png").exists()
    assert not kept(tmp_path / "copy", store).is_new
    mark(folder, "masks/2.png", grey=0)
    assert kept(folder, store).is_new


def test_a_mask_that_is_no_image_stops_the_import_or_is_passed_over(folder: Path, store: FilesystemStore) -> None:
    mark(folder, "masks/2.png")
    (folder / "masks" / "2.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"labels.csv, line 4: masks/2.png, the mask of 2.png: neither a JPEG"):
        kept(folder, store)
    passed = import_dataset(read_dataset(folder), store, "seam", by="ada", source="x", on_problem="skip")
    assert [(image.name, image.masks) for image in passed.version.images][2] == ("2.png", {})


def test_a_changed_mask_is_not_taken_out(folder: Path, store: FilesystemStore, tmp_path: Path) -> None:
    mark(folder, "masks/2.png")
    version = kept(folder, store).version
    store.put(image_key(version.images[2].masks["masks/2.png"]), b"another")
    with pytest.raises(DatasetVersionError, match=r"image masks/2.png has changed since it was stored"):
        export_version(version, store, tmp_path / "copy")


@pytest.mark.parametrize("written", ["without_masks", "with_masks"])
def test_a_version_that_was_written_before_still_reads(store: FilesystemStore, written: str) -> None:
    content = (GOLDEN / f"dataset_version_{written}.json").read_bytes()
    told = json.loads(content)
    store.put(f"datasets/seam/versions/{told['version']}.json", content)
    version = find_version(store, f"seam@{told['version']}")
    masks = [image.masks for image in version.images]
    assert masks == ([{}, {}] if written == "without_masks" else [{}, {"masks/2.png": "f" * 64}])
    assert version.images[1].labelled_by == "eva"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [("0.png,eva,yesterday\n", "line 2: at is 'yesterday'"), ("0.png,eva,2026-01-31T12:00:00\n", "with its zone")],
)
def test_a_time_of_labelling_that_is_none_is_named(folder: Path, rows: str, expected: str) -> None:
    (folder / "labelled.csv").write_text("name,by,at\n" + rows)
    with pytest.raises(DatasetError, match=expected):
        read_dataset(folder)


def test_a_version_is_never_overwritten(folder: Path, store: FilesystemStore) -> None:
    version = kept(folder, store).version
    write_version(store, version.model_copy(update={"made_by": "somebody else"}))
    assert read_version(store, "seam", version.version).made_by == "ada"


def test_a_changed_version_is_not_used(folder: Path, store: FilesystemStore) -> None:
    version = kept(folder, store).version
    key = f"datasets/seam/versions/{version.version}.json"
    told = json.loads(store.get(key))
    told["images"][0]["labels"] = [False, True]
    store.put(key, json.dumps(told).encode())
    with pytest.raises(DatasetVersionError, match="it has changed since it was made"):
        find_version(store, version.reference)


def test_a_version_that_leads_out_of_its_folder_is_not_used(folder: Path, store: FilesystemStore) -> None:
    version = kept(folder, store).version
    key = f"datasets/seam/versions/{version.version}.json"
    store.put(key, store.get(key).replace(b'"0.png"', b'"../0.png"'))
    with pytest.raises(DatasetVersionError, match="is not a valid name of an image"):
        find_version(store, version.reference)


def test_a_changed_or_missing_image_is_named(folder: Path, store: FilesystemStore, tmp_path: Path) -> None:
    version = kept(folder, store).version
    key = image_key(version.images[0].digest)
    store.put(key, b"another")
    with pytest.raises(DatasetVersionError, match=r"image 0.png has changed since it was stored"):
        export_version(version, store, tmp_path / "copy")
    store.delete(key)
    with pytest.raises(DatasetVersionError, match=r"lacks its image 0.png"):
        export_version(version, store, tmp_path / "copy")


def test_a_missing_version_is_reported_beside_the_existing_ones(folder: Path, store: FilesystemStore) -> None:
    version = kept(folder, store).version
    assert find_version(store, "seam") == find_version(store, version.reference) == version
    with pytest.raises(DatasetError, match=rf"dataset 'seam' has no version '7'; there is {version.version}"):
        find_version(store, "seam@7")
    with pytest.raises(DatasetError, match="there is no dataset 'hem' in object storage"):
        find_version(store, "hem")
