"""The pages of trainings: the form of a request, and one training."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from services.dashboard.access.audit import Audited
from services.dashboard.datasets.endpoints import Datasets
from services.dashboard.datasets.service import DatasetsService
from services.dashboard.models.names import LONGEST_NAME, VersionName
from services.dashboard.models.schemas import FEWEST_IMAGES, OPTIONS
from services.dashboard.models.training_curves import LOSS, PRECISION, draw_curves
from services.dashboard.recipes.endpoints import Recipes
from services.dashboard.recipes.service import RecipesService
from services.dashboard.trainings.endpoints import TrainingId, Trainings
from services.dashboard.trainings.estimate import GOOD_ONLY, Estimate, EstimatesService, Work
from services.dashboard.trainings.schemas import TrainingRequest
from services.dashboard.trainings.service import ENDED_STATES
from services.dashboard.web.authorization import Engineer
from services.dashboard.web.problems import Problem
from services.dashboard.web.service_registry import provided
from services.dashboard.web.templating import show
from shared.contracts.operating_points import MEANINGS
from shared.contracts.training import ARCHITECTURES, TrainingOptions
from shared.datasets.coverage import FEWEST_GROUPS
from shared.language import gettext, plain, translated
from shared.recipe import Recipe, RecipeError, parse_recipe
from shared.storage.port import InvalidKey
from shared.validation import describe

NUMBERS: Final = ("patience", "batch_size", "seed")
SPLITS: Final = ("train", "valid", "test")
SHARES: Final = {"train": "70", "valid": "15", "test": "15"}
"""In percent. A test split of a few percent has too few images for the gate, unless there are many thousands."""
DEFAULTS: Final = {
    **{name: str(getattr(TrainingOptions(), name)) for name in NUMBERS},
    **SHARES,
    "minutes": f"{TrainingOptions().minutes:g}",
    "epochs": "",
    "learning_rate": "",
    "operating_point": "",
    "good_only": "",
    "overkill": f"{100 * TrainingOptions().overkill:g}",
    "architecture": next(iter(ARCHITECTURES)),
    "int8": "on",
}
EPOCHS_DIGITS: Final = 4
"""Most digits of a number of epochs that is estimated."""
MOST: Final = 10_000
"""Largest number of minutes or percent that is estimated by."""

router = APIRouter(include_in_schema=False)
Estimates = Annotated[EstimatesService, provided(EstimatesService)]


@dataclass(frozen=True)
class TrainingFormServices:
    """What the form is filled from."""

    recipes: RecipesService
    datasets: DatasetsService
    estimates: EstimatesService

    def recipe(self, name: str, recipe_yaml: str) -> Recipe | None:
        """Return the recipe that a form names or holds; None if it has none, or one that can't be read."""
        with suppress(Problem, RecipeError, InvalidKey):
            if name or recipe_yaml:
                return parse_recipe(recipe_yaml or self.recipes.get(name).recipe_yaml).annotated
        return None

    def recipe_for(self, dataset: str) -> str:
        """Return the name of the first recipe with the labels of a dataset, or else of the first recipe; or nothing."""
        names, chosen = self.recipes.names(), self.datasets.version(dataset) if dataset else None
        for name in names:
            recipe = self.recipe(name, "")
            if chosen and recipe and set(recipe.label_names) == set(chosen.labels):
                return name
        return names[0] if names and not chosen else ""

    def dataset_for(self, recipe: Recipe | None) -> str:
        """Return the name of the dataset with the newest version of those with the labels of a recipe; or nothing."""
        newest = {name: self.datasets.version(name) for name in self.datasets.names().datasets}
        made_at = {
            name: version.made_at
            for name, version in newest.items()
            if version and recipe and set(recipe.label_names) <= set(version.labels)
        }
        return max(made_at, key=made_at.__getitem__, default="")


def _form_services(recipes: Recipes, datasets: Datasets, estimates: Estimates) -> TrainingFormServices:
    return TrainingFormServices(recipes, datasets, estimates)


FormServices = Annotated[TrainingFormServices, Depends(_form_services)]


class TrainingForm(BaseModel):
    """The fields as a browser sends them. A box that is not ticked is an empty field."""

    recipe: str = ""
    recipe_yaml: str = ""
    dataset: str = ""
    architecture: str = ""
    minutes: str = ""
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
    name: str = ""


@dataclass
class CheckedForm:
    """The form with its problems."""

    form: TrainingForm
    problems: dict[str, str] = field(default_factory=dict)
    """What to correct, by field."""

    def work(self, images: int, recipe: Recipe) -> Work:
        """Return what the training takes its time for, as far as the fields are filled in."""
        pixels, given = recipe.image.height * recipe.image.width, self.form.epochs
        if self.form.good_only == "yes":
            return Work(GOOD_ONLY, images, pixels)
        epochs = int(given) if given.isdecimal() and len(given) <= EPOCHS_DIGITS else None
        return Work(self.form.architecture, images, pixels, epochs, _amount(self.form.minutes))

    def request(self) -> TrainingRequest | None:
        """Return the request, or None if a field has a problem."""
        form = self.form
        options: dict[str, JsonValue] = {name: self._number(name, int) for name in NUMBERS}
        options["shares"] = {split: (self._number(split, float) or 0) / 100 for split in SPLITS}
        options["variants"] = ["fp32", "int8"] if form.int8 else ["fp32"]
        if form.minutes:
            options["minutes"] = self._number("minutes", float)
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
        try:
            name = TypeAdapter(VersionName).validate_python(form.name)
        except ValidationError as error:
            self.problems["name"] = describe(error.errors()[0], translated)
        recipe = self._name_of_recipe() if form.recipe_yaml or not form.recipe else form.recipe
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
            name=name,
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
            return parse_recipe(self.form.recipe_yaml, "YAML", translated).name
        except RecipeError as error:
            self.problems["recipe_yaml"] = translated(error)
            return ""


@router.get("/trainings/new")
def show_form(request: Request, services: FormServices) -> HTMLResponse:
    """Show the form with the only dataset, or the newest one of a recipe, and a recipe of its labels.

    The address may hold other fields.
    """
    given = {name: value for name, value in request.query_params.items() if name in TrainingForm.model_fields}
    form = TrainingForm(**{**DEFAULTS, **given})
    names = services.datasets.names().datasets
    if "dataset" not in given:
        recipe = services.recipe(form.recipe, form.recipe_yaml)
        form.dataset = names[0] if len(names) == 1 else services.dataset_for(recipe)
    if "recipe" not in given and "recipe_yaml" not in given:
        form.recipe = services.recipe_for(form.dataset)
    return _form(request, CheckedForm(form), services)


@router.post("/trainings/new")
def request_training(
    request: Request,
    services: FormServices,
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
            details = wanted.model_dump(include={"dataset", "promote", "name"})
            with audit.recording("training.request", wanted.recipe, caller.name, **details):
                training = trainings.request(wanted, by=caller.name)
            return RedirectResponse(f"/trainings/{training.training_id}", status_code=303)
        except Problem as problem:
            checked.take(problem)
    return _form(request, checked, services)


@router.get("/trainings/{training_id}")
def show_training(
    request: Request, trainings: Trainings, estimates: Estimates, training_id: TrainingId
) -> HTMLResponse:
    """Show one training: its state, its curves, and its result."""
    training = trainings.get(training_id)
    epochs = trainings.history(training_id).epochs
    return show(
        request,
        "training.html",
        "models",
        training=training,
        options=OPTIONS,
        remaining=_written(estimates.remaining(training_id)),
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


def _form(request: Request, checked: CheckedForm, services: TrainingFormServices) -> HTMLResponse:
    form, datasets = checked.form, services.datasets
    versions = {name: datasets.versions(name).versions for name in datasets.names().datasets}
    chosen = datasets.version(form.dataset) if form.dataset else None
    recipes = services.recipes.page().recipes
    recipe = services.recipe(form.recipe, form.recipe_yaml)
    share = _amount(form.test) / 100
    estimated = services.estimates.of(checked.work(chosen.images, recipe)) if chosen and recipe else None
    page = show(
        request,
        "new_training.html",
        "models",
        form=form,
        problems=checked.problems,
        recipes=recipes,
        chosen=chosen,
        tested={name: chosen.tested(name, share) for name in chosen.labels} if chosen else {},
        missing=sorted(set(recipe.label_names) - set(chosen.labels)) if chosen and recipe else [],
        estimated=_written(estimated),
        measured=estimated.trainings if estimated else 0,
        datasets={name: found for name, found in versions.items() if found},
        architectures=ARCHITECTURES,
        operating_points=MEANINGS,
        few=FEWEST_IMAGES,
        fewest_groups=FEWEST_GROUPS,
        longest_name=LONGEST_NAME,
    )
    page.status_code = 422 if checked.problems else 200
    return page


def _amount(text: str) -> float:
    """Return the number in a field; 0 if it holds none."""
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return 0.0
    return number if 0 <= number < MOST else 0.0


def _written(estimated: Estimate | None) -> str:
    """Return an estimate in words, no more precise than it is; empty for none."""
    if estimated is None:
        return ""
    minutes = estimated.seconds / 60
    if minutes < 1:
        return gettext("less than a minute")
    if minutes < 10:
        return gettext("about %(minutes)s min", minutes=round(minutes))
    if minutes < 55:
        return gettext("about %(minutes)s min", minutes=5 * round(minutes / 5))
    return gettext("about %(hours)s h", hours=plain(round(minutes / 30) / 2))
