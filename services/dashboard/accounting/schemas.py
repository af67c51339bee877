"""What the API says about the whereabouts of frames, and about parked messages."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from services.dashboard.ingest.watermark import Restored
from services.dashboard.web.paging import Next


class Whereabouts(BaseModel):
    """Where frames went: captured = inspected + dropped + parked + in flight."""

    captured: int = 0
    inspected: int = Field(0, description="got a verdict, an error too")
    dropped: int = Field(0, description="neither the broker nor the camera's outbox would take them")
    parked: int = Field(0, description="put aside by the broker, among those that were looked at")
    in_flight: int = Field(0, description="captured, and not heard of since")

    @classmethod
    def settle(cls, *, captured: int, inspected: int, dropped: int, parked: int) -> Self:
        """What is neither inspected nor dropped nor parked is in flight."""
        known = inspected + dropped + parked
        captured = max(captured, known)
        return cls(captured=captured, inspected=inspected, dropped=dropped, parked=parked, in_flight=captured - known)

    def __add__(self, other: Whereabouts) -> Whereabouts:
        """Of both."""
        return Whereabouts(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})


class CameraWhereabouts(Whereabouts):
    """Of one camera."""

    line: str
    camera: str


class HourWhereabouts(CameraWhereabouts):
    """Of one camera, in one hour of capture."""

    start: datetime


class Unreadable(BaseModel):
    """A record in object storage that can't be read and is passed over."""

    key: str
    reason: str


class Accounting(BaseModel):
    """Where the frames went that were captured in some time."""

    start: datetime
    end: datetime
    total: Whereabouts
    cameras: list[CameraWhereabouts]
    hours: list[HourWhereabouts] = Field(description="newest first; hours in which a camera took nothing are left out")
    complete: bool = Field(description="all parked frames could be looked at; if not, some are among those in flight")
    restored: Restored | None = Field(
        None, description="the last time that Redis had lost frames, which were counted again from the archive"
    )
    unreadable: list[Unreadable] = Field(
        [],
        description="records of any kind that this dashboard passed over: restore them from a backup, or delete them",
    )


class ParkedView(BaseModel):
    """A message that was put aside."""

    id: str = Field(description="of this message in this queue")
    queue: str = Field(description="where it was parked from")
    message: str | None = Field(description="what it is; null when it can't be read")
    author: str | None = Field(description="who sent it: a person, or line and camera; null when it is not known")
    sender: str = Field("", description="the broker's user that published it, as the broker has checked; or empty")
    frame_id: str | None
    line: str | None
    camera: str | None
    captured_at: datetime | None
    reason: str
    parked_at: datetime
    size: int = Field(description="bytes")


class ParkedList(BaseModel):
    """The parked messages, newest first."""

    at: datetime = Field(description="when the broker was asked")
    parked: list[ParkedView]
    waiting: dict[str, int] = Field(
        description="by queue: how many are parked in all, of which the oldest are listed, on this page or another"
    )
    complete: bool = Field(description="all of them are listed, on this page or another")
    next: Next = None


class Order(BaseModel):
    """What to do with a parked message."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"note": "the camera is repaired"}})

    note: str = Field("", max_length=500, description="why, for those who come after")


class Decision(BaseModel):
    """What a person made of a parked message."""

    id: str
    fate: Literal["replay", "discard"]
    by: str
    at: datetime
    note: str
    parked: ParkedView
    done: bool = Field(
        True,
        description="false: the broker went away meanwhile, so it may not have happened: look whether it is parked",
    )


class DecisionList(BaseModel):
    """The latest decisions, newest first."""

    decisions: list[Decision]
    next: Next
