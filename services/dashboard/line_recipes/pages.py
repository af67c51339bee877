"""The page of a line's recipe."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from ulid import ULID

from services.dashboard.line_recipes.endpoints import LineRecipes
from services.dashboard.lines.endpoints import Line
from services.dashboard.web.authorization import Operator
from services.dashboard.web.problems import Problem
from services.dashboard.web.templating import show
from shared.messages import Name, Ulid

LONGEST_CHANGE: Final = timedelta(seconds=60)
"""Time from a request after which the page does not wait for its answer any more."""

router = APIRouter(include_in_schema=False)


@router.get("/lines/{line}/recipe")
def show_line_recipe(request: Request, recipes: LineRecipes, line: Line, requested: Ulid | None = None) -> HTMLResponse:
    """Show the recipe of a line; until a change that was just requested is announced, the page asks again."""
    return _show(request, recipes, line, requested=requested)


@router.post("/lines/{line}/recipe")
def change_line_recipe(
    request: Request, recipes: LineRecipes, line: Line, caller: Operator, recipe: Annotated[Name, Form()]
) -> Response:
    """Request another recipe for a line."""
    try:
        started = recipes.change(line, recipe, caller.name)
    except Problem as problem:
        return _show(request, recipes, line, problem)
    return RedirectResponse(f"/lines/{line}/recipe?requested={started.change_id}", status_code=303)


def _show(
    request: Request, recipes: LineRecipes, line: str, problem: Problem | None = None, requested: str | None = None
) -> HTMLResponse:
    found, hindrance = recipes.get(line), None
    try:
        recipes.check_can_change(line)
    except Problem as hindered:
        hindrance = hindered.details.detail
    is_expected = (
        requested is not None
        and (found.answered or "") < requested
        and datetime.now(UTC) - ULID.from_str(requested).datetime < LONGEST_CHANGE
    )
    page = show(
        request,
        "line_recipe.html",
        "lines",
        found=found,
        hindrance=hindrance,
        is_expected=is_expected,
        problem=problem.details if problem else None,
    )
    if is_expected:
        page.headers["Refresh"] = "2"
    page.status_code = problem.details.status if problem else 200
    return page
