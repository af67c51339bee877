"""The endpoints of recipes: ``/api/recipes``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from services.dashboard.access.audit import Audited
from services.dashboard.recipes.schemas import RecipeList, RecipeSave, RecipeView
from services.dashboard.recipes.service import RecipesService
from services.dashboard.web.authorization import Engineer, at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.paging import Paged
from services.dashboard.web.problems import documented
from services.dashboard.web.service_registry import provided
from shared.messages import Name

router = APIRouter(prefix="/api/recipes", tags=["recipes"], dependencies=[at_least(Role.VIEWER)])


Recipes = Annotated[RecipesService, provided(RecipesService)]
RecipePath = Annotated[Name, Path(examples=["seam"])]


@router.get("", responses=documented(401, 422, 503))
def list_recipes(recipes: Recipes, paging: Paged) -> RecipeList:
    """Return the recipes in pages, by name: those that are saved, and those of models."""
    return recipes.page(paging)


@router.get("/{recipe}", responses=documented(401, 404, 422, 503))
def get_recipe(recipes: Recipes, recipe: RecipePath) -> RecipeView:
    """Return a recipe as the next training uses it: as it was saved last, or else that of the model in production."""
    return recipes.get(recipe)


@router.put("/{recipe}", responses=documented(401, 403, 409, 422, 503))
def save_recipe(recipes: Recipes, recipe: RecipePath, body: RecipeSave, caller: Engineer, audit: Audited) -> RecipeView:
    """Save a recipe for the next training. 409: another person saved it after it was read."""
    with audit.recording("recipe.save", f"recipes/{recipe}", caller.name, replaces=body.replaces):
        return recipes.save(body.recipe_yaml, body.replaces, by=caller.name, name=recipe)
