"""What people said about frames: records in object storage, one object each, none ever changed or removed.

``labelling/records/<source>/…/<ulid>.json``. A record labels one frame or several at once, or undoes an earlier record.
What holds of a frame is folded from them: see `History`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, NamedTuple, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from shared.messages import Finding, FrameIdentity, FrameInspected

MOST_FRAMES: Final = 500
"""That one record labels."""

SLIP: Final = timedelta(minutes=1)
"""Whoever corrects a second reading within this time has erred on the keyboard."""

SourceId = Annotated[str, Field(pattern=r"^(video|line)-[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""``video-<ulid>``: an uploaded video. ``line-<recipe>``: the frames of the lines that inspect by this recipe."""

FrameKey = Annotated[str, Field(pattern=r"^([0-9]{1,7}|[0-9A-HJKMNP-TV-Z]{26}-[0-9]{9})$")]
"""A frame of a source: its number in the video, from 0; or the id that the camera gave it."""

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
    image_key: str
    model_version: str
    findings: dict[str, Finding]

    @model_validator(mode="after")
    def _key_is_of_the_frame(self) -> Self:
        if not self.frame.owns(self.image_key):
            raise ValueError(f"{self.image_key[:80]!r} is not below {self.frame.storage_key}/")
        return self

    @classmethod
    def of(cls, verdict: FrameInspected) -> Self | None:
        """Of a verdict; None when its image is not kept."""
        if verdict.image_key is None:
            return None
        return cls(
            frame=verdict.frame,
            image_key=verdict.image_key,
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


class Pair(NamedTuple):
    """What two people said of a frame, neither knowing of the other."""

    first: Record
    second: Record

    @property
    def differs(self) -> bool:
        """Whether they contradict each other."""
        return self.first.labels != self.second.labels


class State(BaseModel):
    """What holds of one frame."""

    model_config = ConfigDict(frozen=True)

    first: Record | None = None
    second: Record | None = None
    settled: Record | None = None
    independent: Pair | None = None
    """Said before either could know of the other: it stays, whatever they say or take back later."""
    readers: frozenset[str] = frozenset()
    """Who ever gave a first reading: they know the frame, and what they said of it."""

    def of(self, reading: Reading) -> Record | None:
        """The record of a reading."""
        return {Reading.FIRST: self.first, Reading.SECOND: self.second, Reading.SETTLED: self.settled}[reading]

    def with_(self, record: Record) -> State:
        """The state after one more record."""
        changes: dict[str, object] = {record.reading.value: record}
        if record.reading is Reading.FIRST:
            changes["readers"] = self.readers | {record.by}
        elif record.reading is Reading.SECOND:
            changes["independent"] = self._paired(record)
        return self.model_copy(update=changes)

    def without(self, undone: str, undoing: Record, standing: Sequence[Record]) -> State:
        """The state after a record was taken back.

        Args:
            undone: the record's id.
            undoing: the record that takes it back.
            standing: what is still said of the frame, in its order.
        """
        last = {reading.value: None for reading in Reading} | {each.reading.value: each for each in standing}
        pair = self.independent
        if pair and pair.second.id == undone and _is_slip(pair.second, undoing):
            before = last[Reading.SECOND.value]
            pair = Pair(pair.first, before) if before and before.by == pair.second.by else None
        return self.model_copy(update={**last, "independent": pair})

    def _paired(self, second: Record) -> Pair | None:
        """What two people said independently, once one of them gives the second reading."""
        if self.independent is None:
            return Pair(self.first, second) if self.first and second.by not in self.readers else None
        if _is_slip(self.independent.second, second):
            return self.independent._replace(second=second)
        return self.independent

    @property
    def read_twice(self) -> bool:
        """Whether two people looked at it, neither knowing what the other said."""
        return self.independent is not None

    @property
    def sides(self) -> Pair | None:
        """What is to be settled: what two people said independently, or what they say now where only that differs."""
        if self.independent and self.independent.differs:
            return self.independent
        now = Pair(self.first, self.second) if self.first and self.second else None
        return now if now and now.differs and now.first.by != now.second.by else None

    @property
    def contradiction(self) -> bool:
        """Whether the two who looked differ, and nobody has settled it since."""
        if self.sides is None:
            return False
        settled = self.settled
        return settled is None or any(each.id > settled.id and each.labels != settled.labels for each in self._said)

    @property
    def later(self) -> list[Record]:
        """What the two say now, where that is not what is to be settled: it was said after both had looked."""
        shown = {record.id for record in self.sides or ()}
        return [record for record in self._said if record.id not in shown]

    @property
    def holds(self) -> Record | None:
        """What may be learned from: nothing while two people contradict each other."""
        if self.contradiction:
            return None
        if self.settled and (self.sides or all(each.id < self.settled.id for each in self._said)):
            return self.settled
        return self.first

    @property
    def _said(self) -> list[Record]:
        """The readings that stand."""
        return [record for record in (self.first, self.second) if record]


def _is_slip(second: Record, after: Record) -> bool:
    """Whether a second reading was corrected at once by who gave it: a slip of the key, not another opinion."""
    return after.by == second.by and after.at - second.at <= SLIP


UNREAD: Final = State()
