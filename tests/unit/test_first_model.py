"""The model that a line starts with, under a recipe of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.embedded.model import first_model
from shared.vision.bundle import BundleError, read_bundle_folder, write_bundle_folder
from tests.models import PAINT, paint_bundle


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_bundle_folder(tmp_path / "model", paint_bundle("v1"))
    return tmp_path / "model"


def _with(recipe: str, folder: Path, model: Path) -> Path:
    (folder / "mine.yaml").write_text(recipe)
    return first_model(model, folder / "mine.yaml", folder / "models")[0]


def test_a_recipe_may_move_thresholds_and_makes_a_version_of_its_own(model: Path, tmp_path: Path) -> None:
    moved = _with(PAINT.replace("role: defect}", "role: defect, threshold: 0.7}"), tmp_path, model)
    bundle = read_bundle_folder(moved)
    assert bundle.version.startswith("v1-")
    assert bundle.recipe.label("error").threshold == 0.7
    assert bundle.manifest.target_layer == "features"


@pytest.mark.parametrize("explanation", ["{method: layer-cam}", "{layer: nowhere}"])
def test_a_recipe_cant_move_how_heatmaps_are_made(model: Path, tmp_path: Path, explanation: str) -> None:
    with pytest.raises(BundleError, match="is not the recipe of model v1: its explanation"):
        _with(f"{PAINT}explanation: {explanation}\n", tmp_path, model)
