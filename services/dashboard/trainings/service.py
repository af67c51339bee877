"""Trainings: ordered from the trainer by message, followed by what it says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from ulid import ULID

from services.dashboard.commands import Commands
from services.dashboard.models.service import ModelsService
from services.dashboard.problems import Problem
from services.dashboard.trainings.register import KnownTraining, Trainings
from services.dashboard.trainings.schemas import TrainingList, TrainingOrder, TrainingView
from shared.messages import TrainingCancelled, TrainingRequested, TrainingState
from shared.recipe import RecipeError, parse_recipe

OVER: Final = frozenset({TrainingState.FINISHED, TrainingState.FAILED, TrainingState.CANCELLED})


class TrainingsService:
    """What people may do with trainings."""

    def __init__(self, trainings: Trainings, models: ModelsService, commands: Commands) -> None:
        """``models`` know what became of the promotion that was asked for together with a training."""
        self._trainings = trainings
        self._models = models
        self._commands = commands

    def order(self, order: TrainingOrder, by: str) -> TrainingView:
        """Ask the trainer for a model.

        Raises:
            Problem: 422: the recipe can't be used.
            MessagingError: nobody was asked.
        """
        _check_recipe(order)
        request = TrainingRequested(
            training_id=f"training-{ULID()}", requested_by=by, requested_at=datetime.now(UTC), **order.model_dump()
        )
        self._commands.give(request)
        return self.get(request.training_id)

    def newest(self, most: int) -> TrainingList:
        """The last trainings."""
        return TrainingList(trainings=[self._view(known) for known in self._trainings.newest(most)])

    def get(self, training_id: str) -> TrainingView:
        """One training.

        Raises:
            Problem: 404.
        """
        known = self._trainings.find(training_id)
        if known is None:
            raise Problem(404, "no such training is known: GET /api/trainings lists them")
        return self._view(known)

    def cancel(self, training_id: str, by: str) -> TrainingView:
        """Ask the trainer to stop; it says when it has.

        Raises:
            Problem: 404; 409 when it is over.
            MessagingError: nobody was asked.
        """
        training = self.get(training_id)
        if training.state in OVER:
            raise Problem(409, f"this training is {training.state.value}: there is nothing to cancel")
        command = TrainingCancelled(training_id=training_id, cancelled_by=by, cancelled_at=datetime.now(UTC))
        self._commands.give(command, noted=False)
        return training

    def _view(self, known: KnownTraining) -> TrainingView:
        view = TrainingView.of(known)
        promotion = self._models.promotion(view.recipe, view.training_id) if view.promote else None
        return view.model_copy(update={"promotion": promotion})


def _check_recipe(order: TrainingOrder) -> None:
    if order.recipe_yaml is None:
        return
    try:
        recipe = parse_recipe(order.recipe_yaml, source="recipe_yaml")
    except RecipeError as error:
        raise Problem(422, str(error)) from error
    if recipe.name != order.recipe:
        raise Problem(422, f"recipe: is {order.recipe!r}, and recipe_yaml is of {recipe.name!r}: give one name")
