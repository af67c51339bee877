"""The requests and answers of the API about trainings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from services.dashboard.models.names import VersionName
from services.dashboard.models.schemas import EpochView, PromotionView
from services.dashboard.trainings.repository import StoredTraining
from services.dashboard.web.paging import Next
from shared.messages import Name, TrainingState

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class TrainingRequest(BaseModel):
    """The request of a training."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "recipe": "seam",
                "dataset": "seam-2026",
                "architecture": "lite0-depths",
                "options": {"epochs": 30, "seed": 1},
                "promote": False,
            }
        },
    )

    recipe: Name
    dataset: Text = Field(
        description="`name@version`, or `name` for its newest version: see /api/datasets; "
        "or a folder that the trainer may read"
    )
    recipe_yaml: Annotated[str, Field(max_length=100_000)] | None = Field(
        None,
        description="the recipe itself; default: the saved one (/api/recipes), else that of the model in production",
    )
    architecture: Name = "lite0-depths"
    options: dict[str, JsonValue] = Field(default_factory=dict, max_length=50, description="epochs, seed, batch size…")
    promote: bool = Field(False, description="promote the model after the training if it passes the gate")
    name: VersionName = Field("", description="name of the model version, shown beside its id")


class TrainingView(BaseModel):
    """A training by its request and the trainer's reports."""

    training_id: str
    recipe: str
    dataset: str | None
    architecture: str | None
    options: dict[str, JsonValue]
    promote: bool
    requested_by: str | None
    requested_at: datetime | None
    state: TrainingState
    epoch: int
    epochs: int
    metrics: dict[str, float] = Field(description="metrics of the last epoch")
    stage: str = Field(description="the present work apart from epochs: reading the images, measuring heatmaps, …")
    reason: str
    model_version: str | None
    name: str = Field("", description="the name that a person gave the model version, also before it is there")
    evaluation: dict[str, JsonValue] | None
    changed_at: datetime | None
    started_at: datetime | None = Field(None, description="when its process began; null while it waits")
    promotion: PromotionView | None = Field(
        None, description="the promotion that was requested together with the training"
    )

    @classmethod
    def of(cls, training: StoredTraining) -> Self:
        """Return a stored training in the form of the API; what is unknown so far is null."""
        requested, progressed, trained = training.requested, training.progressed, training.trained
        last = progressed or trained or requested
        version = (progressed.model_version if progressed else None) or (trained.model_version if trained else None)
        return cls(
            training_id=training.training_id,
            recipe=last.recipe if last else "",
            dataset=requested.dataset if requested else None,
            architecture=requested.architecture if requested else None,
            options=requested.options if requested else {},
            promote=requested.promote if requested else False,
            requested_by=requested.by if requested else None,
            requested_at=requested.at if requested else None,
            state=progressed.state if progressed else TrainingState.FINISHED if trained else TrainingState.QUEUED,
            epoch=progressed.epoch if progressed else 0,
            epochs=progressed.epochs if progressed else 0,
            metrics=progressed.metrics if progressed else {},
            stage=progressed.stage if progressed else "",
            reason=progressed.reason if progressed else "",
            model_version=version,
            evaluation=trained.evaluation if trained else None,
            changed_at=progressed.at if progressed else None,
            started_at=training.started.at if training.started else None,
        )


class TrainingHistory(BaseModel):
    """The curves of a training."""

    training_id: str
    epochs: list[EpochView]


class ArchitectureView(BaseModel):
    """An architecture that can be trained."""

    name: str
    summary: str = Field(description="purpose of the architecture, as one sentence")


class ArchitectureList(BaseModel):
    """The architectures that can be trained, the default first."""

    architectures: list[ArchitectureView]


class TrainingList(BaseModel):
    """Trainings, newest first."""

    trainings: list[TrainingView]
    next: Next
