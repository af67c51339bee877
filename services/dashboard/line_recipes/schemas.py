"""The requests and answers of the API about the recipes of lines."""

from __future__ import annotations

from pydantic import BaseModel, Field

from shared.messages import Name, RecipeChange


class LineRecipe(BaseModel):
    """The recipe by which a line is inspected."""

    line: str
    recipe: str | None = Field(
        description="recipe of the parts whose triggers name none; null: that of the workers (INFERENCE_RECIPE)",
        examples=["seam"],
    )
    change: RecipeChange | None = Field(description="last change; null: the recipe was never changed")
    recipes: list[str] = Field(description="recipes that have a model in production", examples=[["collar", "seam"]])
    cameras: dict[str, str | None] = Field(
        description="recipe of the next part of each camera, by its last report", examples=[{"camera-1": "seam"}]
    )
    answered: str | None = Field(description="id of the last request for a change, which was done or refused")
    refusal: str = Field(description="why it was refused; empty: it was done")


class RecipeOrder(BaseModel):
    """The recipe by which a line is to be inspected."""

    recipe: Name = Field(examples=["seam"])


class RecipeChangeStarted(BaseModel):
    """A change that was requested."""

    change_id: str = Field(examples=["01JF6Z6TX4W8E1V2M6C3N9Q7RB"])
