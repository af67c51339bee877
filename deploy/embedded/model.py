"""The model that the line starts with, under the recipe that the user gives."""

from __future__ import annotations

import hashlib
from pathlib import Path

from shared.recipe import Recipe, read_recipe
from shared.vision.bundle import RECIPE, Bundle, BundleError, read_bundle_folder, write_bundle_folder


def first_model(model: Path, recipe_file: Path | None, folder: Path) -> tuple[Path, Recipe]:
    """The folder of the bundle to start with, and its recipe.

    A recipe of the user's own may move thresholds, colours and roles of the model's labels: the bundle is then written
    anew, under a version of its own, into ``folder``. How heatmaps are made may not be moved: where they are made and
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
    content = recipe.to_yaml().encode()
    digest = hashlib.sha256(content).hexdigest()
    manifest = bundle.manifest.model_copy(
        update={
            "recipe": recipe.name,
            "version": f"{bundle.version}-{digest[:8]}",
            "files": {**bundle.manifest.files, RECIPE: digest},
        }
    )
    changed = Bundle(manifest, {**bundle.files, RECIPE: content})
    write_bundle_folder(folder / manifest.version, changed)
    return folder / manifest.version, recipe


def _refuse_another(bundle: Bundle, recipe: Recipe, recipe_file: Path) -> None:
    for what in ("label_names", "task", "picture", "explanation"):
        given, learned = getattr(recipe, what), getattr(bundle.recipe, what)
        if given != learned:
            raise BundleError(
                f"{recipe_file} is not the recipe of model {bundle.version}: its {what.replace('_', ' ')} are "
                f"{_in_words(given)}, and the model learned {_in_words(learned)}: give MODEL= a model of this recipe, "
                "trained with: python -m services.trainer train --data DIR --recipe FILE --out DIR"
            )


def _in_words(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
