"""Saved recipes in object storage: ``recipes/<name>/<number>.json``, one object for each time it was saved."""

from __future__ import annotations

from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict

from shared.messages import Name
from shared.recipe import MOST_CHARACTERS
from shared.storage.port import ObjectStore

FOLDER: Final = "recipes"
MOST_BYTES: Final = 8 * MOST_CHARACTERS
"""Largest object of a saved recipe."""


class SavedRecipe(BaseModel):
    """A recipe as a person saved it. It never changes: the next one has the next number."""

    model_config = ConfigDict(frozen=True)

    name: Name
    number: int
    """1 for the first one."""
    recipe_yaml: str
    by: str
    at: AwareDatetime


class RecipeRepository:
    """The saved recipes."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def names(self) -> list[str]:
        """Return the names of the saved recipes."""
        return sorted({key.split("/")[1] for key in self._store.keys(f"{FOLDER}/")})

    def newest(self, name: str) -> SavedRecipe | None:
        """Return a recipe as it was saved last; None if it never was."""
        key = max(self._store.keys(f"{FOLDER}/{name}/"), default=None)
        return SavedRecipe.model_validate_json(self._store.get(key, MOST_BYTES)) if key else None

    def get(self, name: str, number: int) -> SavedRecipe:
        """Return a recipe as it was saved at one time.

        Raises:
            ObjectNotFound: it has no such number.
        """
        return SavedRecipe.model_validate_json(self._store.get(_key(name, number), MOST_BYTES))

    def create(self, recipe: SavedRecipe) -> bool:
        """Store a recipe; False if another one has its number."""
        content = recipe.model_dump_json().encode()
        return self._store.create(_key(recipe.name, recipe.number), content, "application/json")


def _key(name: str, number: int) -> str:
    return f"{FOLDER}/{name}/{number:06d}.json"
