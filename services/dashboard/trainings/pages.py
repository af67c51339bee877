"""The pages of trainings: the form of a request, and one training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, JsonValue

from services.dashboard.access.audit import Audited
from services.dashboard.datasets.endpoints import Datasets
from services.dashboard.datasets.service import DatasetsService
from services.dashboard.models.endpoints import Models
from services.dashboard.models.schemas import FEWEST_IMAGES, OPTIONS
from services.dashboard.models.service import ModelsService
from services.dashboard.models.training_curves import LOSS, PRECISION, draw_curves
from services.dashboard.trainings.endpoints import TrainingId, Trainings
from services.dashboard.trainings.schemas import TrainingRequest
from services.dashboard.trainings.service import ENDED_STATES
from services.dashboard.web.authorization import Engineer
from services.dashboard.web.language import gettext, translated
from services.dashboard.web.problems import Problem
from services.dashboard.web.templating import show
from shared.contracts.operating_points import MEANINGS
from shared.contracts.training import ARCHITECTURES, TrainingOptions
from shared.recipe import RecipeError, parse_recipe

NUMBERS: Final = ("patience", "batch_size", "seed")
SPLITS: Final = ("train", "valid", "test")
SHARES: Final = {"train": "70", "valid": "15", "test": "15"}
"""In percent. A test split of a few percent has too few images for the gate, unless there are many thousands."""
DEFAULTS: Final = {
    **{name: str(getattr(TrainingOptions(), name)) for name in NUMBERS},
    **SHARES,
    "epochs": "",
    "learning_rate": "",
    "operating_point": "",
    "good_only": "",
    "overkill": f"{100 * TrainingOptions().overkill:g}",
    "architecture": next(iter(ARCHITECTURES)),
    "int8": "on",
}
router = APIRouter(include_in_schema=False)


class TrainingForm(BaseModel):
    """The fields as a browser sends them. A box that is not ticked is an empty field."""

    recipe: str = ""
    recipe_yaml: str = ""
    dataset: str = ""
    architecture: str = ""
    epochs: str = ""
    patience: str = ""
    batch_size: str = ""
    learning_rate: str = ""
    operating_point: str = ""
    good_only: str = ""
    overkill: str = ""
    seed: str = ""
    train: str = ""
    valid: str = ""
    test: str = ""
    int8: str = ""
    promote: str = ""


@dataclass
class CheckedForm:
    """The form with its problems."""

    form: TrainingForm
    problems: dict[str, str] = field(default_factory=dict)
    """What to correct, by field."""

    def request(self) -> TrainingRequest | None:
        """Return the request, or None if a field has a problem."""
        form = self.form
        options: dict[str, JsonValue] = {name: self._number(name, int) for name in NUMBERS}
        options["shares"] = {split: (self._number(split, float) or 0) / 100 for split in SPLITS}
        options["variants"] = ["fp32", "int8"] if form.int8 else ["fp32"]
        if form.epochs:
            options["epochs"] = self._number("epochs", int)
        if form.learning_rate:
            options["learning_rate"] = self._number("learning_rate", float)
        if form.operating_point:
            options["operating_point"] = form.operating_point
        if form.good_only:
            options["good_only"] = form.good_only == "yes"
        if form.overkill:
            options["overkill"] = (self._number("overkill", float) or 0) / 100
        recipe = form.recipe or self._name_of_recipe()
        if not form.dataset:
            self.problems["dataset"] = gettext("choose a dataset")
        if self.problems:
            return None
        return TrainingRequest(
            recipe=recipe,
            dataset=form.dataset,
            recipe_yaml=form.recipe_yaml or None,
            architecture=form.architecture,
            options=options,
            promote=bool(form.promote),
        )

    def take(self, problem: Problem) -> None:
        """Add the problems that the service found to their fields."""
        for error in problem.details.errors or [{"where": "recipe_yaml", "what": problem.details.detail}]:
            where = error["where"].removeprefix("options.").partition(".")[0]
            self.problems["train" if where == "shares" else where] = error["what"]

    def _number(self, name: str, kind: type[int] | type[float]) -> Any:
        try:
            return kind(getattr(self.form, name).replace(",", "."))
        except ValueError:
            self.problems[name] = gettext("give a whole number") if kind is int else gettext("give a number")
            return None

    def _name_of_recipe(self) -> str:
        """Return the name of the recipe that was given as text."""
        if not self.form.recipe_yaml:
            self.problems["recipe"] = gettext("choose a recipe, or give a new one below")
            return ""
        try:
            return parse_recipe(self.form.recipe_yaml).name
        except RecipeError as error:
            self.problems["recipe_yaml"] = translated(error)
            return ""


@router.get("/trainings/new")
def show_form(request: Request, models: Models, datasets: Datasets) -> HTMLResponse:
    """Show the form of a request with the first recipe and the only dataset; the address may hold other fields."""
    recipes, names = models.recipes(), datasets.names().datasets
    usual = {"recipe": recipes[0] if recipes else "", "dataset": names[0] if len(names) == 1 else ""}
    given = {name: value for name, value in request.query_params.items() if name in TrainingForm.model_fields}
    return _form(request, CheckedForm(TrainingForm(**{**DEFAULTS, **usual, **given})), models, datasets)


@router.post("/trainings/new")
def request_training(
    request: Request,
    models: Models,
    datasets: Datasets,
    trainings: Trainings,
    *,
    caller: Engineer,
    audit: Audited,
    form: Annotated[TrainingForm, Form()],
) -> Response:
    """Request a training and show its page, or show each problem beside its field."""
    checked = CheckedForm(form)
    wanted = checked.request()
    if wanted:
        try:
            with audit.recording(
                "training.request", wanted.recipe, caller.name, dataset=wanted.dataset, promote=wanted.promote
            ):
                training = trainings.request(wanted, by=caller.name)
            return RedirectResponse(f"/trainings/{training.training_id}", status_code=303)
        except Problem as problem:
            checked.take(problem)
    return _form(request, checked, models, datasets)


@router.get("/trainings/{training_id}")
def show_training(request: Request, trainings: Trainings, training_id: TrainingId) -> HTMLResponse:
    """Show one training: its state, its curves, and its result."""
    training = trainings.get(training_id)
    epochs = trainings.history(training_id).epochs
    return show(
        request,
        "training.html",
        "models",
        training=training,
        options=OPTIONS,
        over=training.state in ENDED_STATES,
        loss=draw_curves(epochs, LOSS, gettext("Loss per epoch")) if epochs else "",
        precision=draw_curves(epochs, PRECISION, gettext("Average precision per epoch"), share=True) if epochs else "",
        last=epochs[-1] if epochs else None,
        best=max((each.metrics.get("val_average_precision", 0.0) for each in epochs), default=None),
    )


@router.post("/trainings/{training_id}/cancel")
def cancel(trainings: Trainings, training_id: TrainingId, caller: Engineer, audit: Audited) -> RedirectResponse:
    """Request the end of a training, and show its page."""
    with audit.recording("training.cancel", training_id, caller.name):
        trainings.cancel(training_id, by=caller.name)
    return RedirectResponse(f"/trainings/{training_id}", status_code=303)


def _form(request: Request, checked: CheckedForm, models: ModelsService, datasets: DatasetsService) -> HTMLResponse:
    names = datasets.names()
    versions = {name: datasets.versions(name).versions for name in names.datasets}
    page = show(
        request,
        "new_training.html",
        "models",
        form=checked.form,
        problems=checked.problems,
        recipes=models.recipes(),
        datasets={name: found for name, found in versions.items() if found},
        architectures=ARCHITECTURES,
        operating_points=MEANINGS,
        few=FEWEST_IMAGES,
    )
    page.status_code = 422 if checked.problems else 200
    return page
