"""The pages of recipes: all recipes, and one to edit, whose problems are shown while it is typed."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, get_args

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel

from services.dashboard.access.audit import Audited
from services.dashboard.datasets.endpoints import Datasets
from services.dashboard.recipes.endpoints import RecipePath, Recipes
from services.dashboard.recipes.form import WHOLE, RecipeForm, form_of, read_form, written_colour
from services.dashboard.recipes.service import RecipesService
from services.dashboard.web.authorization import Engineer
from services.dashboard.web.form import SentFields
from services.dashboard.web.problems import Problem
from services.dashboard.web.templating import show
from shared.language import gettext, ngettext, translated
from shared.recipe import NAMED_COLOURS, RESERVED_KEYS, ExplanationMethod, Recipe, RecipeError, Task, parse_recipe

COLOURS: Final = [written_colour(colour) for colour in NAMED_COLOURS.values()]

router = APIRouter(include_in_schema=False)


class Checked(BaseModel):
    """The answer to a form that is being typed."""

    problems: dict[str, str]
    """What to correct, by field."""
    summary: str
    recipe_yaml: str | None
    """The recipe as a file; None while there is a problem."""


@router.get("/recipes")
def show_recipes(request: Request, recipes: Recipes, datasets: Datasets) -> HTMLResponse:
    """Show the recipes, and the ways to a new one."""
    return _show_recipes(request, recipes, datasets)


@router.get("/drafts")
def draft_recipe(
    request: Request,
    recipes: Recipes,
    datasets: Datasets,
    *,
    name: Annotated[str, Query(max_length=200)] = "",
    labels: Annotated[str, Query(max_length=10_000)] = "",
    exclusive: str = "",
    dataset: Annotated[str, Query(max_length=200)] = "",
) -> HTMLResponse:
    """Show a recipe that is drafted from the names of labels, or from a dataset. Nothing is saved."""
    names = [label.strip() for label in labels.replace("\n", ",").split(",") if label.strip()]
    try:
        if dataset:
            drafted = recipes.draft_of_dataset(dataset, name)
        else:
            drafted = recipes.draft_of_labels(name, names, Task.EXCLUSIVE if exclusive else Task.MULTI_LABEL)
    except Problem as problem:
        given = {"name": name, "labels": labels, "exclusive": exclusive}
        return _show_recipes(request, recipes, datasets, given=given, refused=problem.details.detail)
    return _show_form(request, form_of(drafted), drafted=dataset or True)


@router.post("/drafts/check")
def check_recipe(fields: SentFields, _caller: Engineer) -> Checked:
    """Check a form while it is typed."""
    form = read_form(fields)
    return Checked(
        problems=dict(form.problems),
        summary=_summary_of(form),
        recipe_yaml=form.recipe.to_yaml() if form.recipe else None,
    )


@router.post("/drafts")
def read_yaml(
    request: Request,
    _caller: Engineer,
    recipe_yaml: Annotated[str, Form()] = "",
    opened: Annotated[str, Form()] = "",
    replaces: Annotated[int, Form(ge=0)] = 0,
) -> HTMLResponse:
    """Show the fields of a recipe that is given as YAML. Nothing is saved."""
    try:
        form = form_of(parse_recipe(recipe_yaml, "YAML", translated))
    except RecipeError as error:
        return _show_form(
            request,
            RecipeForm({}, None, {"recipe_yaml": translated(error)}),
            recipe_yaml=recipe_yaml,
            opened=opened,
            replaces=replaces,
        )
    return _show_form(request, form, opened=opened, replaces=replaces)


@router.post("/recipes")
def save_recipe(request: Request, recipes: Recipes, caller: Engineer, audit: Audited, fields: SentFields) -> Response:
    """Save a recipe and show it, or show each problem beside its field."""
    form, opened, replaces = read_form(fields), fields.get("opened", ""), fields.get("replaces", "")
    number = int(replaces) if replaces.isdecimal() and len(replaces) < 7 else 0
    if form.recipe is None:
        return _show_form(request, form, opened=opened, replaces=number)
    name, recipe_yaml = form.recipe.name, form.recipe.to_yaml()
    is_new = name != opened  # also if it is a copy by another name
    try:
        with audit.recording("recipe.save", f"recipes/{name}", caller.name, replaces=0 if is_new else number):
            if is_new:
                recipes.refuse_taken(name)
            saved = recipes.save(recipe_yaml, 0 if is_new else number, by=caller.name)
    except Problem as problem:
        if problem.details.status != HTTPStatus.CONFLICT:
            refused = RecipeForm(form.values, form.recipe, {WHOLE: problem.details.detail})
            return _show_form(request, refused, opened=opened, replaces=number)
        return _show_form(
            request,
            form,
            opened=name,
            replaces=recipes.get(name).number,
            refused=problem.details.detail,
            difference=recipes.changes(name, recipe_yaml) if is_new else recipes.difference(name, number),
        )
    return RedirectResponse(f"/recipes/{saved.name}?saved=yes", status_code=303)


@router.get("/recipes/{recipe}")
def show_recipe(request: Request, recipes: Recipes, recipe: RecipePath, saved: str = "") -> HTMLResponse:
    """Show a recipe to edit."""
    found = recipes.get(recipe)
    context = {"found": found, "saved": bool(saved), "opened": found.name, "replaces": found.number}
    try:
        return _show_form(request, form_of(parse_recipe(found.recipe_yaml, found.name, translated)), **context)
    except RecipeError as error:
        form = RecipeForm({}, None, {"recipe_yaml": translated(error)})
        return _show_form(request, form, recipe_yaml=found.recipe_yaml, **context)


def _show_recipes(request: Request, recipes: RecipesService, datasets: Datasets, **context: Any) -> HTMLResponse:
    read: dict[str, Recipe | None] = {}
    listed = recipes.page().recipes
    for each in listed:
        try:
            read[each.name] = parse_recipe(each.recipe_yaml)
        except RecipeError:
            read[each.name] = None
    page = show(
        request,
        "recipes.html",
        "models",
        recipes=listed,
        read=read,
        written_colour=written_colour,
        datasets=datasets.names().datasets,
        **{"given": {}, **context},
    )
    page.status_code = 422 if context.get("refused") else 200
    return page


def _show_form(request: Request, form: RecipeForm, **context: Any) -> HTMLResponse:
    given: Mapping[str, Any] = {"opened": "", "replaces": 0, **context}
    page = show(
        request,
        "recipe.html",
        "models",
        form=form,
        values=form.values,
        problems=form.problems,
        summary=_summary_of(form),
        colours=COLOURS,
        reserved=RESERVED_KEYS,
        heatmap_methods={"": gettext("chosen by the training"), **{name: name for name in get_args(ExplanationMethod)}},
        **{"recipe_yaml": form.recipe.to_yaml() if form.recipe else "", **given},
    )
    page.status_code = 409 if context.get("refused") else 422 if form.problems else 200
    return page


def _summary_of(form: RecipeForm) -> str:
    """Return in one line whether the recipe can be saved."""
    if not form.problems:
        return gettext("✓ No problem was found.")
    return ngettext("▲ Correct %(num)s field.", "▲ Correct %(num)s fields.", len(form.problems))
