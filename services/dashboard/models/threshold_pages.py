"""The pages of thresholds: change them and see the effect, then save them as a new version."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import ValidationError

from services.dashboard.access.audit import Audited
from services.dashboard.models.endpoints import Models, Names, RecipeName, Thresholds, Version
from services.dashboard.models.names import LONGEST_NAME
from services.dashboard.models.schemas import ModelView, ThresholdSetRequest
from services.dashboard.models.threshold_sets import ThresholdSetsService
from services.dashboard.web.authorization import Engineer
from services.dashboard.web.form import SentFields
from services.dashboard.web.problems import Problem
from services.dashboard.web.templating import show
from shared.language import gettext, translated
from shared.messages import Name
from shared.recipe import Recipe
from shared.validation import describe, marked

PREFIX: Final = "threshold-"
"""The beginning of the names of the labels' fields: a label may have the name of another field."""

CHANGES: Final = {
    "new_escapes": (marked("Newly missed"), marked("NG parts that would be called OK")),
    "new_overkill": (marked("Newly called NG"), marked("ok parts that would be called NG")),
    "found_escapes": (marked("No longer missed"), marked("NG parts that would be found")),
    "avoided_overkill": (marked("No longer called NG"), marked("ok parts that would pass")),
}
"""The ways in which the verdict of an image changes: title and meaning."""

router = APIRouter(include_in_schema=False)


@dataclass
class ThresholdForm:
    """The form with its problems."""

    thresholds: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    """By field."""
    reason: str = ""
    name: str = ""


@router.get("/models/{recipe}/{version}/thresholds")
def show_thresholds(
    request: Request, models: Models, sets: Thresholds, *, recipe: RecipeName, version: Version
) -> HTMLResponse:
    """Show the sliders; the address may hold their values."""
    found = sets.recipe(recipe, version)
    return _page(request, models.get(recipe, version), found, sets, _read(found, dict(request.query_params)))


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
    fields: SentFields,
) -> Response:
    """Request a version with these thresholds, or show each problem beside its slider."""
    found = sets.recipe(recipe, version)
    form = _read(found, fields)
    if not form.reason:
        form.problems["reason"] = gettext("give a reason: it is shown before a rollback")
    if not form.problems:
        try:
            wanted = ThresholdSetRequest.model_validate(
                {
                    "thresholds": form.thresholds,
                    "operating_point": fields.get("operating_point") or None,
                    "reason": form.reason,
                    "promote": bool(fields.get("promote")),
                    "name": form.name,
                }
            )
            with audit.recording("thresholds.set", f"{recipe}/{version}", caller.name, **wanted.model_dump()):
                view = sets.request(recipe, version, wanted, by=caller.name)
            return RedirectResponse(f"/models/{recipe}/thresholds/{view.thresholds_id}", status_code=303)
        except Problem as problem:
            form.problems["form"] = problem.details.detail
        except ValidationError as error:
            wrong = next((each for each in error.errors() if each["loc"] == ("name",)), None)
            if wrong:
                form.problems["name"] = describe(wrong, translated)
            else:
                form.problems["form"] = gettext("change a threshold, or choose an operating point of the model")
    return _page(request, models.get(recipe, version), found, sets, form)


@router.get("/models/{recipe}/thresholds/{thresholds_id}")
def show_set(request: Request, sets: Thresholds, names: Names, *, recipe: RecipeName, thresholds_id: Name) -> Response:
    """Show a threshold set and its version, once it is there."""
    found = next((each for each in sets.of_recipe(recipe).threshold_sets if each.thresholds_id == thresholds_id), None)
    if found is None:
        raise Problem(404, gettext("there is no such threshold set: see the models of the recipe"))
    return show(request, "threshold_set.html", "models", each=found, names=names.of(recipe))


def _page(
    request: Request, model: ModelView, recipe: Recipe, sets: ThresholdSetsService, form: ThresholdForm
) -> HTMLResponse:
    known = {name: value for name, value in form.thresholds.items() if name not in form.problems}
    page = show(
        request,
        "thresholds.html",
        "models",
        model=model,
        recipe=recipe,
        before=sets.effect(model.recipe, model.version, {}),
        effect=sets.effect(model.recipe, model.version, known),
        changes=CHANGES,
        has_images=sets.has_images(model.recipe, model.version),
        yesterday=sets.yesterday(model.recipe, model.version, known),
        form=form,
        prefix=PREFIX,
        longest_name=LONGEST_NAME,
    )
    page.status_code = 422 if form.problems else 200
    return page


def _read(recipe: Recipe, given: dict[str, str]) -> ThresholdForm:
    """Read a form; a label without a value keeps its threshold."""
    form = ThresholdForm(reason=given.get("reason", ""), name=given.get("name", ""))
    for name in recipe.label_names:
        text = given.get(PREFIX + name)
        if not text:
            continue
        try:
            value = float(text.replace(",", "."))
        except ValueError:
            value = 0.0
        if 0 < value < 1:
            form.thresholds[name] = value
        else:
            form.problems[name] = gettext("give a number between 0 and 1")
    return form
