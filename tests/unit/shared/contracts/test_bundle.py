"""A bundle is read completely or not at all, and only by the model that it belongs to."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.contracts.bundle import (
    MANIFEST,
    RECIPE,
    Bundle,
    BundleError,
    BundleExists,
    HeatmapSpec,
    Manifest,
    folder_of,
    read_bundle,
    read_bundle_folder,
    write_bundle,
    write_bundle_folder,
)
from shared.storage.filesystem import FilesystemStore
from tests.unit.shared.test_recipe import SEAM


@pytest.fixture
def bundle_folder(tmp_path: Path) -> Path:
    import hashlib

    files = {RECIPE: SEAM.encode(), "model.keras": b"weights"}
    manifest = Manifest(
        recipe="seam",
        version="v1",
        architecture="compact",
        heatmaps=HeatmapSpec(method="grad-cam", layers=("features",)),
        created_at=datetime.now(UTC),
        dataset="none",
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    write_bundle_folder(tmp_path / "bundle", Bundle(manifest, files))
    return tmp_path / "bundle"


def test_a_bundle_is_read_as_it_was_written(bundle_folder: Path) -> None:
    bundle = read_bundle_folder(bundle_folder)
    assert bundle.recipe.label_names == ("good", "error", "break", "length")
    assert bundle.file("model.keras") == b"weights"


def test_a_changed_bundle_is_refused(bundle_folder: Path) -> None:
    (bundle_folder / "model.keras").write_bytes(b"other weights")
    with pytest.raises(BundleError, match=r"model\.keras has changed"):
        read_bundle_folder(bundle_folder)


def test_an_incomplete_bundle_is_refused(bundle_folder: Path) -> None:
    (bundle_folder / "model.keras").unlink()
    with pytest.raises(BundleError, match="is no model"):
        read_bundle_folder(bundle_folder)


def test_a_bundle_that_is_written_again_and_broken_off_is_no_model(bundle_folder: Path) -> None:
    bundle = read_bundle_folder(bundle_folder)
    (bundle_folder / "model.keras").unlink()
    (bundle_folder / "model.keras").mkdir()
    with pytest.raises(IsADirectoryError):
        write_bundle_folder(bundle_folder, bundle)
    assert not (bundle_folder / MANIFEST).exists()


def test_a_version_that_is_there_never_changes(bundle_folder: Path, tmp_path: Path) -> None:
    store, bundle = FilesystemStore(tmp_path / "objects"), read_bundle_folder(bundle_folder)
    recipe, version = bundle.manifest.recipe, bundle.version
    kept = write_bundle(store, bundle.manifest, bundle.files)
    with pytest.raises(BundleExists, match="is there already, with other files"):
        write_bundle(store, bundle.manifest, {**bundle.files, "evaluation.json": b"{}"})
    assert read_bundle(store, recipe, version).files == bundle.files
    store.delete(f"{folder_of(recipe, version)}/{RECIPE}")
    later = bundle.manifest.model_copy(update={"created_at": datetime.now(UTC)})
    assert write_bundle(store, later, bundle.files) == kept
    assert read_bundle(store, recipe, version).files == bundle.files, "what was lost is there again"


def test_a_manifest_that_points_out_of_its_folder_is_refused(bundle_folder: Path) -> None:
    manifest = bundle_folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"model.keras"', '"../model.keras"'))
    with pytest.raises(BundleError, match="is not a manifest"):
        read_bundle_folder(bundle_folder)


@pytest.mark.parametrize("name", ["production", "comparisons"])
def test_no_model_takes_a_name_that_storage_uses_for_other_objects(bundle_folder: Path, name: str) -> None:
    manifest = bundle_folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": "v1"', f'"version": "{name}"'))
    with pytest.raises(BundleError, match=f"is not a manifest: {name} is not a model version: "):
        read_bundle_folder(bundle_folder)


def test_a_bundle_copied_into_the_folder_of_another_recipe_is_refused(bundle_folder: Path, tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path / "objects")
    for file in bundle_folder.iterdir():
        store.put(f"models/fruit/v1/{file.name}", file.read_bytes())
    with pytest.raises(BundleError, match="holds model v1 of recipe seam"):
        read_bundle(store, "fruit", "v1")
