"""The endpoints of models: ``/api/models``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import HTMLResponse

from services.dashboard.access.audit import Audited
from services.dashboard.models.comparisons import ComparisonsService
from services.dashboard.models.names import VersionNames
from services.dashboard.models.schemas import (
    ComparisonRequest,
    ComparisonView,
    HistoryView,
    ModelList,
    ModelView,
    NameRequest,
    ProductionView,
    PromotionList,
    PromotionRequest,
    PromotionView,
    RollbackRequest,
    ThresholdSetList,
    ThresholdSetRequest,
    ThresholdSetView,
)
from services.dashboard.models.service import ModelsService
from services.dashboard.models.threshold_effects import Effect
from services.dashboard.models.threshold_sets import ThresholdSetsService
from services.dashboard.models.yesterday import YesterdayEffect
from services.dashboard.web.authorization import Engineer, at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.paging import Paged
from services.dashboard.web.problems import Problem, documented
from services.dashboard.web.service_registry import provided
from shared.contracts.bundle import REPORTS
from shared.imaging.codec import content_type_of
from shared.label_names import written_alike
from shared.language import gettext, language
from shared.messages import Name

CACHED: Final = "private, max-age=86400, immutable"
"""For images of dataset versions, which never change."""
SANDBOX: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"

router = APIRouter(prefix="/api/models", tags=["models"], dependencies=[at_least(Role.VIEWER)])


Models = Annotated[ModelsService, provided(ModelsService)]
Comparisons = Annotated[ComparisonsService, provided(ComparisonsService)]
Names = Annotated[VersionNames, provided(VersionNames)]


Thresholds = Annotated[ThresholdSetsService, provided(ThresholdSetsService)]
RecipeName = Annotated[Name, Path(examples=["seam"])]
Version = Annotated[Name, Path(examples=["20260131-120000-1f3a"])]
ThresholdTexts = Annotated[
    list[str], Query(max_length=64, description="`label:number`; other labels keep their thresholds")
]


@router.get("", responses=documented(401, 422, 503))
def list_models(
    models: Models, paging: Paged, recipe: Annotated[Name | None, Query(description="of this recipe only")] = None
) -> ModelList:
    """Return the model versions in pages, newest first: each with its labels, its evaluation and its dataset."""
    return models.newest(recipe, paging)


@router.get("/{recipe}/versions/{version}", responses=documented(401, 404, 422, 503))
def get_model(models: Models, recipe: RecipeName, version: Version) -> ModelView:
    """Return one model version."""
    return models.get(recipe, version)


@router.put("/{recipe}/versions/{version}/name", responses=documented(401, 403, 404, 422, 503))
def name_model(
    models: Models, recipe: RecipeName, version: Version, body: NameRequest, *, caller: Engineer, audit: Audited
) -> ModelView:
    """Give a model version a name, which is shown beside its id; an empty one removes its name."""
    with audit.recording("model.name", f"{recipe}/{version}", caller.name, name=body.name):
        return models.rename(recipe, version, body.name, by=caller.name)


@router.get(
    "/{recipe}/versions/{version}/report", response_class=HTMLResponse, responses=documented(401, 403, 404, 422, 503)
)
def get_report(models: Models, recipe: RecipeName, version: Version) -> HTMLResponse:
    """Return the report of a model, in the language of the caller.

    The browser runs it in a sandbox: no script, no form, no request.
    """
    report = models.file(recipe, version, REPORTS[language()])
    return HTMLResponse(report, headers={"Content-Security-Policy": SANDBOX})


@router.get("/{recipe}/versions/{version}/images/{place}", responses=documented(401, 404, 422, 503))
def get_scored_image(
    sets: Thresholds, recipe: RecipeName, version: Version, place: Annotated[int, Path(ge=0, examples=[0])]
) -> Response:
    """Return an image by whose score the effect of thresholds is counted, small, by its number in `changed`."""
    content = sets.image(recipe, version, place)
    return Response(content, media_type=content_type_of(content), headers={"Cache-Control": CACHED})


@router.get("/{recipe}/versions/{version}/yesterday", responses=documented(401, 404, 409, 422, 503))
def get_effect_on_yesterday(
    sets: Thresholds,
    recipe: RecipeName,
    version: Version,
    threshold: ThresholdTexts = [],  # noqa: B006  FastAPI copies it
) -> YesterdayEffect:
    """Return how many frames that the model inspected yesterday would get another verdict with other thresholds.

    The first request begins to read the frames: repeat it until `counted` is true.
    """
    return sets.yesterday(recipe, version, thresholds_of(threshold))


@router.get("/{recipe}/versions/{version}/effect", responses=documented(401, 403, 404, 409, 422, 503))
def get_effect(
    sets: Thresholds,
    recipe: RecipeName,
    version: Version,
    threshold: ThresholdTexts = [],  # noqa: B006  FastAPI copies it
) -> Effect:
    """Return the escapes and the overkill of a model with other thresholds, on images that it did not learn from."""
    return sets.effect(recipe, version, thresholds_of(threshold))


@router.post("/{recipe}/{version}/thresholds", status_code=202, responses=documented(401, 403, 404, 409, 422, 503))
def set_thresholds(
    sets: Thresholds,
    recipe: RecipeName,
    version: Version,
    body: ThresholdSetRequest,
    *,
    caller: Engineer,
    audit: Audited,
) -> ThresholdSetView:
    """Request a version with these thresholds, measured on the test split of the model."""
    with audit.recording("thresholds.set", f"{recipe}/{version}", caller.name, **body.model_dump()):
        return sets.request(recipe, version, body, by=caller.name)


@router.get("/{recipe}/thresholds", responses=documented(401, 403, 422, 503))
def list_thresholds(sets: Thresholds, recipe: RecipeName, paging: Paged) -> ThresholdSetList:
    """Return the requested threshold sets with the trainer's answers, in pages, newest first."""
    return sets.of_recipe(recipe, paging)


@router.get("/{recipe}/production", responses=documented(401, 404, 422, 503))
def get_production(models: Models, recipe: RecipeName) -> ProductionView:
    """Return the version in production, and every promotion that led to it."""
    return models.production(recipe)


@router.get("/{recipe}/promotions", responses=documented(401, 422, 503))
def list_promotions(models: Models, recipe: RecipeName, paging: Paged) -> PromotionList:
    """Return the requested promotions with the trainer's answers, in pages, newest first."""
    return models.promotions(recipe, paging)


@router.post("/{recipe}/{version}/promotion", status_code=202, responses=documented(401, 403, 404, 422, 503))
def promote_model(
    models: Models, recipe: RecipeName, version: Version, body: PromotionRequest, *, caller: Engineer, audit: Audited
) -> PromotionView:
    """Request a promotion. The trainer compares the version with the one in production, and promotes or refuses it."""
    with audit.recording("model.promote", f"{recipe}/{version}", caller.name, **body.model_dump()):
        return models.promote(recipe, version, body, by=caller.name)


@router.post("/{recipe}/rollback", status_code=202, responses=documented(401, 403, 409, 422, 503))
def roll_back(
    models: Models, recipe: RecipeName, caller: Engineer, audit: Audited, body: RollbackRequest | None = None
) -> PromotionView:
    """Request a rollback to the version that was in production before; a second request goes back no further."""
    body = body or RollbackRequest()
    with audit.recording("model.rollback", recipe, caller.name, reason=body.reason):
        return models.roll_back(recipe, body, by=caller.name)


@router.get("/{recipe}/history", responses=documented(401, 422, 503))
def get_history(models: Models, recipe: RecipeName, paging: Paged) -> HistoryView:
    """Return every promotion, rollback and refusal with its author, time, reason and versions, in pages."""
    return models.history(recipe, paging)


@router.post("/{recipe}/comparisons", status_code=202, responses=documented(401, 403, 404, 422, 503))
def compare_models(
    comparisons: Comparisons,
    recipe: RecipeName,
    body: ComparisonRequest,
    *,
    caller: Engineer,
    audit: Audited,
    response: Response,
) -> None:
    """Request the comparison of two versions on the same images; `Location` is the address of the result."""
    with audit.recording("model.compare", recipe, caller.name, baseline=body.baseline, candidate=body.candidate):
        comparisons.request(recipe, body, by=caller.name)
    response.headers["Location"] = f"/api/models/{recipe}/comparisons/{body.baseline}/{body.candidate}"


@router.get("/{recipe}/comparisons/{baseline}/{candidate}", responses=documented(401, 404, 422, 503))
def get_comparison(
    comparisons: Comparisons, recipe: RecipeName, baseline: Version, candidate: Version
) -> ComparisonView:
    """Return the comparison of two versions on the test split of the candidate, by label and as a whole."""
    return comparisons.get(recipe, baseline, candidate)


def thresholds_of(given: Sequence[str]) -> dict[str, float]:
    """Return thresholds from texts of the form ``label:number``.

    Raises:
        Problem: 422: a text has another form.
    """
    try:
        return {written_alike(label): float(value) for label, _, value in (each.rpartition(":") for each in given)}
    except ValueError as error:
        raise Problem(422, gettext("threshold: give label:number, such as break:0.35")) from error
