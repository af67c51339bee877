"""What the API says about labelling."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from services.dashboard.labelling.annotations.annotation import (
    MOST_FRAMES,
    FrameKey,
    Labels,
    Reading,
    Record,
    RecordId,
    SourceId,
)
from services.dashboard.web.paging import Next
from shared.messages import Name
from shared.recipe import Label, Role, Task


class Queue(StrEnum):
    """Which frames, and in which order."""

    ALL = "all"
    UNLABELLED = "unlabelled"
    LABELLED = "labelled"
    MARKED = "marked"
    UNCERTAIN = "uncertain"
    DISAGREEMENT = "disagreement"
    SECOND = "second"
    CONTRADICTIONS = "contradictions"


OF_VIDEOS = (Queue.ALL, Queue.UNLABELLED, Queue.LABELLED, Queue.SECOND, Queue.CONTRADICTIONS)
OF_LINES = (
    Queue.MARKED,
    Queue.UNCERTAIN,
    Queue.DISAGREEMENT,
    Queue.LABELLED,
    Queue.SECOND,
    Queue.CONTRADICTIONS,
)


class LabelChoice(BaseModel):
    """A label as the recipe has it."""

    name: str
    key: str = Field(description="on the keyboard")
    role: Role
    colour: str = Field(description="#rrggbb")

    @classmethod
    def of(cls, label: Label) -> Self:
        """A label of a recipe."""
        return cls(name=label.name, key=label.key, role=label.role, colour="#" + bytes(label.colour).hex())


class VideoView(BaseModel):
    """An uploaded video."""

    kind: str = Field(description="video or album (a zip of images)")
    width: int
    height: int
    frames_per_second: float
    megabytes: float
    uploaded_by: str
    uploaded_at: datetime


class SourceView(BaseModel):
    """Frames that are labelled by one recipe, and how far people are."""

    source: SourceId = Field(examples=["video-01JF6Z6TX4W8E1V2M6C3N9Q7RB"])
    name: str
    recipe: str
    task: Task
    labels: list[LabelChoice]
    video: VideoView | None = Field(description="null: frames of the lines")
    frames: int | None = Field(description="of the video; null: frames of the lines")
    labelled: int
    read_twice: int
    contradictions: int = Field(description="that nobody has settled")
    counts: dict[str, int] = Field(description="how many frames have each label")
    queues: list[Queue]


class SourceList(BaseModel):
    """The lines by recipe, then the videos, the newest first."""

    sources: list[SourceView]
    next: Next


class Said(BaseModel):
    """What one person said of a frame."""

    record: RecordId
    by: str
    at: datetime
    labels: Labels

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Of a record."""
        return cls(record=record.id, by=record.by, at=record.at, labels=record.labels)

    @classmethod
    def of(cls, record: Record | None) -> Self | None:
        """Of a record, where there is one."""
        return cls.from_record(record) if record else None


class ScoreView(BaseModel):
    """What the model said of a label."""

    score: float
    threshold: float
    present: bool


class FrameToLabel(BaseModel):
    """A frame, what is known of it, and what was said. A second reading is shown nothing of the first, nor scores."""

    frame: FrameKey = Field(examples=["12"])
    image_url: str
    title: str = Field(description="where it is from, for people", examples=["frame 12, 0.48 s"])
    why: str = Field(description="it is in the queue")
    said: Said | None = Field(description="by the reading that was asked for; null: nothing yet")
    first: Said | None = Field(description="null also while it is hidden")
    second: Said | None
    later: list[Said] = Field(description="while it is settled: what the two said after both had looked")
    settled: Said | None
    scores: dict[str, ScoreView] = Field(description="by label, of the model on the line; empty when hidden")


class QueuePage(BaseModel):
    """A part of a queue."""

    source: SourceId
    queue: Queue
    reading: Reading = Field(description="that a label from this queue is of")
    total: int
    start: int
    frames: list[FrameToLabel]


class LabelOrder(BaseModel):
    """The same labels for one frame or several."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "frames": ["12"],
                "labels": {"good": False, "error": False, "break": True, "length": True},
                "reading": "first",
                "seen": {},
            }
        },
    )

    frames: Annotated[list[FrameKey], Field(min_length=1, max_length=MOST_FRAMES)]
    labels: Annotated[Labels, Field(min_length=1, max_length=64)] = Field(description="each label of the recipe")
    reading: Reading = Reading.FIRST
    seen: dict[FrameKey, RecordId | None] = Field(
        default_factory=dict,
        max_length=MOST_FRAMES,
        description="by frame: `said.record` as it was shown; another person's label is only replaced when it was seen",
    )


class UndoOrder(BaseModel):
    """What to take back."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"reading": "first"}})

    record: RecordId | None = Field(None, description="of one's own; null: one's last in this source")
    reading: Reading = Reading.FIRST


class RecordView(BaseModel):
    """One thing that one person did."""

    record: RecordId
    source: SourceId
    source_name: str
    reading: Reading
    by: str
    at: datetime
    frames: list[FrameKey]
    labels: Labels = Field(description="empty when it undoes")
    undoes: RecordId | None
    undone: bool

    @classmethod
    def of(cls, record: Record, source_name: str, *, undone: bool) -> Self:
        """Of a record."""
        return cls(
            record=record.id,
            source=record.source,
            source_name=source_name,
            reading=record.reading,
            by=record.by,
            at=record.at,
            frames=list(record.frames),
            labels=record.labels,
            undoes=record.undoes,
            undone=undone,
        )


class RecordPage(BaseModel):
    """Who labelled what when, newest first."""

    records: list[RecordView]
    next: Next = Field(examples=["01JF6Z6TX4W8E1V2M6C3N9Q7RB"])


class KappaView(BaseModel):
    """How far two people agree about one label."""

    frames: int = Field(description="that both looked at")
    both: int = Field(description="frames that both said have it")
    only_first: int
    only_second: int
    neither: int
    agreed: float | None = Field(description="share of the frames of which both said the same")
    kappa: float | None = Field(description="Cohen's; null when chance alone would make them agree always")
    low: float | None = Field(description="of the 95 % interval; null where one of the two always said the same")
    high: float | None


class Contradiction(BaseModel):
    """A frame of which two people said something else; it stays one until it is settled."""

    frame: FrameKey
    image_url: str
    title: str
    first: Said = Field(description="before the second reading, however it was changed since")
    second: Said
    later: list[Said] = Field(description="what the two said after both had looked")
    differ: list[str] = Field(description="the labels")


class AgreementView(BaseModel):
    """Two readings of the same frames, as they were given independently."""

    source: SourceId
    read_twice: int
    labels: dict[str, KappaView]
    open: int = Field(description="contradictions that nobody has settled")
    contradictions: list[Contradiction] = Field(description="of these, the part that was asked for; the newest first")
    settled: int


class DatasetOrder(BaseModel):
    """A dataset of what is labelled."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"name": "seam-week-48", "sources": ["video-01JF6Z6TX4W8E1V2M6C3N9Q7RB", "line-seam"]}
        },
    )

    name: Name = Field(description="that no dataset has yet: what is made is never changed")
    sources: Annotated[list[SourceId], Field(min_length=1, max_length=200)]


class DatasetMade(BaseModel):
    """Tables and images, all of them in object storage."""

    dataset: str = Field(description="what a training names", examples=["datasets/seam-week-48"])
    images: int
    groups: int
    labels: dict[str, int]
    left_out: int = Field(description="frames of which two people contradict each other")
    between: int = Field(description="frames of a line that are too near to two groups to be in either")
    missing: int = Field(description="labelled frames whose image is gone, or that lack a label of the recipe")
