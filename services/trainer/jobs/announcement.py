"""Make the messages about a training and about thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite

from services.trainer.jobs.trainings import Outcome
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


def queued(request: TrainingRequested) -> TrainingProgressed:
    """Report that a training waits for its turn."""
    return _progressed(request, TrainingState.QUEUED)


def running(
    request: TrainingRequested, epoch: int = 0, epochs: int = 0, metrics: dict[str, float] | None = None
) -> TrainingProgressed:
    """Report that a training runs, and how many epochs are done. Metrics that are not finite are left out."""
    progressed = _progressed(request, TrainingState.RUNNING)
    finite = {name: value for name, value in (metrics or {}).items() if isfinite(value)}  # a loss may diverge
    return progressed.model_copy(update={"epoch": epoch, "epochs": epochs, "metrics": finite})


def busy(request: TrainingRequested, stage: str) -> TrainingProgressed:
    """Report the stage of a training."""
    return _progressed(request, TrainingState.RUNNING).model_copy(update={"stage": stage})


def ended(request: TrainingRequested, outcome: Outcome) -> TrainingProgressed:
    """Report that a training finished, failed or was cancelled."""
    progressed = _progressed(request, outcome.state)
    return progressed.model_copy(update={"reason": outcome.reason, "model_version": outcome.model_version})


def promotion_of(request: TrainingRequested, model_version: str) -> PromotionRequested:
    """Make the promotion that was requested with a training."""
    return PromotionRequested(
        promotion_id=request.training_id,
        recipe=request.recipe,
        model_version=model_version,
        reason=f"requested with training {request.training_id}",
        by=request.by,
        at=datetime.now(UTC),
    )


def kept(asked: ThresholdsRequested, manifest: Manifest, thresholds: Mapping[str, float]) -> ThresholdsStored:
    """Report a version with other thresholds; ``thresholds`` are those of all its labels."""
    return ThresholdsStored(
        thresholds_id=asked.thresholds_id,
        recipe=asked.recipe,
        model_version=manifest.version,
        derived_from=asked.model_version,
        thresholds=dict(thresholds),
        reason=asked.reason,
        by=asked.by,
        at=datetime.now(UTC),
    )


def refused(asked: ThresholdsRequested, reason: str) -> ThresholdsRefused:
    """Report that there is no version with such thresholds."""
    return ThresholdsRefused(
        thresholds_id=asked.thresholds_id,
        recipe=asked.recipe,
        derived_from=asked.model_version,
        reason=reason,
        by=asked.by,
        at=datetime.now(UTC),
    )


def promotion_of_thresholds(
    asked: ThresholdsRequested, answer: ThresholdsStored | ThresholdsRefused
) -> PromotionRequested | None:
    """Make the promotion that was requested with thresholds; None if none was, or there is no version."""
    if not asked.promote or isinstance(answer, ThresholdsRefused):
        return None
    return PromotionRequested(
        promotion_id=asked.thresholds_id,
        recipe=asked.recipe,
        model_version=answer.model_version,
        reason=asked.reason,
        by=asked.by,
        at=asked.at,  # a rollback since then overrules it
    )


def _progressed(request: TrainingRequested, state: TrainingState) -> TrainingProgressed:
    return TrainingProgressed(training_id=request.training_id, recipe=request.recipe, state=state, at=datetime.now(UTC))
