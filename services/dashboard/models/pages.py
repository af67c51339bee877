"""The pages of models: the versions of a recipe, one version, a comparison, and promotions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import AwareDatetime, BaseModel

from services.dashboard.access.audit import Audited
from services.dashboard.models.endpoints import Comparisons, Models, Names, RecipeName, Thresholds, Version
from services.dashboard.models.names import LONGEST_NAME, VersionName
from services.dashboard.models.schemas import (
    FEWEST_IMAGES,
    OPTIONS,
    ComparisonRequest,
    EpochView,
    PromotionRequest,
    PromotionState,
    RollbackRequest,
)
from services.dashboard.models.threshold_sets import has_thresholds
from services.dashboard.models.training_curves import LOSS, PRECISION, draw_curves
from services.dashboard.web.authorization import Engineer
from services.dashboard.web.form import Fields
from services.dashboard.web.paging import Before, Paging, place_of
from services.dashboard.web.problems import Problem
from services.dashboard.web.service_registry import provided
from services.dashboard.web.templating import show
from shared.contracts.operating_points import MEANINGS
from shared.language import gettext
from shared.messages import Name
from shared.validation import marked

TRAININGS: Final = 12
PROMOTIONS: Final = 30
LABEL_METRICS: Final = {
    "recall": marked("recall"),
    "precision": marked("precision"),
    "accuracy": marked("accuracy"),
    "average_precision": marked("average precision"),
}
TOTAL_METRICS: Final = {
    "verdict_accuracy": marked("accuracy"),
    "escape_rate": marked("escape rate"),
    "overkill_rate": marked("overkill (false rejects)"),
}
Reason = Annotated[str, Form(max_length=500)]

router = APIRouter(include_in_schema=False)


def counts_of(evaluation: Mapping[str, Any]) -> dict[str, int | None]:
    """Return the number of images that each figure of `TOTAL_METRICS` is a share of; None: unknown."""
    images, ng = evaluation.get("images"), evaluation.get("ng")
    return {
        "verdict_accuracy": images,
        "escape_rate": ng,
        "overkill_rate": None if images is None or ng is None else images - ng,
    }


def trials_of(label: Mapping[str, Any]) -> dict[str, int | None]:
    """Return the number of images that each figure of a label is a share of; None: it is no share."""
    confusion = label.get("confusion")
    return {
        "recall": label.get("positives"),
        "precision": confusion["true_positive"] + confusion["false_positive"] if confusion else None,
        "accuracy": label.get("n"),
        "average_precision": None,
    }


def mean_is_telling(evaluation: Mapping[str, Any]) -> bool:
    """Return whether each label of the mean average precision has enough images with it and without it."""
    labels = evaluation.get("labels") or {}
    measured = [labels[name] for name in evaluation.get("macro_labels") or labels if name in labels]
    return all(min(each["positives"], each["n"] - each["positives"]) >= FEWEST_IMAGES for each in measured)


FIGURES: Final = {"counts_of": counts_of, "trials_of": trials_of, "mean_is_telling": mean_is_telling}
"""What templates use to show figures with their counts."""


@dataclass(frozen=True)
class ListedTrainings:
    """The trainings on the page of the models. It is passed in, because the feature `trainings` imports this one."""

    page: Callable[[Paging], BaseModel]


Trainings = Annotated[ListedTrainings, provided(ListedTrainings)]


@router.get("/models")
def show_models(
    request: Request,
    models: Models,
    trainings: Trainings,
    names: Names,
    fields: Fields,
    *,
    recipe: Annotated[Name | None, Query()] = None,
    trainings_before: Before = None,
    promotions_before: Before = None,
) -> HTMLResponse:
    """Show the version in production, the versions, the trainings, and the history of a recipe."""
    recipes = models.recipes()
    recipe = recipe or (recipes[0] if recipes else None)
    found = models.newest(recipe).models if recipe else []
    promotions = models.promotions(recipe).promotions if recipe else []
    return show(
        request,
        "models.html",
        "models",
        recipes=recipes,
        recipe=recipe,
        models=found,
        names=names.of(recipe) if recipe else {},
        production=models.production(recipe) if found and recipe else None,
        before=models.before(recipe) if found and recipe else None,
        history=models.history(recipe, Paging(place_of(promotions_before), PROMOTIONS)) if recipe else None,
        waiting=[each for each in promotions if each.state is PromotionState.REQUESTED],
        trainings=trainings.page(Paging(place_of(trainings_before), TRAININGS)),
        fields=fields,
        **FIGURES,
    )


@router.get("/models/{recipe}/compare")
def show_comparison(
    request: Request,
    comparisons: Comparisons,
    names: Names,
    recipe: RecipeName,
    *,
    baseline: Annotated[Name, Query()],
    candidate: Annotated[Name, Query()],
    since: Annotated[AwareDatetime | None, Query()] = None,
) -> HTMLResponse:
    """Show a comparison; a page without a result is fetched again until there is one."""
    try:
        found = comparisons.get(recipe, baseline, candidate, since)
    except Problem:
        found = None
    return show(
        request,
        "comparison.html",
        "models",
        recipe=recipe,
        baseline=baseline,
        candidate=candidate,
        names=names.of(recipe),
        found=found,
        comparison=found.comparison if found else None,
        label_metrics=LABEL_METRICS,
        total_metrics=TOTAL_METRICS,
        **FIGURES,
    )


@router.post("/models/{recipe}/compare")
def compare(
    comparisons: Comparisons,
    recipe: RecipeName,
    *,
    caller: Engineer,
    audit: Audited,
    baseline: Annotated[Name, Form()],
    candidate: Annotated[Name, Form()],
) -> RedirectResponse:
    """Request a comparison, and show its page."""
    with audit.recording("model.compare", recipe, caller.name, baseline=baseline, candidate=candidate):
        wanted = ComparisonRequest(baseline=baseline, candidate=candidate)
        requested_at = comparisons.request(recipe, wanted, by=caller.name)
    return _redirect(
        f"/models/{recipe}/compare?{urlencode({**wanted.model_dump(), 'since': requested_at.isoformat()})}"
    )


@router.post("/models/{recipe}/rollback")
def roll_back(
    models: Models,
    recipe: RecipeName,
    *,
    caller: Engineer,
    audit: Audited,
    to: Annotated[Name, Form()],
    reason: Reason = "",
) -> RedirectResponse:
    """Request a rollback to the version that the page showed, and show the page of the recipe."""
    if models.before(recipe) != to:
        raise Problem(
            409,
            gettext(
                "a rollback does not lead to %(to)s any more, since production has changed: reload the page", to=to
            ),
        )
    with audit.recording("model.rollback", recipe, caller.name, reason=reason):
        models.roll_back(recipe, RollbackRequest(reason=reason), by=caller.name)
    return _redirect(f"/models?recipe={recipe}#production")


@router.get("/models/{recipe}/{version}")
def show_model(
    request: Request, models: Models, sets: Thresholds, names: Names, *, recipe: RecipeName, version: Version
) -> HTMLResponse:
    """Show one version: its evaluation, its origin, and the actions on it."""
    model = models.get(recipe, version)
    curves = [
        EpochView(epoch=number, metrics=each) for number, each in enumerate(models.curves(recipe, version), start=1)
    ]
    promotions = [each for each in models.promotions(recipe).promotions if each.version == version]
    return show(
        request,
        "model.html",
        "models",
        model=model,
        names=names.of(recipe),
        longest_name=LONGEST_NAME,
        evaluation=model.evaluation if model.evaluation and model.evaluation.get("labels") else None,
        others=[each for each in models.newest(recipe).models if each.version != version],
        production=models.production(recipe).version,
        promotions=promotions,
        derived=[each for each in sets.of_recipe(recipe).threshold_sets if each.model_version == version][:1],
        has_report=models.has_report(recipe, version),
        has_thresholds=has_thresholds(models.recipe(recipe, version)),
        points=models.operating_points(recipe, version),
        thresholds={label.name: label.threshold for label in model.labels},
        meanings=MEANINGS,
        label_metrics=LABEL_METRICS,
        total_metrics=TOTAL_METRICS,
        options=OPTIONS,
        **FIGURES,
        few=FEWEST_IMAGES,
        validated=curves[-1].metrics.get("val_images") if curves else None,
        loss=draw_curves(curves, LOSS, gettext("Loss per epoch")) if curves else "",
        precision=draw_curves(curves, PRECISION, gettext("Average precision per epoch"), share=True) if curves else "",
    )


@router.post("/models/{recipe}/{version}/promote")
def promote(
    models: Models,
    *,
    recipe: RecipeName,
    version: Version,
    caller: Engineer,
    audit: Audited,
    reason: Reason = "",
    force: Annotated[bool, Form()] = False,
) -> RedirectResponse:
    """Request a promotion, and show the page of the version."""
    wanted = PromotionRequest(reason=reason, force=force)
    with audit.recording("model.promote", f"{recipe}/{version}", caller.name, **wanted.model_dump()):
        models.promote(recipe, version, wanted, by=caller.name)
    return _redirect(f"/models/{recipe}/{version}#promotion")


@router.post("/models/{recipe}/{version}/name")
def name_model(
    models: Models,
    *,
    recipe: RecipeName,
    version: Version,
    caller: Engineer,
    audit: Audited,
    name: Annotated[VersionName, Form()] = "",
) -> RedirectResponse:
    """Give a version a name, and show its page."""
    with audit.recording("model.name", f"{recipe}/{version}", caller.name, name=name):
        models.rename(recipe, version, name, by=caller.name)
    return _redirect(f"/models/{recipe}/{version}")


def _redirect(address: str) -> RedirectResponse:
    return RedirectResponse(address, status_code=303)
