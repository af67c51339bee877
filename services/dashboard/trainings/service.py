"""Trainings: requested from the trainer by message, and followed by its reports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError
from ulid import ULID

from services.dashboard.ingest.command_publisher import CommandPublisher
from services.dashboard.models.names import VersionNames
from services.dashboard.models.schemas import EpochView
from services.dashboard.models.service import ModelsService
from services.dashboard.recipes.service import RecipesService
from services.dashboard.trainings.repository import StoredTraining, TrainingRepository
from services.dashboard.trainings.schemas import TrainingHistory, TrainingList, TrainingRequest, TrainingView
from services.dashboard.web.paging import Paging, newest
from services.dashboard.web.problems import Problem, problem_of
from shared.contracts.bundle import version_name
from shared.contracts.training import TrainingOptions
from shared.language import gettext, translated
from shared.messages import TrainingCancelled, TrainingRequested, TrainingState
from shared.recipe import RecipeError, parse_recipe

ENDED_STATES: Final = frozenset({TrainingState.FINISHED, TrainingState.FAILED, TrainingState.CANCELLED})


class TrainingsService:
    """Answers about trainings, and requests of them."""

    def __init__(
        self,
        trainings: TrainingRepository,
        models: ModelsService,
        recipes: RecipesService,
        names: VersionNames,
        commands: CommandPublisher,
    ) -> None:
        """``models``: the service that knows the promotion of a training."""
        self._trainings = trainings
        self._models = models
        self._recipes = recipes
        self._names = names
        self._commands = commands

    def request(self, request: TrainingRequest, by: str) -> TrainingView:
        """Request a training with the recipe that is given, or else with the saved one, or that of the models.

        Raises:
            Problem: 422: the recipe or an option is invalid.
            StorageError: the name was not stored, and nothing was requested.
            MessagingError: the request was not published.
        """
        try:
            TrainingOptions.model_validate(request.options)
        except ValidationError as error:
            raise problem_of(error, "options") from error
        if request.recipe_yaml is not None:
            _check_recipe(request.recipe_yaml, request.recipe)
        recipe_yaml = request.recipe_yaml or self._recipes.for_training(request.recipe)
        message = TrainingRequested(
            training_id=f"training-{ULID()}",
            by=by,
            at=datetime.now(UTC),
            **{**request.model_dump(exclude={"name"}), "recipe_yaml": recipe_yaml},
        )
        if request.name:
            self._names.give(request.recipe, version_name(message.at, message.training_id), request.name, by)
        self._commands.publish(message)
        return self.get(message.training_id)

    def page(self, paging: Paging) -> TrainingList:
        """Return trainings, newest first."""
        ids, more = paging.page(self._trainings.ids(), lambda each: newest(each[1], each[0]))
        found = (self._trainings.find(training_id) for training_id, _ in ids)
        names = self._names.all()
        return TrainingList(trainings=[self._view(training, names) for training in found if training], next=more)

    def get(self, training_id: str) -> TrainingView:
        """Return one training.

        Raises:
            Problem: 404: there is no such training.
        """
        training = self._trainings.find(training_id)
        if training is None:
            raise Problem(404, gettext("there is no such training: GET /api/trainings lists them"))
        return self._view(training, self._names.all())

    def history(self, training_id: str) -> TrainingHistory:
        """Return the curves of one training: from its reports, or from the bundle of its model.

        Raises:
            Problem: 404: there is no such training.
        """
        view = self.get(training_id)
        epochs = [EpochView(epoch=each.epoch, metrics=each.metrics) for each in self._trainings.epochs(training_id)]
        if not epochs and view.model_version:
            stored = enumerate(self._models.curves(view.recipe, view.model_version), start=1)
            epochs = [EpochView(epoch=number, metrics=metrics) for number, metrics in stored]
        return TrainingHistory(training_id=training_id, epochs=epochs)

    def cancel(self, training_id: str, by: str) -> TrainingView:
        """Request the end of a training. Its state changes when the trainer has stopped.

        Raises:
            Problem: 404: there is no such training; 409: it is over.
            MessagingError: the request was not published.
        """
        training = self.get(training_id)
        if training.state in ENDED_STATES:
            raise Problem(
                409, gettext("this training is %(state)s: there is nothing to cancel", state=training.state.value)
            )
        command = TrainingCancelled(training_id=training_id, by=by, at=datetime.now(UTC))
        self._commands.publish(command, applied=False)
        return training

    def _view(self, training: StoredTraining, names: Mapping[str, str]) -> TrainingView:
        view = TrainingView.of(training)
        if not view.metrics and (epochs := self._trainings.epochs(training.training_id)):
            last = epochs[-1]  # the report of the end has no metrics
            view = view.model_copy(update={"epoch": last.epoch, "epochs": last.epochs, "metrics": last.metrics})
        promotion = self._models.promotion(view.recipe, view.training_id) if view.promote else None
        version = view.model_version
        if version is None and view.requested_at:
            version = version_name(view.requested_at, view.training_id)  # as the trainer will name it
        return view.model_copy(update={"promotion": promotion, "name": names.get(f"{view.recipe}/{version}", "")})


def _check_recipe(text: str, name: str) -> None:
    try:
        recipe = parse_recipe(text, "recipe_yaml", translated)
    except RecipeError as error:
        raise Problem(422, translated(error)) from error
    if recipe.name != name:
        raise Problem(
            422,
            gettext(
                "recipe is %(name)r, but recipe_yaml is named %(name2)r: give both one name",
                name=name,
                name2=recipe.name,
            ),
        )
