"""What the trainer tells about a training, and about thresholds."""

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
    """It waits for its turn."""
    return _progressed(request, TrainingState.QUEUED)


def running(
    request: TrainingRequested, epoch: int = 0, epochs: int = 0, metrics: dict[str, float] | None = None
) -> TrainingProgressed:
    """It is being done; ``epoch`` of ``epochs`` are."""
    progressed = _progressed(request, TrainingState.RUNNING)
    told = {name: value for name, value in (metrics or {}).items() if isfinite(value)}  # a loss may diverge
    return progressed.model_copy(update={"epoch": epoch, "epochs": epochs, "metrics": told})


def busy(request: TrainingRequested, stage: str) -> TrainingProgressed:
    """It is being done: what, besides epochs."""
    return _progressed(request, TrainingState.RUNNING).model_copy(update={"stage": stage})


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
        by=request.by,
        at=datetime.now(UTC),
    )


def kept(asked: ThresholdsRequested, manifest: Manifest, thresholds: Mapping[str, float]) -> ThresholdsStored:
    """A version of other thresholds is there; ``thresholds`` are those of all its labels."""
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
    """There is no version of such thresholds."""
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
    """The promotion that was asked for together with the thresholds; None where none was, or there is no version."""
    if not asked.promote or isinstance(answer, ThresholdsRefused):
        return None
    return PromotionRequested(
        promotion_id=asked.thresholds_id,
        recipe=asked.recipe,
        model_version=answer.model_version,
        reason=asked.reason,
        by=asked.by,
        at=asked.at,  # a rollback since then goes before it
    )


def _progressed(request: TrainingRequested, state: TrainingState) -> TrainingProgressed:
    return TrainingProgressed(training_id=request.training_id, recipe=request.recipe, state=state, at=datetime.now(UTC))
