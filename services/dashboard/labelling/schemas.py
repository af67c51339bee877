"""What the API of labelling takes and returns."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from services.dashboard.labelling.annotations.annotation import (
    MOST_FRAMES,
    Annotation,
    AnnotationId,
    AnnotationKind,
    FrameKey,
    Labels,
    SourceId,
)
from services.dashboard.web.paging import Next
from shared.messages import Name
from shared.recipe import Label, LabelRole, Task


class FrameQueue(StrEnum):
    """Which frames of a source are shown, and in which order."""

    ALL = "all"
    UNLABELLED = "unlabelled"
    LABELLED = "labelled"
    MARKED = "marked"
    UNCERTAIN = "uncertain"
    DISAGREEMENT = "disagreement"
    SECOND = "second"
    CONTRADICTIONS = "contradictions"


QUEUES_OF_VIDEOS = (
    FrameQueue.ALL,
    FrameQueue.UNLABELLED,
    FrameQueue.LABELLED,
    FrameQueue.SECOND,
    FrameQueue.CONTRADICTIONS,
)
QUEUES_OF_LINES = (
    FrameQueue.MARKED,
    FrameQueue.UNCERTAIN,
    FrameQueue.DISAGREEMENT,
    FrameQueue.LABELLED,
    FrameQueue.SECOND,
    FrameQueue.CONTRADICTIONS,
)


class LabelChoice(BaseModel):
    """A label of the recipe."""

    name: str
    key: str | None = Field(description="key on the keyboard; null: the label has no key")
    role: LabelRole
    colour: str = Field(description="#rrggbb")

    @classmethod
    def of(cls, label: Label) -> Self:
        return cls(name=label.name, key=label.key, role=label.role, colour="#" + bytes(label.colour).hex())


class VideoView(BaseModel):
    """An uploaded video."""

    kind: str = Field(description="video or album (a zip of images)")
    width: int
    height: int
    frames_per_second: float
    megabytes: float
    left_out: int = Field(
        description="images of an album of kinds that can't be read, or damaged frames of a video; none is a frame"
    )
    uploaded_by: str
    uploaded_at: datetime


class SourceView(BaseModel):
    """Frames that are labelled by one recipe, and how many of them are labelled."""

    source: SourceId = Field(examples=["video-01JF6Z6TX4W8E1V2M6C3N9Q7RB"])
    name: str
    recipe: str
    task: Task
    labels: list[LabelChoice]
    video: VideoView | None = Field(description="null for frames of the lines")
    frames: int | None = Field(description="number of frames of the video; null for frames of the lines")
    labelled: int
    annotated_twice: int
    contradictions: int = Field(description="frames that wait for an adjudication")
    counts: dict[str, int] = Field(description="number of frames with each label")
    queues: list[FrameQueue]


class SourceList(BaseModel):
    """The lines by recipe, then the videos, newest first."""

    sources: list[SourceView]
    next: Next


class FrameAnnotation(BaseModel):
    """What one person said of a frame."""

    id: AnnotationId
    by: str
    at: datetime
    labels: Labels

    @classmethod
    def of(cls, annotation: Annotation) -> Self:
        return cls(id=annotation.id, by=annotation.by, at=annotation.at, labels=annotation.labels)


class ScoreView(BaseModel):
    """What the model said of a label."""

    score: float
    threshold: float
    present: bool


class FrameToLabel(BaseModel):
    """A frame and its annotations. For a second annotation, the first one and the scores are hidden."""

    frame: FrameKey = Field(examples=["12"])
    image_url: str
    title: str = Field(description="where the frame is from", examples=["frame 12, 0.48 s"])
    reason: str = Field(description="why it is in the queue")
    annotation: FrameAnnotation | None = Field(
        description="annotation of the requested kind; null if there is none yet"
    )
    first: FrameAnnotation | None = Field(description="null also while it is hidden")
    second: FrameAnnotation | None
    later: list[FrameAnnotation] = Field(description="during an adjudication: made after both people had looked")
    adjudication: FrameAnnotation | None
    scores: dict[str, ScoreView] = Field(description="scores by the model on the line, by label; empty while hidden")


class QueuePage(BaseModel):
    """A part of a queue."""

    source: SourceId
    queue: FrameQueue
    kind: AnnotationKind = Field(description="kind of the annotations that are given in this queue")
    total: int
    start: int
    frames: list[FrameToLabel]


class LabelRequest(BaseModel):
    """The same labels for one frame or several."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "frames": ["12"],
                "labels": {"good": False, "error": False, "break": True, "length": True},
                "kind": "first",
                "seen": {},
            }
        },
    )

    frames: Annotated[list[FrameKey], Field(min_length=1, max_length=MOST_FRAMES)]
    labels: Annotated[Labels, Field(min_length=1, max_length=64)] = Field(description="each label of the recipe")
    kind: AnnotationKind = AnnotationKind.FIRST
    seen: dict[FrameKey, AnnotationId | None] = Field(
        default_factory=dict,
        max_length=MOST_FRAMES,
        description="by frame: `annotation.id` as it was shown; another person's labels are only replaced if seen",
    )


class UndoRequest(BaseModel):
    """Which annotation to undo."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"kind": "first"}})

    annotation: AnnotationId | None = Field(None, description="one's own; null: one's last in this source")
    kind: AnnotationKind = AnnotationKind.FIRST


class AnnotationView(BaseModel):
    """An annotation."""

    id: AnnotationId
    source: SourceId
    source_name: str
    kind: AnnotationKind
    by: str
    at: datetime
    frames: list[FrameKey]
    labels: Labels = Field(description="empty if it undoes")
    undoes: AnnotationId | None
    undone: bool

    @classmethod
    def of(cls, annotation: Annotation, source_name: str, *, undone: bool = False) -> Self:
        fields = annotation.model_dump(exclude={"inspected"})
        return cls(**fields, source_name=source_name, undone=undone)


class AnnotationPage(BaseModel):
    """Annotations, newest first."""

    annotations: list[AnnotationView]
    next: Next = Field(examples=["01JF6Z6TX4W8E1V2M6C3N9Q7RB"])


class KappaView(BaseModel):
    """How far two people agree about one label."""

    frames: int = Field(description="number of frames that both people annotated")
    both: int = Field(description="frames to which both people gave the label")
    only_first: int
    only_second: int
    neither: int
    agreed: float | None = Field(description="share of the frames about which both said the same")
    kappa: float | None = Field(description="Cohen's kappa; null if the agreement expected by chance is 1")
    low: float | None = Field(description="lower bound of the 95 % interval; null if one person always said the same")
    high: float | None


class Contradiction(BaseModel):
    """A frame about which two people differ, until an adjudication."""

    frame: FrameKey
    image_url: str
    title: str
    first: FrameAnnotation = Field(description="the first annotation, as it was before the second one")
    second: FrameAnnotation
    later: list[FrameAnnotation] = Field(description="made after both people had looked")
    differ: list[str] = Field(description="the labels")


class AgreementView(BaseModel):
    """How far two people agree who annotated the same frames independently."""

    source: SourceId
    annotated_twice: int
    labels: dict[str, KappaView]
    open: int = Field(description="number of contradictions that wait for an adjudication")
    contradictions: list[Contradiction] = Field(description="the requested part of these, newest first")
    adjudicated: int


class DatasetRequest(BaseModel):
    """A dataset version to be made of labelled frames."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"name": "seam-week-48", "sources": ["video-01JF6Z6TX4W8E1V2M6C3N9Q7RB", "line-seam"]}
        },
    )

    name: Name = Field(description="name of a new dataset, or of a dataset that gets a further version")
    sources: Annotated[list[SourceId], Field(min_length=1, max_length=200)]


class DatasetImported(BaseModel):
    """A dataset version of an uploaded zip."""

    dataset: str = Field(
        description="reference by which a training names the dataset version", examples=["seam-week-48@0001-3f9a2c1d"]
    )
    is_new: bool = Field(description="false: the newest version holds the same")
    images: int
    groups: int
    masks: int = Field(description="images with marked defects")
    labels: dict[str, int] = Field(description="number of images with each label")
    left_out: list[str] = Field(description="rows and images that could not be used, a line for each cause")
    notes: list[str] = Field(description="numbers of images, labels and regions, and warnings")


class DatasetMade(BaseModel):
    """A dataset version in object storage."""

    dataset: str = Field(
        description="reference by which a training names the dataset version", examples=["seam-week-48@0001-3f9a2c1d"]
    )
    images: int
    groups: int
    labels: dict[str, int] = Field(description="number of images with each label")
    contradictions: int = Field(description="frames left out because two people contradict each other")
    ungrouped: int = Field(description="frames of a line left out because they are too near to two groups")
    missing: int = Field(description="labelled frames left out whose image is gone, or that lack a label of the recipe")
