"""What the API says about models."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from services.dashboard.models.moves import Move
from shared.recipe import Role


class LabelView(BaseModel):
    """A label of a model's recipe."""

    name: str
    role: Role
    threshold: float
    expected: bool | None
    colour: str = Field(description="of its heatmaps: #rrggbb")


class ModelView(BaseModel):
    """A model version."""

    recipe: str
    version: str
    in_production: bool
    architecture: str
    created_at: datetime
    dataset: str
    options: dict[str, JsonValue]
    labels: list[LabelView]
    evaluation: dict[str, JsonValue] | None = Field(description="null when the bundle has none")


class ModelList(BaseModel):
    """Model versions, newest first."""

    models: list[ModelView]


class MoveView(BaseModel):
    """One move of the pointer to the model in production."""

    sequence: int
    version: str
    previous: str | None
    reason: str
    by: str
    at: datetime


class Production(BaseModel):
    """The model in production, and how it came there."""

    recipe: str
    version: str | None = Field(description="null when none was ever promoted")
    history: list[MoveView] = Field(description="newest first")


class PromotionOrder(BaseModel):
    """Why a version should be in production."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"reason": "fewer escapes on denim", "force": False}}
    )

    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""
    force: bool = Field(False, description="although the gate refuses; needs a reason")


class PromotionState(StrEnum):
    """Where a promotion is."""

    REQUESTED = "requested"
    PROMOTED = "promoted"
    REFUSED = "refused"


class PromotionView(BaseModel):
    """A promotion that was ordered, and what the trainer made of it."""

    promotion_id: str
    recipe: str
    version: str
    state: PromotionState
    reason: str = Field(description="why it was ordered; of a refused one, why not")
    by: str | None
    at: datetime

    @classmethod
    def of(cls, move: Move) -> Self:
        """A move as the API shows it."""
        word = move.promoted or move.refused or move.requested
        if word is None:
            raise ValueError(f"nothing is known of promotion {move.promotion_id}")
        state = PromotionState.REQUESTED
        if move.promoted:
            state, at = PromotionState.PROMOTED, move.promoted.promoted_at
        elif move.refused:
            state, at = PromotionState.REFUSED, move.refused.refused_at
        elif move.requested:
            at = move.requested.requested_at
        return cls(
            promotion_id=move.promotion_id,
            recipe=word.recipe,
            version=word.model_version,
            state=state,
            reason=word.reason,
            by=move.requested.requested_by
            if move.requested
            else (move.promoted.promoted_by if move.promoted else None),
            at=at,
        )


class PromotionList(BaseModel):
    """Promotions, newest first."""

    promotions: list[PromotionView]
