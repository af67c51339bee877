"""What the trainer tells about a training."""

from __future__ import annotations

from datetime import UTC, datetime

from services.trainer.trainings import Outcome
from shared.messages import PromotionRequested, TrainingProgressed, TrainingRequested, TrainingState


def queued(request: TrainingRequested) -> TrainingProgressed:
    """It waits for its turn."""
    return _progressed(request, TrainingState.QUEUED)


def running(
    request: TrainingRequested, epoch: int = 0, epochs: int = 0, metrics: dict[str, float] | None = None
) -> TrainingProgressed:
    """It is being done; ``epoch`` of ``epochs`` are."""
    progressed = _progressed(request, TrainingState.RUNNING)
    return progressed.model_copy(update={"epoch": epoch, "epochs": epochs, "metrics": metrics or {}})


def ended(request: TrainingRequested, outcome: Outcome) -> TrainingProgressed:
    """It finished, failed or was cancelled."""
    progressed = _progressed(request, outcome.state)
    return progressed.model_copy(update={"reason": outcome.reason, "model_version": outcome.model_version})


def promotion_of(request: TrainingRequested, model_version: str) -> PromotionRequested:
    """The promotion that was asked for together with the training."""
    return PromotionRequested(
        promotion_id=request.training_id,
        recipe=request.recipe,
        model_version=model_version,
        reason=f"asked for with training {request.training_id}",
        requested_by=request.requested_by,
        requested_at=datetime.now(UTC),
    )


def _progressed(request: TrainingRequested, state: TrainingState) -> TrainingProgressed:
    return TrainingProgressed(
        training_id=request.training_id, recipe=request.recipe, state=state, progressed_at=datetime.now(UTC)
    )
