"""The model with which the demo starts, under the recipe that the user gives."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from shared.contracts.bundle import (
    EVALUATION,
    RECIPE,
    REPORTS,
    Bundle,
    BundleError,
    read_bundle_folder,
    write_bundle_folder,
)
from shared.contracts.promotion import production_history
from shared.datasets.good_only import recipe_with_anomaly
from shared.recipe import Recipe, read_recipe
from shared.storage.filesystem import FilesystemStore

MISTAKE_IMAGE: Final = "mistake_"
KEPT_FIELDS: Final[tuple[str, ...]] = (
    "split",
    "dataset",
    "images",
    "groups",
    "macro_average_precision",
    "compiled",
    "not_offered",
    "heatmaps",
    "best_epoch",
)
"""Fields of an evaluation that hold for any recipe: they are computed from scores only, or prove the variants."""
VERDICT_RATES: Final[tuple[str, ...]] = ("verdict_accuracy", "escape_rate", "overkill_rate", "cost")
SCORE_FIGURES: Final = (
    "n",
    "positives",
    "roc_auc",
    "average_precision",
    "brier",
    "expected_calibration_error",
    "reliability",
)
"""Figures of a label that are computed from scores only."""
VERDICT_FIGURES: Final = ("accuracy", "precision", "recall", "f1")
"""Figures of a label that depend on its threshold."""


def first_model(model: Path, recipe_file: Path | None, folder: Path) -> tuple[Path, Recipe]:
    """Return the folder of the bundle to start with, and its recipe.

    The user's recipe may change thresholds, colours and roles of the model's labels. The bundle is then written to
    ``folder`` as another version. If the recipe gives other verdicts, the evaluation has only the figures that hold
    under any recipe: see `_figures_of_any_recipe`. The image is that of the model, for which its network was made. The
    recipe may not change how heatmaps are made, because this was chosen and measured with the model.

    Raises:
        BundleError: ``model`` is not a bundle, or the recipe belongs to another model.
        RecipeError: the recipe can't be used.
    """
    bundle = read_bundle_folder(model)
    if recipe_file is None:
        return model, bundle.recipe
    recipe = read_recipe(recipe_file).model_copy(update={"image": bundle.recipe.image})
    if (anomaly := bundle.recipe.anomaly) and not recipe.anomaly:  # the training added it, and not the user
        recipe = recipe_with_anomaly(recipe).with_thresholds({anomaly.name: anomaly.threshold})
    if recipe == bundle.recipe:
        return model, recipe
    _check_same_model(bundle, recipe, recipe_file)
    changed = _with_recipe(recipe, bundle, recipe_file)
    write_bundle_folder(folder / changed.version, changed)
    return folder / changed.version, recipe


def check_is_used(first: Path, recipe: str, objects: Path) -> None:
    """Check that the line would use a model: a line of an earlier run uses the model that was promoted last.

    Raises:
        BundleError: the line has another model of this recipe, and this model was never promoted.
    """
    version = read_bundle_folder(first).version
    history = production_history(FilesystemStore(objects), recipe) if objects.exists() else []
    if history and version not in {promotion.version for promotion in history}:
        raise BundleError(
            f"the line continues with model {history[-1].version} of recipe {recipe}, not with {version}: leave MODEL= "
            "and RECIPE= out, or give --state another folder, or start anew with FRESH=1 (--fresh), which deletes its "
            "labels, trainings and people"
        )


def _with_recipe(recipe: Recipe, bundle: Bundle, recipe_file: Path) -> Bundle:
    """Return a bundle with the same network and another recipe."""
    files = {**bundle.files, RECIPE: recipe.to_yaml().encode()}
    if changes := _changed_rules(bundle.recipe, recipe):
        files = {
            name: content
            for name, content in files.items()
            if name not in REPORTS.values() and not name.startswith(MISTAKE_IMAGE)
        }
        if EVALUATION in files:
            evaluation = json.loads(files[EVALUATION])
            files[EVALUATION] = json.dumps(_figures_of_any_recipe(evaluation, bundle.version, changes)).encode()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    origin = {
        "recipe": recipe.name,
        "version": f"{bundle.version}-{digests[RECIPE][:8]}",
        "derived_from": bundle.version,
        "reason": f"started under {recipe_file.name}",
        "files": digests,
    }
    return Bundle(bundle.manifest.model_copy(update=origin), files)


def _changed_rules(before: Recipe, after: Recipe) -> list[str]:
    """Return the settings in which two recipes give other verdicts, or other costs, for the same scores."""
    labels = [
        f"{setting} of {label.name}"
        for label_before, label in zip(before.labels, after.labels, strict=True)
        for setting in ("threshold", "role", "expected")
        if getattr(label_before, setting) != getattr(label, setting)
    ]
    settings = ("costs", "defect_rate", "unlike_good")
    changed = [name for name in settings if getattr(before, name) != getattr(after, name)]
    return [*labels, *changed]


def _figures_of_any_recipe(evaluation: dict[str, Any], version: str, changes: list[str]) -> dict[str, Any]:
    """Return an evaluation without the figures of verdicts, which were counted under another recipe."""
    labels = {
        name: {**dict.fromkeys(VERDICT_FIGURES, None), **{key: label[key] for key in SCORE_FIGURES if key in label}}
        for name, label in evaluation.get("labels", {}).items()
    }
    why = (
        f"verdicts were measured under the recipe of {version}, and this recipe changes {', '.join(changes)}: "
        "their figures are left out"
    )
    kept = {name: evaluation[name] for name in KEPT_FIELDS if name in evaluation}
    rates = dict.fromkeys(VERDICT_RATES, None)
    return {**kept, **rates, "labels": labels, "intervals": {}, "warnings": [*evaluation.get("warnings", []), why]}


def _check_same_model(bundle: Bundle, recipe: Recipe, recipe_file: Path) -> None:
    for setting in ("label_names", "task", "explanation"):
        given, learned = getattr(recipe, setting), getattr(bundle.recipe, setting)
        if given != learned:
            raise BundleError(
                f"{recipe_file} is not the recipe of model {bundle.version}: its {setting.replace('_', ' ')} are "
                f"{_in_words(given)}, and the model learned {_in_words(learned)}: give MODEL= a model of this recipe, "
                "trained with: python -m services.trainer train --data DIR --recipe FILE --out DIR"
            )


def _in_words(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
