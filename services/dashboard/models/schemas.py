"""The requests and answers of the API about models."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from services.dashboard.models.repository import Promotion, ThresholdSet
from services.dashboard.web.paging import Next
from shared.contracts.operating_points import OperatingPointName
from shared.contracts.promotion import HistoryEntry
from shared.label_names import LabelName
from shared.messages import Name, ThresholdsRequested
from shared.recipe import LabelRole, Task
from shared.validation import marked

FEWEST: Final = 10
"""Images with and images without a label in the test split, below which its figures prove nothing."""
OPTIONS: Final = {
    "epochs": marked("Epochs"),
    "patience": marked("Patience"),
    "batch_size": marked("Batch size"),
    "learning_rate": marked("Learning rate"),
    "seed": marked("Seed"),
    "shares": marked("Split"),
    "variants": marked("Variants"),
    "precision": marked("Precision"),
    "operating_point": marked("Operating point"),
}
"""The options of a training that pages show, by name."""


class MeasuredHeatmaps(BaseModel):
    """The evaluation of a model's heatmaps of one label."""

    for_label: bool | None = None
    """Which heatmaps were measured. True: evidence for the label; False: evidence against it; None: neither."""
    trustworthy: bool | None = None
    reason: str = ""


class MeasuredModel(BaseModel):
    """The evaluation of a model's heatmaps."""

    labels: dict[str, MeasuredHeatmaps] = {}


class LabelView(BaseModel):
    """A label of a model's recipe."""

    name: str
    role: LabelRole
    threshold: float
    expected: bool | None
    colour: str = Field(description="colour of the label's heatmaps: #rrggbb")
    trustworthy: bool | None = Field(
        None,
        description="whether the heatmaps point at what the label names, by the model's evaluation; null: not measured",
    )
    measured_for_label: bool | None = Field(
        None,
        description="which heatmaps were measured: true: evidence for the label; false: evidence against it",
    )
    distrust: str = Field("", description="why the heatmaps are not trustworthy, or were not measured")


class ModelView(BaseModel):
    """A model version."""

    recipe: str
    version: str
    in_production: bool
    changed: bool = Field(False, description="the bundle differs from the one that was promoted: do not use it")
    task: Task = Field(Task.MULTI_LABEL, description="`exclusive`: exactly one label applies to each image")
    architecture: str
    created_at: datetime
    dataset: str
    options: dict[str, JsonValue]
    derived_from: str | None = Field(
        None, description="the version whose network this one uses with other thresholds; null if this one was trained"
    )
    author: str = Field("", description="who chose the thresholds, if a person did")
    reason: str = Field("", description="why the person chose them")
    labels: list[LabelView]
    evaluation: dict[str, JsonValue] | None = Field(description="null when the bundle has none")


class ModelList(BaseModel):
    """Model versions, newest first."""

    models: list[ModelView]
    next: Next


class ProductionEntry(BaseModel):
    """One change of the version in production."""

    sequence: int
    version: str
    previous: str | None
    reason: str
    by: str
    at: datetime
    forced: bool = Field(description="whether it was promoted although the gate refused")
    rollback: bool = Field(description="whether it went back to the version that was in production before")
    gate: str = Field(description="the result of the comparison with the version in production")


class ProductionView(BaseModel):
    """The version in production, and the promotions that led to it."""

    recipe: str
    version: str | None = Field(description="null if none was promoted so far")
    history: list[ProductionEntry] = Field(description="newest first")


class PromotionRequest(BaseModel):
    """The request of a promotion."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"reason": "fewer escapes on denim", "force": False}}
    )

    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""
    force: bool = Field(False, description="promote even if the gate refuses; a reason is then required")


class RollbackRequest(BaseModel):
    """The request of a rollback."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"reason": "calls every seam of line 3 NG"}}
    )

    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""


class HistoryView(BaseModel):
    """Every promotion, rollback and refusal of a recipe. Entries are never changed or removed."""

    recipe: str
    history: list[HistoryEntry] = Field(description="newest first")
    next: Next


class ThresholdSetRequest(BaseModel):
    """The request of a threshold set."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"thresholds": {"break": 0.35}, "reason": "two breaks got through on twill", "promote": False}
        },
    )

    thresholds: dict[LabelName, Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=dict, max_length=64, description="by label; other labels keep their thresholds"
    )
    operating_point: OperatingPointName | None = Field(
        None, description="of the model's evaluation, whose thresholds are taken; then give no thresholds"
    )
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    promote: bool = Field(False, description="promote the version if it passes the gate")

    @model_validator(mode="after")
    def _says_which_thresholds(self) -> Self:
        if bool(self.thresholds) == bool(self.operating_point):
            raise ValueError("give either thresholds or an operating point")
        return self


class ThresholdSetState(StrEnum):
    """How far a threshold set is."""

    REQUESTED = "requested"
    SAVED = "saved"
    REFUSED = "refused"


class ThresholdSetView(BaseModel):
    """A requested threshold set and the trainer's answer."""

    thresholds_id: str
    recipe: str
    derived_from: str = Field(description="the version that the network is taken from")
    model_version: str | None = Field(None, description="the version with these thresholds, once it is saved")
    thresholds: dict[str, float] = Field(
        default_factory=dict, description="the new thresholds by label, of the labels whose threshold changes"
    )
    state: ThresholdSetState
    reason: str = Field(description="why they were requested")
    refusal: str = Field("", description="why the trainer refused them")
    by: str
    at: datetime

    @classmethod
    def of(cls, found: ThresholdSet) -> Self:
        requested, saved, refused = found.requested, found.saved, found.refused
        messages = [message for message in (requested, saved, refused) if message]
        first, origin = messages[0], requested or saved
        return cls(
            thresholds_id=found.thresholds_id,
            recipe=first.recipe,
            derived_from=first.model_version if isinstance(first, ThresholdsRequested) else first.derived_from,
            model_version=saved.model_version if saved else None,
            thresholds=origin.thresholds if origin else {},
            state=ThresholdSetState.REFUSED
            if refused
            else ThresholdSetState.SAVED
            if saved
            else ThresholdSetState.REQUESTED,
            reason=origin.reason if origin else "",
            refusal=refused.reason if refused else "",
            by=first.by,
            at=max(message.at for message in messages),
        )


class ThresholdSetList(BaseModel):
    """Threshold sets, newest first."""

    thresholds: list[ThresholdSetView]
    next: Next


class ComparisonRequest(BaseModel):
    """The request of a comparison."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"baseline": "20260131-1200-1f3a9c", "candidate": "20260207-0830-9d20ab"}},
    )

    baseline: Name
    candidate: Name = Field(
        description="both versions are measured on the candidate's test split, with its recipe's roles and costs"
    )


class ComparisonView(BaseModel):
    """The comparison of two versions on the same images."""

    recipe: str
    baseline: str
    candidate: str
    reason: str = Field("", description="why they can't be compared; empty if they were")
    comparison: dict[str, JsonValue] | None = Field(
        description="`baseline` and `candidate`, each with its `evaluation` (per label and as a whole, with 95 % "
        "intervals) and the number of images that it was trained on; and the extra cost of the candidate per image"
    )


class PromotionState(StrEnum):
    """How far a promotion is."""

    REQUESTED = "requested"
    PROMOTED = "promoted"
    REFUSED = "refused"


class PromotionView(BaseModel):
    """A requested promotion and the trainer's answer."""

    promotion_id: str
    recipe: str
    version: str
    state: PromotionState
    reason: str = Field(description="why the promotion was refused, if it was; otherwise why it was requested")
    by: str | None
    at: datetime
    forced: bool = Field(False, description="whether it was promoted although the gate refused")
    rollback: bool = Field(False, description="whether it goes back to the version that was in production before")
    gate: str = Field("", description="the result of the comparison with the version in production")

    @classmethod
    def of(cls, found: Promotion) -> Self:
        requested, promoted, refused = found.requested, found.promoted, found.refused
        last = promoted or refused or requested
        author = requested or promoted or refused
        if last is None or author is None:
            raise ValueError(f"there is no message about promotion {found.promotion_id}")
        return cls(
            promotion_id=found.promotion_id,
            recipe=last.recipe,
            version=last.model_version,
            state=PromotionState.PROMOTED
            if promoted
            else PromotionState.REFUSED
            if refused
            else PromotionState.REQUESTED,
            reason=last.reason,
            by=author.by,
            at=last.at,
            forced=promoted.forced if promoted else False,
            rollback=requested.rollback if requested else bool(promoted and promoted.rollback),
            gate=promoted.gate if promoted else "",
        )


class PromotionList(BaseModel):
    """Promotions, newest first."""

    promotions: list[PromotionView]
    next: Next


class EpochView(BaseModel):
    """One epoch of a training."""

    epoch: int
    metrics: dict[str, float] = Field(description="loss, val_loss, val_average_precision, …")
