"""Make the messages about a training and about thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite

from services.trainer.jobs.trainings import TrainingOutcome
from shared.contracts.bundle import Manifest
from shared.messages import (
    PromotionRequested,
    ThresholdsRefused,
    ThresholdsRequested,
    ThresholdsStored,
    TrainingProgressed,
    TrainingRequested,
    TrainingState,
)


def queued_message(request: TrainingRequested) -> TrainingProgressed:
    """Return the message that a training waits in the queue."""
    return _progress_message(request, TrainingState.QUEUED)


def running_message(
    request: TrainingRequested, epoch: int = 0, epochs: int = 0, metrics: dict[str, float] | None = None
) -> TrainingProgressed:
    """Return the message that a training runs, with the number of finished epochs. Infinite metrics are left out."""
    message = _progress_message(request, TrainingState.RUNNING)
    finite = {name: value for name, value in (metrics or {}).items() if isfinite(value)}  # a loss may diverge
    return message.model_copy(update={"epoch": epoch, "epochs": epochs, "metrics": finite})


def stage_message(request: TrainingRequested, stage: str) -> TrainingProgressed:
    """Return the message that a training has begun a stage."""
    return _progress_message(request, TrainingState.RUNNING).model_copy(update={"stage": stage})


def ended_message(request: TrainingRequested, outcome: TrainingOutcome) -> TrainingProgressed:
    """Return the message that a training finished, failed or was cancelled."""
    message = _progress_message(request, outcome.state)
    return message.model_copy(update={"reason": outcome.reason, "model_version": outcome.model_version})


def requested_promotion(request: TrainingRequested, model_version: str) -> PromotionRequested:
    """Return the promotion that was requested with a training."""
    return PromotionRequested(
        promotion_id=request.training_id,
        recipe=request.recipe,
        model_version=model_version,
        reason=f"requested with training {request.training_id}",
        by=request.by,
        at=datetime.now(UTC),
    )


def thresholds_stored_message(
    request: ThresholdsRequested, manifest: Manifest, thresholds: Mapping[str, float]
) -> ThresholdsStored:
    """Return the message that a threshold set is stored; ``thresholds`` has all labels of the version."""
    return ThresholdsStored(
        thresholds_id=request.thresholds_id,
        recipe=request.recipe,
        model_version=manifest.version,
        derived_from=request.model_version,
        thresholds=dict(thresholds),
        reason=request.reason,
        by=request.by,
        at=datetime.now(UTC),
    )


def thresholds_refused_message(request: ThresholdsRequested, reason: str) -> ThresholdsRefused:
    """Return the message that a request for a threshold set is refused."""
    return ThresholdsRefused(
        thresholds_id=request.thresholds_id,
        recipe=request.recipe,
        derived_from=request.model_version,
        reason=reason,
        by=request.by,
        at=datetime.now(UTC),
    )


def requested_thresholds_promotion(
    request: ThresholdsRequested, result: ThresholdsStored | ThresholdsRefused
) -> PromotionRequested | None:
    """Return the promotion that was requested with a threshold set; None without one, or if the set is refused."""
    if not request.promote or isinstance(result, ThresholdsRefused):
        return None
    return PromotionRequested(
        promotion_id=request.thresholds_id,
        recipe=request.recipe,
        model_version=result.model_version,
        reason=request.reason,
        by=request.by,
        at=request.at,  # a later rollback overrules this promotion
    )


def _progress_message(request: TrainingRequested, state: TrainingState) -> TrainingProgressed:
    return TrainingProgressed(training_id=request.training_id, recipe=request.recipe, state=state, at=datetime.now(UTC))
