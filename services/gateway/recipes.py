"""Find the plan of a verdict: the recipe of its model version, and how frames of its line become parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.gateway.journal import Journal
from services.gateway.rule import Plan
from shared.contracts.bundle import RECIPE, folder_of
from shared.messages import FrameInspected
from shared.messaging.loop import Reject, RetryLater
from shared.recipe import Parts, Recipe, RecipeError, parse_recipe
from shared.storage.port import InvalidKey, ObjectNotFound, ObjectStore, StorageError

MOST_BYTES: Final = 256 * 1024
"""Most bytes of a recipe."""


class Recipes:
    """Reads the recipe of each model version once from object storage, and then from the journal."""

    def __init__(self, store: ObjectStore, journal: Journal, parts_of_lines: Mapping[str, Parts]) -> None:
        """Use object storage and a journal.

        Args:
            store: object storage.
            journal: stores the recipes that were read.
            parts_of_lines: the section ``parts`` that replaces the recipe's, by line.
        """
        self._store = store
        self._journal = journal
        self._parts_of_lines = parts_of_lines

    def plan(self, verdict: FrameInspected, otherwise: Parts | None = None) -> Plan | None:
        """Return how the frames of a verdict's line become parts; if nothing says so, by ``otherwise``, or None.

        Raises:
            RetryLater: object storage is unavailable.
            Reject: the recipe can't be used.
        """
        recipe = self.recipe_of(verdict)
        parts = self._parts_of_lines.get(verdict.frame.line, recipe.parts) or otherwise
        return Plan(parts, recipe, verdict.model_version) if parts else None

    def recipe_of(self, verdict: FrameInspected) -> Recipe:
        """Return the recipe of the model that gave a verdict.

        Raises:
            RetryLater: object storage is unavailable.
            Reject: the recipe can't be used.
        """
        return self._recipe(verdict.recipe, verdict.model_version)

    def parts(self, line: str, recipe: str, version: str) -> Parts | None:
        """Return how the frames of a line become parts by the recipe of a model version; raises as `recipe_of`."""
        return self._parts_of_lines.get(line, self._recipe(recipe, version).parts)

    def _recipe(self, name: str, version: str) -> Recipe:
        if stored := self._journal.recipe(name, version):
            return stored
        try:
            recipe = parse_recipe(self._store.get(f"{folder_of(name, version)}/{RECIPE}", MOST_BYTES).decode())
        except (ObjectNotFound, InvalidKey, RecipeError, UnicodeDecodeError) as error:
            raise Reject(
                f"the recipe {name} of model {version}, which inspected the frame, can't be used: {error}"
            ) from error
        except StorageError as error:
            raise RetryLater(str(error)) from error
        self._journal.store_recipe(version, recipe)
        return recipe
