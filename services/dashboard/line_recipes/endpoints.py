"""The endpoints of the recipes of lines: ``/api/lines/{line}/recipe``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from services.dashboard.line_recipes.schemas import LineRecipe, RecipeChangeStarted, RecipeOrder
from services.dashboard.line_recipes.service import LineRecipesService
from services.dashboard.lines.endpoints import Line
from services.dashboard.web.authorization import Operator, at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.problems import documented
from services.dashboard.web.service_registry import provided

router = APIRouter(prefix="/api/lines/{line}/recipe", tags=["lines"], dependencies=[at_least(Role.VIEWER)])

LineRecipes = Annotated[LineRecipesService, provided(LineRecipesService)]


@router.get("", responses=documented(401, 404, 422, 503))
def get_line_recipe(recipes: LineRecipes, line: Line) -> LineRecipe:
    """Return the recipe by which a line is inspected, and the recipes to which it may change."""
    return recipes.get(line)


@router.put("", status_code=202, responses=documented(401, 403, 404, 409, 422, 503))
def change_line_recipe(recipes: LineRecipes, line: Line, order: RecipeOrder, caller: Operator) -> RecipeChangeStarted:
    """Change the product of a line: its next parts are inspected by another recipe.

    The change is announced to the cameras of the line, takes effect at the beginning of a part, and is then in `change`
    of `GET`. It is refused where no model of the recipe is in production.
    """
    return recipes.change(line, order.recipe, caller.name)
