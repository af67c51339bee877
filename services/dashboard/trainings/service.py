"""Trainings: ordered from the trainer by message, followed by what it says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError
from ulid import ULID

from services.dashboard.ingest.commands import Commands
from services.dashboard.models.schemas import EpochView
from services.dashboard.models.service import ModelsService
from services.dashboard.trainings.repository import StoredTraining, TrainingRepository
from services.dashboard.trainings.schemas import TrainingHistory, TrainingList, TrainingOrder, TrainingView
from services.dashboard.web.paging import Paging, newest
from services.dashboard.web.problems import Problem
from shared.contracts.training import TrainingOptions
from shared.messages import TrainingCancelled, TrainingRequested, TrainingState
from shared.recipe import RecipeError, parse_recipe

OVER: Final = frozenset({TrainingState.FINISHED, TrainingState.FAILED, TrainingState.CANCELLED})


class TrainingsService:
    """What people may do with trainings."""

    def __init__(self, trainings: TrainingRepository, models: ModelsService, commands: Commands) -> None:
        """``models`` know what became of the promotion that was asked for together with a training."""
        self._trainings = trainings
        self._models = models
        self._commands = commands

    def order(self, order: TrainingOrder, by: str) -> TrainingView:
        """Ask the trainer for a model.

        Raises:
            Problem: 422: the recipe can't be used, or an option is none.
            MessagingError: nobody was asked.
        """
        _check_options(order)
        _check_recipe(order)
        request = TrainingRequested(training_id=f"training-{ULID()}", by=by, at=datetime.now(UTC), **order.model_dump())
        self._commands.give(request)
        return self.get(request.training_id)

    def page(self, paging: Paging) -> TrainingList:
        """Trainings, newest first."""
        ids, more = paging.part(self._trainings.ids(), lambda each: newest(each[1], each[0]))
        found = (self._trainings.find(training_id) for training_id, _ in ids)
        return TrainingList(trainings=[self._view(known) for known in found if known], next=more)

    def get(self, training_id: str) -> TrainingView:
        """One training.

        Raises:
            Problem: 404.
        """
        known = self._trainings.find(training_id)
        if known is None:
            raise Problem(404, "no such training is known: GET /api/trainings lists them")
        return self._view(known)

    def history(self, training_id: str) -> TrainingHistory:
        """The curves of one training: as it told them, or as its model keeps them.

        Raises:
            Problem: 404.
        """
        view = self.get(training_id)
        told = [EpochView(epoch=word.epoch, metrics=word.metrics) for word in self._trainings.epochs(training_id)]
        if not told and view.model_version:
            kept = enumerate(self._models.curves(view.recipe, view.model_version), start=1)
            told = [EpochView(epoch=number, metrics=metrics) for number, metrics in kept]
        return TrainingHistory(training_id=training_id, epochs=told)

    def cancel(self, training_id: str, by: str) -> TrainingView:
        """Ask the trainer to stop; it says when it has.

        Raises:
            Problem: 404; 409 when it is over.
            MessagingError: nobody was asked.
        """
        training = self.get(training_id)
        if training.state in OVER:
            raise Problem(409, f"this training is {training.state.value}: there is nothing to cancel")
        command = TrainingCancelled(training_id=training_id, by=by, at=datetime.now(UTC))
        self._commands.give(command, noted=False)
        return training

    def _view(self, known: StoredTraining) -> TrainingView:
        view = TrainingView.of(known)
        if not view.metrics and (epochs := self._trainings.epochs(known.training_id)):
            last = epochs[-1]  # the word of its end has no metrics
            view = view.model_copy(update={"epoch": last.epoch, "epochs": last.epochs, "metrics": last.metrics})
        promotion = self._models.promotion(view.recipe, view.training_id) if view.promote else None
        return view.model_copy(update={"promotion": promotion})


def _check_options(order: TrainingOrder) -> None:
    try:
        TrainingOptions.model_validate(order.options)
    except ValidationError as error:
        errors = [
            {
                "where": ".".join(["options", *map(str, problem["loc"])]),
                "what": problem["msg"].removeprefix("Value error, "),
            }
            for problem in error.errors()
        ]
        raise Problem(422, f"{errors[0]['where']}: {errors[0]['what']}", errors=errors) from error


def _check_recipe(order: TrainingOrder) -> None:
    if order.recipe_yaml is None:
        return
    try:
        recipe = parse_recipe(order.recipe_yaml, source="recipe_yaml")
    except RecipeError as error:
        raise Problem(422, str(error)) from error
    if recipe.name != order.recipe:
        raise Problem(422, f"recipe: is {order.recipe!r}, and recipe_yaml is of {recipe.name!r}: give one name")
