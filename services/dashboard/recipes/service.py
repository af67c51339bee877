"""Recipes: as people saved them, or else as the models have them, and drafts of new ones."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final

from services.dashboard.recipes.repository import RecipeRepository, SavedRecipe
from services.dashboard.recipes.schemas import RecipeList, RecipeView
from services.dashboard.web.paging import ALL, Paging
from services.dashboard.web.problems import Problem
from shared.contracts import bundle
from shared.contracts.dataset import DatasetVersion, DatasetVersionError, get_image, newest_version, read_version
from shared.contracts.promotion import production_version
from shared.imaging.codec import UnreadableImage, as_jpeg_or_png, size_of
from shared.language import gettext, translated
from shared.recipe import Recipe, RecipeError, Task, parse_recipe
from shared.recipe_draft import draft_recipe, side_for
from shared.storage.port import InvalidKey, ObjectNotFound, ObjectStore
from shared.storage.records import read_or_skip

SAMPLE_SIZE: Final = 20
"""Number of images of a dataset whose size is read."""
SIDE_WITHOUT_IMAGES: Final = 224
"""Side of the network's images in a draft without images, in pixels."""


class RecipesService:
    """Answers about recipes, saves them and drafts new ones."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._repository = RecipeRepository(store)

    def names(self) -> list[str]:
        """Return the names of the recipes that are saved or have models."""
        of_models = {key.split("/")[1] for key in self._store.keys("models/") if key.count("/") > 1}
        return sorted(of_models | set(self._repository.names()))

    def page(self, paging: Paging = ALL) -> RecipeList:
        """Return the recipes by name; one that can't be read is left out."""
        names, more = paging.page(self.names(), lambda name: (0, name))
        recipes = []
        for name in names:
            with suppress(Problem):  # only files of a model that is being written or removed
                if found := read_or_skip(f"recipes/{name}", partial(self.get, name)):
                    recipes.append(found)
        return RecipeList(recipes=recipes, next=more)

    def get(self, name: str) -> RecipeView:
        """Return a recipe: as it was saved last, or else that of the model in production, or of the newest model.

        Raises:
            Problem: 404: there is no such recipe.
        """
        if saved := self._repository.newest(name):
            return _view(saved)
        version = production_version(self._store, name) or max(bundle.versions(self._store, name), default=None)
        if version is None:
            raise Problem(404, gettext("there is no recipe %(name)r: GET /api/recipes lists them", name=name))
        content = self._store.get(f"{bundle.folder_of(name, version)}/{bundle.RECIPE}").decode(errors="replace")
        return RecipeView(name=name, number=0, recipe_yaml=content, saved_by=None, saved_at=None, model_version=version)

    def for_training(self, name: str) -> str | None:
        """Return the recipe that a training is to use; None: that of the model in production, or there is none."""
        with suppress(Problem, ObjectNotFound):
            found = self.get(name)
            if found.model_version is None or production_version(self._store, name) is None:
                return found.recipe_yaml
        return None

    def save(self, recipe_yaml: str, replaces: int, by: str, name: str | None = None) -> RecipeView:
        """Save a recipe.

        Args:
            recipe_yaml: the recipe.
            replaces: number of the saved recipe that was edited; 0 for a new one.
            by: the person.
            name: the name that it must have; None: the one it has.

        Raises:
            Problem: 409: it was saved by another person meanwhile; 422: it can't be used.
        """
        try:
            recipe = parse_recipe(recipe_yaml, "recipe_yaml", translated)
        except RecipeError as error:
            raise Problem(422, translated(error)) from error
        if name not in (None, recipe.name):
            raise Problem(
                422,
                gettext(
                    "recipe is %(name)r, but recipe_yaml is named %(name2)r: give both one name",
                    name=name,
                    name2=recipe.name,
                ),
            )
        newest = self._repository.newest(recipe.name)
        number = newest.number if newest else 0
        if newest and number == replaces and newest.recipe_yaml == recipe_yaml:
            return _view(newest)
        saved = SavedRecipe(name=recipe.name, number=replaces + 1, recipe_yaml=recipe_yaml, by=by, at=datetime.now(UTC))
        if number != replaces or not self._repository.create(saved):
            newest = self._repository.newest(recipe.name)
            if newest is None:
                raise Problem(409, gettext("recipe %(name)r was never saved: give 0 as replaces", name=recipe.name))
            raise Problem(
                409,
                gettext(
                    "%(by)s saved recipe %(name)r meanwhile: nothing of yours is saved. Look at the difference, and "
                    "save again to replace it",
                    by=newest.by,
                    name=recipe.name,
                ),
            )
        return _view(saved)

    def refuse_taken(self, name: str) -> None:
        """Refuse the name of a saved recipe, or of one of models, for a new recipe.

        Raises:
            Problem: 409: there is a recipe of that name.
        """
        try:
            self.get(name)
        except Problem:
            return
        raise Problem(
            409,
            gettext(
                "there is a recipe %(name)r already, so this one is not saved: give it another name, or look at the "
                "difference and save again to replace that recipe",
                name=name,
            ),
        )

    def changes(self, name: str, recipe_yaml: str) -> list[str]:
        """Return what another recipe of its name changes in a recipe, as lines of a diff.

        Raises:
            Problem: 404: there is no such recipe.
        """
        present = self.get(name).recipe_yaml
        with suppress(RecipeError):  # it is compared as it would be saved, if it can be read
            present = parse_recipe(present).annotated.to_yaml()
        return _changed_lines(present, recipe_yaml)

    def difference(self, name: str, number: int) -> list[str]:
        """Return what was changed in a recipe since it had a number, as lines of a diff."""
        newest = self._repository.newest(name)
        before = ""
        with suppress(ObjectNotFound):
            before = self._repository.get(name, number).recipe_yaml
        return _changed_lines(before, newest.recipe_yaml if newest else "")

    def draft_of_labels(self, name: str, labels: list[str], task: Task) -> Recipe:
        """Draft a recipe from the names of labels.

        Raises:
            Problem: 422: the labels don't make a recipe.
        """
        return _drafted(name, labels, [], task, SIDE_WITHOUT_IMAGES)

    def draft_of_dataset(self, reference: str, name: str) -> Recipe:
        """Draft a recipe from a dataset: ``name``, for its newest version, or ``name@version``.

        Labels of which each image has exactly one exclude each other.

        Raises:
            Problem: 404: there is no such dataset; 422: it can't be used.
        """
        dataset, _, wanted = reference.partition("@")
        try:
            version = read_version(self._store, dataset, wanted) if wanted else newest_version(self._store, dataset)
        except (ObjectNotFound, InvalidKey):
            version = None
        except DatasetVersionError as error:
            raise Problem(422, translated(error)) from error
        if version is None:
            raise Problem(
                404, gettext("there is no dataset %(dataset)r: GET /api/datasets lists them", dataset=reference)
            )
        rows = [image.labels for image in version.images]
        exclusive = len(version.label_names) > 1 and all(sum(row) == 1 for row in rows)
        task = Task.EXCLUSIVE if exclusive else Task.MULTI_LABEL
        return _drafted(name or dataset, version.label_names, rows, task, self._side_for(version))

    def _side_for(self, version: DatasetVersion) -> int:
        sides = []
        for image in version.images[:: max(1, len(version.images) // SAMPLE_SIZE)][:SAMPLE_SIZE]:
            with suppress(DatasetVersionError, UnreadableImage):
                content = get_image(self._store, version, image.name, image.digest)
                sides.append(min(size_of(as_jpeg_or_png(content))))
        return side_for(sides)


def _changed_lines(before: str, after: str) -> list[str]:
    """Return the lines in which two texts differ, each with one line around it, and marked with - or +."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def _drafted(name: str, labels: Sequence[str], rows: Sequence[Sequence[bool]], task: Task, side: int) -> Recipe:
    try:
        return draft_recipe(name, labels, rows, task, side=side)
    except RecipeError as error:
        raise Problem(422, translated(error)) from error


def _view(saved: SavedRecipe) -> RecipeView:
    return RecipeView(
        name=saved.name,
        number=saved.number,
        recipe_yaml=saved.recipe_yaml,
        saved_by=saved.by,
        saved_at=saved.at,
        model_version=None,
    )
