"""What the API says about models."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from services.dashboard.models.moves import Move
from services.dashboard.web.paging import Next
from shared.contracts.promotion import Entry
from shared.messages import Name, ThresholdsKept, ThresholdsRefused, ThresholdsRequested
from shared.recipe import Role


class MeasuredHeatmaps(BaseModel):
    """What a model's evaluation says about the heatmaps of one label, as far as people are told."""

    towards: bool | None = None
    """For its presence or its absence; of maps of the other, nothing was measured."""
    trustworthy: bool | None = None
    reason: str = ""


class MeasuredModel(BaseModel):
    """What a model's evaluation says about its heatmaps."""

    labels: dict[str, MeasuredHeatmaps] = {}


class LabelView(BaseModel):
    """A label of a model's recipe."""

    name: str
    role: Role
    threshold: float
    expected: bool | None
    colour: str = Field(description="of its heatmaps: #rrggbb")
    trustworthy: bool | None = Field(
        None, description="whether its heatmaps point at the thing, by the model's evaluation; null: not measured"
    )
    measured_towards: bool | None = Field(
        None,
        description="which of its maps were measured: true: those of evidence for the label; false: for its absence",
    )
    distrust: str = Field("", description="why its heatmaps are not trustworthy, or why nobody knows")


class ModelView(BaseModel):
    """A model version."""

    recipe: str
    version: str
    in_production: bool
    changed: bool = Field(False, description="its bundle is not the one that was promoted: do not use it")
    architecture: str
    created_at: datetime
    dataset: str
    options: dict[str, JsonValue]
    derived_from: str | None = Field(None, description="the version with the same network and other thresholds")
    author: str = Field("", description="who chose the thresholds, where people did")
    reason: str = Field("", description="why they chose them")
    labels: list[LabelView]
    evaluation: dict[str, JsonValue] | None = Field(description="null when the bundle has none")


class ModelList(BaseModel):
    """Model versions, newest first."""

    models: list[ModelView]
    next: Next


class MoveView(BaseModel):
    """One move of the pointer to the model in production."""

    sequence: int
    version: str
    previous: str | None
    reason: str
    by: str
    at: datetime
    forced: bool = Field(description="although the gate refused")
    rollback: bool = Field(description="back to the model that was in production before")
    gate: str = Field(description="what the comparison with the model in production said")


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


class RollbackOrder(BaseModel):
    """Why the model in production should go."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"reason": "calls every seam of line 3 NG"}}
    )

    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""


class HistoryView(BaseModel):
    """Every promotion, rollback and refusal of a recipe. Nothing is ever changed or removed."""

    recipe: str
    history: list[Entry] = Field(description="newest first")
    next: Next


class ThresholdSetOrder(BaseModel):
    """Which thresholds, and why."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"thresholds": {"break": 0.35}, "reason": "two breaks got through on twill", "promote": False}
        },
    )

    thresholds: dict[Name, Annotated[float, Field(gt=0, lt=1)]] = Field(
        min_length=1, max_length=64, description="by label; those that are left out stay"
    )
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    promote: bool = Field(False, description="promote the version when it passes the gate")


class ThresholdSetState(StrEnum):
    """Where a threshold set is."""

    REQUESTED = "requested"
    KEPT = "kept"
    REFUSED = "refused"


class ThresholdSetView(BaseModel):
    """Thresholds that were asked for, and what the trainer made of them."""

    thresholds_id: str
    recipe: str
    derived_from: str = Field(description="the version whose network is kept")
    model_version: str | None = Field(None, description="the version that has them, once it is there")
    thresholds: dict[str, float] = Field(default_factory=dict, description="that were moved")
    state: ThresholdSetState
    reason: str = Field(description="why they were asked for")
    refusal: str = Field("", description="why there is no such version")
    by: str
    at: datetime

    @classmethod
    def of(cls, word: ThresholdsRequested | ThresholdsKept | ThresholdsRefused) -> Self:
        """What a first word says."""
        found = cls(
            thresholds_id=word.thresholds_id,
            recipe=word.recipe,
            derived_from=word.model_version if isinstance(word, ThresholdsRequested) else word.derived_from,
            thresholds={} if isinstance(word, ThresholdsRefused) else word.thresholds,
            state=ThresholdSetState.REQUESTED,
            reason="" if isinstance(word, ThresholdsRefused) else word.reason,
            by=word.by,
            at=datetime.min.replace(tzinfo=UTC),
        )
        return found.told(word)

    def told(self, word: ThresholdsRequested | ThresholdsKept | ThresholdsRefused) -> Self:
        """What is known after a further word."""
        match word:
            case ThresholdsRequested():
                changes = {"thresholds": word.thresholds, "reason": word.reason}
                return self.model_copy(update={**changes, "at": max(self.at, word.at)})
            case ThresholdsKept():
                changes = {"state": ThresholdSetState.KEPT, "model_version": word.model_version}
                return self.model_copy(update={**changes, "at": max(self.at, word.at)})
            case ThresholdsRefused():
                changes = {"state": ThresholdSetState.REFUSED, "refusal": word.reason}
                return self.model_copy(update={**changes, "at": max(self.at, word.at)})


class ThresholdSetList(BaseModel):
    """Threshold sets, newest first."""

    thresholds: list[ThresholdSetView]
    next: Next


class ComparisonOrder(BaseModel):
    """Which versions to measure side by side."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"baseline": "20260131-1200-1f3a9c", "candidate": "20260207-0830-9d20ab"}},
    )

    baseline: Name
    candidate: Name = Field(description="both are measured on its test images, by its roles and costs")


class ComparisonView(BaseModel):
    """Two versions on the same images."""

    recipe: str
    baseline: str
    candidate: str
    reason: str = Field("", description="why they can't be compared; empty when they are")
    comparison: dict[str, JsonValue] | None = Field(
        description="`baseline` and `candidate`, each with its `evaluation` (per label and as a whole, with 95 % "
        "intervals) and how many of the images it had learned from; and what the candidate costs more per image"
    )


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
    forced: bool = Field(False, description="although the gate refused")
    rollback: bool = Field(False, description="back to the model that was in production before")
    gate: str = Field("", description="what the comparison with the model in production said")

    @classmethod
    def of(cls, move: Move) -> Self:
        """A move as the API shows it."""
        word = move.promoted or move.refused or move.requested
        if word is None:
            raise ValueError(f"nothing is known of promotion {move.promotion_id}")
        state = PromotionState.REQUESTED
        if move.promoted:
            state, at = PromotionState.PROMOTED, move.promoted.at
        elif move.refused:
            state, at = PromotionState.REFUSED, move.refused.at
        elif move.requested:
            at = move.requested.at
        return cls(
            promotion_id=move.promotion_id,
            recipe=word.recipe,
            version=word.model_version,
            state=state,
            reason=word.reason,
            by=_asker(move),
            at=at,
            forced=move.promoted.forced if move.promoted else False,
            rollback=move.requested.rollback if move.requested else bool(move.promoted and move.promoted.rollback),
            gate=move.promoted.gate if move.promoted else "",
        )


def _asker(move: Move) -> str | None:
    if move.requested:
        return move.requested.by
    if move.promoted:
        return move.promoted.by
    return move.refused.by if move.refused else None


class PromotionList(BaseModel):
    """Promotions, newest first."""

    promotions: list[PromotionView]
    next: Next


class EpochView(BaseModel):
    """One epoch of a training."""

    epoch: int
    metrics: dict[str, float] = Field(description="loss, val_loss, val_average_precision, …")
