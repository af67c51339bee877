"""What people ask of the trainer."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.messages import PromotionRequested, TrainingCancelled, TrainingRequested
from tests.strokes import STROKES

START = datetime(2024, 11, 23, 8, tzinfo=UTC)
"""Before now, on every machine."""


def training(training_id: str = "training-1", minutes: int = 0, **changes: Any) -> TrainingRequested:
    fields = {
        "training_id": training_id,
        "recipe": "strokes",
        "recipe_yaml": STROKES,
        "dataset": "datasets/strokes",
        "by": "ada",
        "at": START + timedelta(minutes=minutes),
    }
    return TrainingRequested.model_validate({**fields, **changes})


def cancellation(training_id: str = "training-1") -> TrainingCancelled:
    return TrainingCancelled(training_id=training_id, by="ada", at=START)


def promotion(version: str, promotion_id: str = "promotion-1", **changes: Any) -> PromotionRequested:
    fields = {
        "promotion_id": promotion_id,
        "recipe": "paint",
        "model_version": version,
        "reason": "better",
        "by": "ada",
        "at": START,
    }
    return PromotionRequested.model_validate({**fields, **changes})
