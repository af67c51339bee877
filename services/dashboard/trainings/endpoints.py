"""The endpoints of trainings: ``/api/trainings``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from services.dashboard.access.audit import Audited
from services.dashboard.trainings.schemas import (
    ArchitectureList,
    ArchitectureView,
    TrainingHistory,
    TrainingList,
    TrainingRequest,
    TrainingView,
)
from services.dashboard.trainings.service import TrainingsService
from services.dashboard.web.authorization import Engineer, at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.paging import Paged
from services.dashboard.web.problems import documented
from services.dashboard.web.service_registry import provided
from shared.contracts.training import ARCHITECTURES
from shared.messages import Name

router = APIRouter(prefix="/api/trainings", tags=["trainings"], dependencies=[at_least(Role.VIEWER)])


Trainings = Annotated[TrainingsService, provided(TrainingsService)]
TrainingId = Annotated[Name, Path(examples=["training-01JF6Z6TX4W8E1V2M6C3N9Q7RB"])]


@router.post("", status_code=202, responses=documented(401, 403, 422, 503))
def request_training(
    trainings: Trainings, body: TrainingRequest, caller: Engineer, audit: Audited, response: Response
) -> TrainingView:
    """Request a training. The answer comes when the trainer's queue has the request; `Location` is its address."""
    with audit.recording(
        "training.request", body.recipe, caller.name, **body.model_dump(include={"dataset", "promote", "name"})
    ):
        training = trainings.request(body, by=caller.name)
    response.headers["Location"] = f"/api/trainings/{training.training_id}"
    return training


@router.get("", responses=documented(401, 422, 503))
def list_trainings(trainings: Trainings, paging: Paged) -> TrainingList:
    """Return the trainings in pages, newest first."""
    return trainings.page(paging)


@router.get("/architectures", responses=documented(401, 403))
def list_architectures() -> ArchitectureList:
    """Return the architectures that can be trained, with their purposes; keras.applications has further ones."""
    return ArchitectureList(
        architectures=[ArchitectureView(name=name, summary=summary) for name, summary in ARCHITECTURES.items()]
    )


@router.get("/{training_id}/history", responses=documented(401, 403, 404, 422, 503))
def get_training_history(trainings: Trainings, training_id: TrainingId) -> TrainingHistory:
    """Return the curves of one training: its metrics by epoch."""
    return trainings.history(training_id)


@router.get("/{training_id}", responses=documented(401, 404, 422, 503))
def get_training(trainings: Trainings, training_id: TrainingId) -> TrainingView:
    """Return one training with its state."""
    return trainings.get(training_id)


@router.delete("/{training_id}", status_code=202, responses=documented(401, 403, 404, 409, 422, 503))
def cancel_training(trainings: Trainings, training_id: TrainingId, caller: Engineer, audit: Audited) -> TrainingView:
    """Request the end of a training, without a model. The state changes when the trainer has stopped."""
    with audit.recording("training.cancel", training_id, caller.name):
        return trainings.cancel(training_id, by=caller.name)
