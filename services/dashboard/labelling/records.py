"""What people said about frames: records in object storage, one object each, none ever changed or removed.

``labelling/records/<source>/…/<ulid>.json``. A record labels one frame or several at once, or undoes an earlier record.
What holds of a frame is folded from them: see `History`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from shared.messages import Finding, FrameIdentity, FrameInspected

MOST_FRAMES: Final = 500
"""That one record labels."""

SourceId = Annotated[str, Field(pattern=r"^(film|line)-[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""``film-<ulid>``: an uploaded film. ``line-<recipe>``: the frames of the lines that inspect by this recipe."""

FrameKey = Annotated[str, Field(pattern=r"^([0-9]{1,7}|[0-9A-HJKMNP-TV-Z]{26}-[0-9]{9})$")]
"""A frame of a source: its number in the film, from 0; or the id that the camera gave it."""

RecordId = Annotated[str, Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$")]

Labels = dict[str, bool]


class Reading(StrEnum):
    """Which look at a frame a record is of."""

    FIRST = "first"
    SECOND = "second"
    """By another person, who has not seen what the first one said."""
    SETTLED = "settled"
    """What holds where the two contradict each other."""


class Judged(BaseModel):
    """What the line said of a frame when it was labelled: the index of frames forgets, a record does not."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    frame: FrameIdentity
    picture_key: str
    model_version: str
    findings: dict[str, Finding]

    @classmethod
    def of(cls, verdict: FrameInspected) -> Self | None:
        """Of a verdict; None when its picture is not kept."""
        if verdict.picture_key is None:
            return None
        return cls(
            frame=verdict.frame,
            picture_key=verdict.picture_key,
            model_version=verdict.model_version,
            findings=verdict.findings,
        )


class Record(BaseModel):
    """One thing that one person did."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: RecordId = Field(description="a ULID: records sort by the time at which they were made")
    source: SourceId
    reading: Reading
    by: str
    at: AwareDatetime
    frames: tuple[FrameKey, ...] = Field(min_length=1, max_length=MOST_FRAMES)
    labels: Labels = Field(description="of each of the frames; empty when it undoes")
    undoes: RecordId | None = Field(None, description="the record that no longer holds")
    judged: dict[str, Judged] = Field(default_factory=dict, description="by frame; of frames of the line")

    @model_validator(mode="after")
    def _labels_or_undoes(self) -> Self:
        if bool(self.labels) == bool(self.undoes):
            raise ValueError("a record labels, or undoes another one")
        return self


class State(BaseModel):
    """What holds of one frame."""

    model_config = ConfigDict(frozen=True)

    first: Record | None = None
    second: Record | None = None
    settled: Record | None = None

    def of(self, reading: Reading) -> Record | None:
        """The record of a reading."""
        return {Reading.FIRST: self.first, Reading.SECOND: self.second, Reading.SETTLED: self.settled}[reading]

    def with_(self, record: Record) -> State:
        """The state after one more record."""
        return self.model_copy(update={record.reading.value: record})

    @property
    def read_twice(self) -> bool:
        """Whether two people looked at it."""
        return self.first is not None and self.second is not None and self.first.by != self.second.by

    @property
    def contradiction(self) -> bool:
        """Whether the two who looked differ, and nobody has settled it since."""
        if self.first is None or self.second is None or not self.read_twice or self.first.labels == self.second.labels:
            return False
        return self.settled is None or self.settled.id < max(self.first.id, self.second.id)

    @property
    def holds(self) -> Record | None:
        """What may be learned from: nothing while two people contradict each other."""
        if self.first is None or self.contradiction:
            return None
        if self.settled is not None and self.settled.id > max(self.first.id, self.second.id if self.second else ""):
            return self.settled
        return self.first


UNREAD: Final = State()
