"""``/api/models``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from services.dashboard.models.schemas import (
    ModelList,
    ModelView,
    Production,
    PromotionList,
    PromotionOrder,
    PromotionView,
)
from services.dashboard.models.service import ModelsService
from services.dashboard.problems import documented
from services.dashboard.visitor import Visitor
from shared.messages import Name

router = APIRouter(prefix="/api/models", tags=["models"])


def _models(request: Request) -> ModelsService:
    models: ModelsService = request.app.state.models
    return models


Models = Annotated[ModelsService, Depends(_models)]
RecipeName = Annotated[Name, Path(examples=["seam"])]
Version = Annotated[Name, Path(examples=["20260131-120000-1f3a"])]


@router.get("", responses=documented(401, 422, 503))
def list_models(
    models: Models, recipe: Annotated[Name | None, Query(description="of this recipe only")] = None
) -> ModelList:
    """The model versions, newest first, each with its labels, its evaluation and what it was trained on."""
    return models.newest(recipe)


@router.get("/{recipe}/versions/{version}", responses=documented(401, 404, 422, 503))
def get_model(models: Models, recipe: RecipeName, version: Version) -> ModelView:
    """One model version."""
    return models.get(recipe, version)


@router.get("/{recipe}/production", responses=documented(401, 404, 422, 503))
def get_production(models: Models, recipe: RecipeName) -> Production:
    """The version in production, and every move that led to it."""
    return models.production(recipe)


@router.get("/{recipe}/promotions", responses=documented(401, 422, 503))
def list_promotions(models: Models, recipe: RecipeName) -> PromotionList:
    """Promotions that were ordered, and what the trainer made of each."""
    return models.promotions(recipe)


@router.post("/{recipe}/{version}/promotion", status_code=202, responses=documented(401, 403, 404, 422, 503))
def promote_model(
    models: Models, recipe: RecipeName, version: Version, order: PromotionOrder, visitor: Visitor
) -> PromotionView:
    """Order a promotion; the trainer checks it and answers. Rolling back is promoting an earlier version."""
    return models.promote(recipe, version, order, by=visitor)
