"""The requests and answers of the API about models."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from services.dashboard.models.names import VersionName
from services.dashboard.models.repository import PromotionMessages, ThresholdSetMessages
from services.dashboard.web.paging import Next
from shared.contracts.operating_points import OperatingPointName
from shared.contracts.promotion import HistoryEntry
from shared.label_names import LabelName
from shared.messages import Name, ThresholdsRequested
from shared.recipe import LabelRole, Task
from shared.validation import marked

FEWEST_IMAGES: Final = 10
"""Fewest test images with a label, and fewest without it, for which the label's figures are shown."""
OPTIONS: Final = {
    "minutes": marked("Minutes"),
    "epochs": marked("Epochs"),
    "patience": marked("Patience"),
    "batch_size": marked("Batch size"),
    "learning_rate": marked("Learning rate"),
    "seed": marked("Seed"),
    "shares": marked("Split"),
    "variants": marked("Variants"),
    "precision": marked("Precision"),
    "operating_point": marked("Operating point"),
    "overkill": marked("Allowed overkill"),
    "good_only": marked("Good images alone"),
}
"""The options of a training that pages show, by name."""


class MeasuredHeatmaps(BaseModel):
    """The evaluation of a model's heatmaps of one label."""

    for_label: bool | None = None
    """Which heatmaps were measured. True: evidence for the label; False: evidence against it; None: neither."""
    trustworthy: bool | None = None
    """None: the heatmaps were not measured."""
    reason: str = ""
    """Why the heatmaps are not trustworthy, or were not measured."""


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
        description="which heatmaps were measured: true: evidence for the label; false: evidence against it; null: "
        "none",
    )
    heatmap_problem: str = Field("", description="why the heatmaps are not trustworthy, or were not measured")


class ModelView(BaseModel):
    """A model version."""

    recipe: str
    version: str
    name: str = Field("", description="the name that a person gave it, shown beside its id; empty: none")
    in_production: bool
    differs_from_promoted: bool = Field(
        False, description="the bundle has changed since it was promoted: do not use this version"
    )
    task: Task = Field(Task.MULTI_LABEL, description="`exclusive`: exactly one label applies to each image")
    architecture: str
    created_at: datetime
    dataset: str
    options: dict[str, JsonValue]
    derived_from: str | None = Field(
        None, description="for a threshold set: the version whose network it uses; null for a trained version"
    )
    author: str = Field("", description="who chose the thresholds, if a person did")
    reason: str = Field("", description="why the person chose them")
    labels: list[LabelView]
    evaluation: dict[str, JsonValue] | None = Field(description="null if the bundle has no evaluation")


class ModelList(BaseModel):
    """Model versions, newest first."""

    models: list[ModelView]
    next: Next


class NameRequest(BaseModel):
    """The name of a model version."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "Spring seams, new camera"}})

    name: VersionName = Field(description="any text of one line, shown beside the id; empty: remove the name")


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
        None,
        description="operating point of the model's evaluation that gives the thresholds; do not give `thresholds` "
        "with it",
    )
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    promote: bool = Field(False, description="promote the version if it passes the gate")
    name: VersionName = Field("", description="name of the new version, shown beside its id")

    @model_validator(mode="after")
    def _check_thresholds_or_operating_point(self) -> Self:
        if bool(self.thresholds) == bool(self.operating_point):
            raise ValueError("give either thresholds or an operating point")
        return self


class ThresholdSetState(StrEnum):
    """State of a requested threshold set."""

    REQUESTED = "requested"
    SAVED = "saved"
    REFUSED = "refused"


class ThresholdSetView(BaseModel):
    """A requested threshold set and the trainer's answer."""

    thresholds_id: str = Field(description="ID of the request of the threshold set")
    recipe: str
    derived_from: str = Field(description="the version that the network is taken from")
    model_version: str | None = Field(None, description="the version with these thresholds, once it is saved")
    thresholds: dict[str, float] = Field(
        default_factory=dict, description="new threshold by label; labels that keep their threshold are left out"
    )
    state: ThresholdSetState
    reason: str = Field(description="why the threshold set was requested")
    refusal: str = Field("", description="why the trainer refused the threshold set; empty if it did not")
    by: str
    at: datetime

    @classmethod
    def of(cls, threshold_set: ThresholdSetMessages) -> Self:
        """Return the view of a threshold set; each message may be missing, but not all of them."""
        requested, saved, refused = threshold_set.requested, threshold_set.saved, threshold_set.refused
        messages = [message for message in (requested, saved, refused) if message]
        oldest = messages[0]
        if refused:
            state = ThresholdSetState.REFUSED
        elif saved:
            state = ThresholdSetState.SAVED
        else:
            state = ThresholdSetState.REQUESTED
        with_thresholds = requested or saved  # a refusal has no thresholds, and its reason is that of the trainer
        return cls(
            thresholds_id=threshold_set.thresholds_id,
            recipe=oldest.recipe,
            derived_from=oldest.model_version if isinstance(oldest, ThresholdsRequested) else oldest.derived_from,
            model_version=saved.model_version if saved else None,
            thresholds=with_thresholds.thresholds if with_thresholds else {},
            state=state,
            reason=with_thresholds.reason if with_thresholds else "",
            refusal=refused.reason if refused else "",
            by=oldest.by,
            at=max(message.at for message in messages),
        )


class ThresholdSetList(BaseModel):
    """Threshold sets, newest first."""

    threshold_sets: list[ThresholdSetView]
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
    reason: str = Field("", description="why the versions can't be compared; empty if they were compared")
    comparison: dict[str, JsonValue] | None = Field(
        description="`baseline` and `candidate`, each with its `evaluation` (per label and as a whole, with 95 % "
        "intervals) and the number of images that it was trained on; and the extra cost of the candidate per image"
    )


class PromotionState(StrEnum):
    """State of a requested promotion."""

    REQUESTED = "requested"
    PROMOTED = "promoted"
    REFUSED = "refused"


class PromotionView(BaseModel):
    """A requested promotion and the trainer's answer."""

    promotion_id: str
    recipe: str
    version: str
    state: PromotionState
    reason: str = Field(description="why the promotion was requested")
    refusal: str = Field("", description="why the trainer refused the promotion; empty if it did not")
    by: str | None
    at: datetime
    forced: bool = Field(False, description="whether it was promoted although the gate refused")
    rollback: bool = Field(False, description="whether it goes back to the version that was in production before")
    gate: str = Field("", description="the result of the comparison with the version in production")

    @classmethod
    def of(cls, promotion: PromotionMessages) -> Self:
        """Return the view of a promotion; each message may be missing, but not all of them."""
        requested, promoted, refused = promotion.requested, promotion.promoted, promotion.refused
        newest = promoted or refused or requested
        oldest = requested or promoted or refused
        if newest is None or oldest is None:
            raise ValueError(f"there is no message about promotion {promotion.promotion_id}")
        if promoted:
            state = PromotionState.PROMOTED
        elif refused:
            state = PromotionState.REFUSED
        else:
            state = PromotionState.REQUESTED
        with_reason = requested or promoted  # the reason of a refusal is that of the trainer
        return cls(
            promotion_id=promotion.promotion_id,
            recipe=newest.recipe,
            version=newest.model_version,
            state=state,
            reason=with_reason.reason if with_reason else "",
            refusal=refused.reason if refused and not promoted else "",
            by=oldest.by,
            at=newest.at,
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
