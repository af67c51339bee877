"""The requests and answers of the API about the accounting of frames, and about parked messages."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from services.dashboard.ingest.watermark import Restored
from services.dashboard.lines.repository import CameraCounts
from services.dashboard.web.paging import Next


class Balance(BaseModel):
    """What became of frames: captured = inspected + dropped + parked + in flight."""

    captured: int = 0
    inspected: int = Field(0, description="frames with a verdict, `error` included")
    dropped: int = Field(0, description="frames that neither the broker nor the camera's outbox accepted")
    parked: int = Field(0, description="frames of the parked messages that were listed")
    in_flight: int = Field(0, description="captured frames without a verdict so far")
    unreadable: int = Field(
        0,
        description="images of the sources that became no frames: damaged, or sent again by a frozen camera; they are "
        "not among the captured frames",
    )
    triggers: int = Field(0, description="triggers of triggered cameras: captured + missed triggers")
    missed_triggers: int = Field(0, description="triggers that came while a camera was busy or away")

    @classmethod
    def settle(cls, *, inspected: int, parked: int, camera: CameraCounts) -> Self:
        """Return the balance; captured frames that are not inspected, dropped or parked are in flight."""
        settled = inspected + camera.dropped + parked
        captured = max(camera.captured, settled)
        return cls(
            captured=captured,
            inspected=inspected,
            dropped=camera.dropped,
            parked=parked,
            in_flight=captured - settled,
            unreadable=camera.unreadable,
            triggers=captured + camera.missed_triggers if camera.triggers else 0,
            missed_triggers=camera.missed_triggers,
        )

    def __add__(self, other: Balance) -> Balance:
        return Balance(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})


class CameraBalance(Balance):
    """The balance of one camera."""

    line: str
    camera: str


class HourBalance(CameraBalance):
    """The balance of one camera in one hour of capture."""

    start: datetime


class UnreadableObject(BaseModel):
    """An object in storage that can't be read and is left out."""

    key: str
    reason: str


class Accounting(BaseModel):
    """What became of the frames that were captured in a window."""

    start: datetime
    end: datetime
    total: Balance
    cameras: list[CameraBalance]
    hours: list[HourBalance] = Field(description="newest first; hours without a captured frame are left out")
    complete: bool = Field(description="all parked messages were listed; if not, some parked frames count as in flight")
    restored: Restored | None = Field(
        None, description="the latest recovery of frames that Redis had lost, from the archive; null if there was none"
    )
    unreadable_objects: list[UnreadableObject] = Field(
        [],
        description="objects that this dashboard left out: restore them from a backup, or delete them",
    )


class ParkedView(BaseModel):
    """A parked message."""

    id: str = Field(description="the id of this message in this queue")
    queue: str = Field(description="the queue that it was parked from")
    message: str | None = Field(description="type of the message; null if it can't be read")
    author: str | None = Field(description="who sent it: a person, or line and camera; null if that is unknown")
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

    at: datetime = Field(description="time at which the list was made")
    parked: list[ParkedView]
    waiting: dict[str, int] = Field(
        description="number of parked messages by queue; only the oldest of each queue are listed, over all pages"
    )
    complete: bool = Field(description="whether all of them are listed, on this page or another")
    next: Next = None


class DecisionRequest(BaseModel):
    """The request of a decision about a parked message."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"note": "the camera is repaired"}})

    note: str = Field("", max_length=500, description="the reason of the decision")


class ParkedDecision(BaseModel):
    """A person's decision about a parked message."""

    id: str
    action: Literal["replay", "discard"]
    by: str
    at: datetime
    note: str
    parked: ParkedView
    done: bool = Field(
        True,
        description="false: the broker went away meanwhile, so it is unknown whether the message is still parked",
    )


class DecisionList(BaseModel):
    """The latest decisions, newest first."""

    decisions: list[ParkedDecision]
    next: Next
