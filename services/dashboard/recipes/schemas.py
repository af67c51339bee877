"""The requests and answers of the API about recipes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.dashboard.web.paging import Next
from shared.messages import Name
from shared.recipe import MOST_CHARACTERS

RecipeYaml = Annotated[str, Field(max_length=MOST_CHARACTERS, description="the recipe: see docs/recipes.md")]
EXAMPLE = (
    "name: seam\ntask: multi-label\nlabels:\n"
    "  good: {key: g, colour: white, role: quality}\n  break: {key: b, colour: red, role: defect}\n"
)


class RecipeView(BaseModel):
    """A recipe as the next training uses it: as it was saved last, or else that of a model."""

    name: Name
    number: int = Field(description="how often it was saved; 0: never, and it is the recipe of a model")
    recipe_yaml: str = Field(examples=[EXAMPLE])
    saved_by: str | None
    saved_at: datetime | None
    model_version: str | None = Field(description="the model whose recipe it is; null for a saved recipe")


class RecipeList(BaseModel):
    """Recipes by name."""

    recipes: list[RecipeView]
    next: Next


class RecipeSave(BaseModel):
    """A recipe to be saved."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"recipe_yaml": EXAMPLE, "replaces": 0}})

    recipe_yaml: RecipeYaml
    replaces: int = Field(
        ge=0, le=999_998, description="`number` of the recipe that was edited; refused if it was saved again meanwhile"
    )
