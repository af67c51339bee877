"""The model that the line starts with, under the recipe that the user gives."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from shared.contracts.bundle import (
    EVALUATION,
    RECIPE,
    REPORT,
    Bundle,
    BundleError,
    read_bundle_folder,
    write_bundle_folder,
)
from shared.contracts.promotion import production_history
from shared.recipe import Recipe, read_recipe
from shared.storage.filesystem import FilesystemStore

SHOT: Final = "mistake_"
KEPT: Final[tuple[str, ...]] = (
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
"""Of an evaluation: what scores alone say, and how alike the compiled variants are."""
RATES: Final[tuple[str, ...]] = ("verdict_accuracy", "escape_rate", "overkill_rate", "cost")
OF_SCORES: Final = (
    "n",
    "positives",
    "roc_auc",
    "average_precision",
    "brier",
    "expected_calibration_error",
    "reliability",
)
OF_VERDICTS: Final = ("accuracy", "precision", "recall", "f1")
"""Of a label, in the same way."""


def first_model(model: Path, recipe_file: Path | None, folder: Path) -> tuple[Path, Recipe]:
    """The folder of the bundle to start with, and its recipe.

    A recipe of the user's own may move thresholds, colours and roles of the model's labels: the bundle is then written
    anew, under a version of its own, into ``folder``. Where it judges otherwise, its evaluation says no more than holds
    under any recipe: see `_what_still_holds`. How heatmaps are made may not be moved: where they are made and
    how far they can be trusted was found with the model.

    Raises:
        BundleError: ``model`` is no bundle, or the recipe is of another model.
        RecipeError: the recipe can't be used.
    """
    bundle = read_bundle_folder(model)
    if recipe_file is None:
        return model, bundle.recipe
    recipe = read_recipe(recipe_file)
    if recipe == bundle.recipe:
        return model, recipe
    _refuse_another(bundle, recipe, recipe_file)
    made = _under(recipe, bundle, recipe_file)
    write_bundle_folder(folder / made.version, made)
    return folder / made.version, recipe


def check_goes_on(first: Path, recipe: str, objects: Path) -> None:
    """Refuse a model that the line would not use: it goes on with the one that was promoted last.

    Raises:
        BundleError: the line has another model of this recipe, and never had this one.
    """
    version = read_bundle_folder(first).version
    history = production_history(FilesystemStore(objects), recipe) if objects.exists() else []
    if history and version not in {move.version for move in history}:
        raise BundleError(
            f"the line goes on with model {history[-1].version} of recipe {recipe}, not with {version}: leave MODEL= "
            "and RECIPE= out, or give --state another folder, or start anew with FRESH=1 (--fresh), which deletes its "
            "labels, trainings and people"
        )


def _under(recipe: Recipe, bundle: Bundle, recipe_file: Path) -> Bundle:
    """The same network under another recipe."""
    files = {**bundle.files, RECIPE: recipe.to_yaml().encode()}
    if moved := _judged_otherwise(bundle.recipe, recipe):
        files = {name: content for name, content in files.items() if name != REPORT and not name.startswith(SHOT)}
        if EVALUATION in files:
            told = json.loads(files[EVALUATION])
            files[EVALUATION] = json.dumps(_what_still_holds(told, bundle.version, moved)).encode()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    origin = {
        "recipe": recipe.name,
        "version": f"{bundle.version}-{digests[RECIPE][:8]}",
        "derived_from": bundle.version,
        "reason": f"started under {recipe_file.name}",
        "files": digests,
    }
    return Bundle(bundle.manifest.model_copy(update=origin), files)


def _judged_otherwise(before: Recipe, after: Recipe) -> list[str]:
    """What of two recipes makes other verdicts, or other costs of them, of the same scores."""
    labels = [
        f"{what} of {label.name}"
        for was, label in zip(before.labels, after.labels, strict=True)
        for what in ("threshold", "role", "expected")
        if getattr(was, what) != getattr(label, what)
    ]
    return [*labels, *(what for what in ("costs", "defect_rate") if getattr(before, what) != getattr(after, what))]


def _what_still_holds(told: dict[str, Any], version: str, moved: list[str]) -> dict[str, Any]:
    """An evaluation without the numbers that come of verdicts: they were counted under another recipe."""
    labels = {
        name: {**dict.fromkeys(OF_VERDICTS, None), **{key: label[key] for key in OF_SCORES if key in label}}
        for name, label in told.get("labels", {}).items()
    }
    why = f"verdicts were measured under the recipe of {version}, and this one moves {', '.join(moved)}: none is told"
    kept = {name: told[name] for name in KEPT if name in told}
    numbers = dict.fromkeys(RATES, None)
    return {**kept, **numbers, "labels": labels, "intervals": {}, "warnings": [*told.get("warnings", []), why]}


def _refuse_another(bundle: Bundle, recipe: Recipe, recipe_file: Path) -> None:
    for what in ("label_names", "task", "image", "explanation"):
        given, learned = getattr(recipe, what), getattr(bundle.recipe, what)
        if given != learned:
            raise BundleError(
                f"{recipe_file} is not the recipe of model {bundle.version}: its {what.replace('_', ' ')} are "
                f"{_in_words(given)}, and the model learned {_in_words(learned)}: give MODEL= a model of this recipe, "
                "trained with: python -m services.trainer train --data DIR --recipe FILE --out DIR"
            )


def _in_words(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
