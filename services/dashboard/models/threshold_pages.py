"""The page on which thresholds are moved: what follows is shown at once, and what is saved is a version of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from services.dashboard.access import Audited, Engineer
from services.dashboard.models.endpoints import Models, RecipeName, Thresholds, Version
from services.dashboard.models.schemas import ModelView, ThresholdSetOrder
from services.dashboard.models.threshold_sets import ThresholdSets
from services.dashboard.web.problems import Problem
from services.dashboard.web.templating import show
from shared.messages import Name
from shared.recipe import Recipe

PREFIX: Final = "threshold-"
"""Of the fields: a label may have the name of another field."""

router = APIRouter(include_in_schema=False)


@dataclass
class Moved:
    """Where the sliders stand, and what is wrong."""

    thresholds: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    """By label."""
    reason: str = ""


async def _fields(request: Request) -> dict[str, str]:
    """Of a form whose fields are named after the labels."""
    return {name: value.strip() for name, value in (await request.form()).items() if isinstance(value, str)}


@router.get("/models/{recipe}/{version}/thresholds")
def show_thresholds(
    request: Request, models: Models, sets: Thresholds, *, recipe: RecipeName, version: Version
) -> HTMLResponse:
    """The sliders; their places may come with the address."""
    judging = sets.recipe(recipe, version)
    return _page(request, models.get(recipe, version), judging, sets, _moved(judging, dict(request.query_params)))


@router.post("/models/{recipe}/{version}/thresholds")
def save_thresholds(
    request: Request,
    models: Models,
    sets: Thresholds,
    *,
    recipe: RecipeName,
    version: Version,
    caller: Engineer,
    audit: Audited,
    fields: Annotated[dict[str, str], Depends(_fields)],
) -> Response:
    """Ask for a version of these thresholds; or show what is wrong, each beside its slider."""
    judging = sets.recipe(recipe, version)
    moved = _moved(judging, fields)
    if not moved.reason:
        moved.problems["reason"] = "say why: whoever rolls back will read it"
    if not moved.problems:
        order = ThresholdSetOrder(thresholds=moved.thresholds, reason=moved.reason, promote=bool(fields.get("promote")))
        try:
            with audit.recording("thresholds.set", f"{recipe}/{version}", caller.name, **order.model_dump()):
                asked = sets.order(recipe, version, order, by=caller.name)
            return RedirectResponse(f"/models/{recipe}/thresholds/{asked.thresholds_id}", status_code=303)
        except Problem as problem:
            moved.problems["form"] = problem.details.detail
    return _page(request, models.get(recipe, version), judging, sets, moved)


@router.get("/models/{recipe}/thresholds/{thresholds_id}")
def show_set(request: Request, sets: Thresholds, recipe: RecipeName, thresholds_id: Name) -> Response:
    """What becomes of a threshold set: the version, once it is there."""
    found = next((each for each in sets.of_recipe(recipe).thresholds if each.thresholds_id == thresholds_id), None)
    if found is None:
        raise Problem(404, "no such threshold set is known: see the models of the recipe")
    return show(request, "threshold_set.html", "models", each=found)


def _page(request: Request, model: ModelView, recipe: Recipe, sets: ThresholdSets, moved: Moved) -> HTMLResponse:
    known = {name: value for name, value in moved.thresholds.items() if name not in moved.problems}
    page = show(
        request,
        "thresholds.html",
        "models",
        model=model,
        recipe=recipe,
        before=sets.effect(model.recipe, model.version, {}),
        effect=sets.effect(model.recipe, model.version, known),
        moved=moved,
        prefix=PREFIX,
    )
    page.status_code = 422 if moved.problems else 200
    return page


def _moved(recipe: Recipe, given: dict[str, str]) -> Moved:
    """What a form says of the labels of a recipe; a label of which it says nothing stays."""
    moved = Moved(reason=given.get("reason", ""))
    for name in recipe.label_names:
        text = given.get(PREFIX + name)
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if 0 < value < 1:
            moved.thresholds[name] = value
        else:
            moved.problems[name] = "give a number between 0 and 1"
    return moved
