"""The model that a line starts with, under a recipe of the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.embedded.model import first_model
from shared.contracts.bundle import EVALUATION, REPORTS, BundleError, read_bundle_folder, write_bundle_folder
from shared.datasets.good_only import recipe_with_anomaly
from shared.recipe import parse_recipe
from tests.models import PAINT, pack, paint_bundle


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
    assert bundle.manifest.heatmaps.layers == ("features",)


MEASURED = {
    "labels": {
        "error": {"n": 40, "positives": 11, "recall": 0.9, "average_precision": 0.8, "intervals": {"recall": [0.7, 1]}}
    },
    "compiled": {"openvino_fp32": {"images": 40, "largest_score_difference": 1e-6, "changed_verdicts": 0}},
    "verdict_accuracy": 0.95,
    "macro_average_precision": 0.8,
    "mistakes": [{"name": "a.png", "image": "mistake_00.jpg"}],
    "valid": {"verdict_accuracy": 0.96},
    "warnings": ["few images"],
}


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A model that says how well it judges, and shows its mistakes."""
    bundle = paint_bundle("v1")
    files = {
        **bundle.files,
        EVALUATION: json.dumps(MEASURED).encode(),
        **dict.fromkeys(REPORTS.values(), b"<p>95 %</p>"),
        "mistake_00.jpg": b"an image",
    }
    write_bundle_folder(tmp_path / "model", pack(files, bundle.recipe, "v1", "features"))
    return tmp_path / "model"


def test_under_other_thresholds_a_model_claims_no_verdicts_that_were_counted_under_its_own(
    measured: Path, tmp_path: Path
) -> None:
    moved = _with(PAINT.replace("role: defect}", "role: defect, threshold: 0.7}"), tmp_path, measured)
    bundle = read_bundle_folder(moved)
    told = json.loads(bundle.file(EVALUATION))
    label = told["labels"]["error"]
    assert (label["recall"], label["average_precision"], label["positives"]) == (None, 0.8, 11)
    assert (told["verdict_accuracy"], told["macro_average_precision"], told["intervals"]) == (None, 0.8, {})
    assert not {"valid", "mistakes", "operating_points"} & set(told)
    assert told["compiled"] == MEASURED["compiled"]
    assert told["warnings"] == [
        "few images",
        "verdicts were measured under the recipe of v1, and this recipe changes threshold of error, threshold of "
        "break: their figures are left out",
    ]
    assert not {*REPORTS.values(), "mistake_00.jpg"} & set(bundle.files)
    assert bundle.manifest.derived_from == "v1"


def test_a_recipe_of_other_colours_changes_no_measurement(measured: Path, tmp_path: Path) -> None:
    bundle = read_bundle_folder(_with(PAINT.replace("colour: blue", "colour: yellow"), tmp_path, measured))
    assert json.loads(bundle.file(EVALUATION))["verdict_accuracy"] == 0.95
    assert set(REPORTS.values()) <= set(bundle.files)


def test_a_recipe_of_the_user_does_not_name_the_anomaly_that_the_training_added(tmp_path: Path) -> None:
    learned = recipe_with_anomaly(parse_recipe(PAINT)).with_thresholds({"anomaly": 0.8})
    write_bundle_folder(tmp_path / "model", paint_bundle("v1", recipe=learned))
    moved = _with(PAINT + "unlike_good: ng\n", tmp_path, tmp_path / "model")
    recipe = read_bundle_folder(moved).recipe
    assert recipe.unlike_good == "ng"
    assert recipe.labels == learned.labels


@pytest.mark.parametrize("explanation", ["{method: layer-cam}", "{layer: nowhere}"])
def test_a_recipe_cant_move_how_heatmaps_are_made(model: Path, tmp_path: Path, explanation: str) -> None:
    with pytest.raises(BundleError, match="is not the recipe of model v1: its explanation"):
        _with(f"{PAINT}explanation: {explanation}\n", tmp_path, model)
