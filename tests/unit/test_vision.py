"""Images as bytes and as a network's numbers; bundles read whole or not at all."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from shared.contracts.bundle import (
    MANIFEST,
    RECIPE,
    Bundle,
    BundleError,
    BundleExists,
    Manifest,
    ProductionPointer,
    folder_of,
    move_production,
    production_history,
    production_version,
    read_bundle,
    read_bundle_folder,
    versions,
    write_bundle,
    write_bundle_folder,
)
from shared.imaging.codec import UnreadableImage, decode, encode, size_of
from shared.imaging.preprocessing import prepare
from shared.recipe import ImageSpec
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from tests.images import BOMBS
from tests.unit.test_recipe import SEAM

NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


@pytest.mark.parametrize("encoding", ["jpeg", "png"])
def test_the_size_is_read_from_the_header(encoding: Literal["jpeg", "png"]) -> None:
    assert size_of(encode(NOISE, encoding)) == (80, 60)


def test_a_png_keeps_every_pixel() -> None:
    assert np.array_equal(decode(encode(NOISE, "png")), NOISE)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "zero bytes"),
        (b"GIF89a", "neither a JPEG nor a PNG"),
        (b"\xff\xd8\xff", "no start of frame"),
        (encode(NOISE, "png")[:200], "broken image"),
        (encode(NOISE, "jpeg")[:-400], "broken image"),
        (BOMBS["PNG that claims 100 megapixels"], "100 megapixels, and the limit is 50"),
    ],
)
def test_what_is_no_image_is_named(content: bytes, complaint: str) -> None:
    with pytest.raises(UnreadableImage, match=complaint):
        decode(content)


def test_every_normalisation_gives_the_channels_of_the_recipe() -> None:
    image = np.full((16, 16, 3), 255, np.uint8)
    for colour in ("rgb", "grey"):
        for normalisation in ("image", "unit", "imagenet"):
            spec = ImageSpec.model_validate(
                {"height": 16, "width": 24, "colour": colour, "normalisation": normalisation}
            )
            assert prepare(image, spec).shape == spec.shape


def test_an_image_is_normalised_by_itself() -> None:
    spec = ImageSpec(height=32, width=48)
    prepared = prepare(NOISE, spec)
    assert prepared.shape == (32, 48, 3)
    assert prepared.mean() == pytest.approx(0, abs=1e-4)
    assert prepared.std() == pytest.approx(1, abs=1e-3)
    brighter = np.clip(NOISE * 0.5 + 20, 0, 255).astype(np.uint8)
    assert np.abs(prepare(brighter, spec) - prepared).mean() < 0.05


def test_an_image_of_one_colour_is_no_division_by_zero() -> None:
    assert np.abs(prepare(np.full((20, 20, 3), 7, np.uint8), ImageSpec())).max() < 1e-3


def test_grey_has_one_channel_and_colours_are_red_green_blue() -> None:
    blue = np.zeros((16, 16, 3), np.uint8)
    blue[..., 0] = 255
    assert prepare(blue, ImageSpec(height=16, width=16, normalisation="unit"))[0, 0].tolist() == [0, 0, 1]
    assert prepare(blue, ImageSpec(height=16, width=16, colour="grey")).shape == (16, 16, 1)


@pytest.fixture
def bundle_folder(tmp_path: Path) -> Path:
    import hashlib

    files = {RECIPE: SEAM.encode(), "model.keras": b"weights"}
    manifest = Manifest(
        recipe="seam",
        version="v1",
        architecture="compact",
        target_layer="features",
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
    with pytest.raises(BundleError, match="is no manifest"):
        read_bundle_folder(bundle_folder)


@pytest.mark.parametrize("name", ["production", "comparisons"])
def test_no_model_takes_the_place_of_what_lies_beside_the_models(bundle_folder: Path, name: str) -> None:
    manifest = bundle_folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": "v1"', f'"version": "{name}"'))
    with pytest.raises(BundleError, match=f"is no manifest: no model is called {name}: "):
        read_bundle_folder(bundle_folder)


def test_what_lies_beside_the_moves_of_the_pointer_is_none_of_them(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path / "objects")
    moved = ProductionPointer(
        sequence=1,
        recipe="seam",
        version="v1",
        digest="0" * 64,
        previous=None,
        reason="first",
        by="ada",
        at=datetime.now(UTC),
    )
    move_production(store, moved)
    for name in ("manifest.json", "recipe.yaml", "00000002.json.orig"):
        store.put(f"models/seam/production/{name}", b"of a model that was called production")
    assert production_history(store, "seam") == [moved]
    assert production_version(store, "seam") == "v1"
    assert versions(store, "seam") == []


def test_of_two_trainers_that_move_the_pointer_at_the_same_moment_one_decides_again(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path / "objects")
    ours = ProductionPointer(
        sequence=1,
        recipe="seam",
        version="v1",
        digest="0" * 64,
        previous=None,
        reason="first",
        by="ada",
        at=datetime.now(UTC),
    )
    move_production(store, ours)
    with pytest.raises(StorageUnavailable, match="at the same moment"):
        move_production(store, ours.model_copy(update={"version": "v2", "by": "ben"}))
    assert production_history(store, "seam") == [ours]


def test_a_bundle_copied_into_the_folder_of_another_recipe_is_refused(bundle_folder: Path, tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path / "objects")
    for file in bundle_folder.iterdir():
        store.put(f"models/fruit/v1/{file.name}", file.read_bytes())
    with pytest.raises(BundleError, match="holds model v1 of recipe seam"):
        read_bundle(store, "fruit", "v1")
