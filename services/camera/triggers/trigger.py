"""A trigger, and the answer to it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from shared.messages import FrameIdentity, Name
from shared.validation import describe

LONGEST: Final = 4_096
"""Most bytes of a trigger's JSON document."""


class Refused(ValueError):
    """A document is not a valid trigger; the message says why."""


class Trigger(BaseModel):
    """A request of the plant to capture one image now. Its fields about the part are copied to the frame."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None = Field(None, max_length=64, description="returned in the answer")
    part: Name | None = Field(None, description="name of the part in view")
    batch: Name | None = None
    order: Name | None = None
    operator: Name | None = None
    recipe: Name | None = Field(None, description="a worker of another recipe does not inspect the frame")

    @classmethod
    def read(cls, document: bytes) -> Self:
        """Read a JSON document; an empty document is a trigger without fields.

        Raises:
            Refused: the document is too long, is not JSON, or has a wrong field.
        """
        if len(document) > LONGEST:
            raise Refused(f"a trigger has at most {LONGEST:,} bytes")
        try:
            return cls.of(from_json(document.strip() or b"{}"))
        except ValueError as error:
            raise error if isinstance(error, Refused) else Refused(f"not JSON: {error}") from error

    @classmethod
    def of(cls, fields: object) -> Self:
        """Return the trigger with these fields.

        Raises:
            Refused: a field is wrong.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise Refused(f"{place}: {describe(first)}" if place else describe(first)) from error


class TriggerOutcome(StrEnum):
    """What became of a trigger."""

    CAPTURED = "captured"
    MISSED = "missed"


class Cause(StrEnum):
    """Why a trigger was missed."""

    BUSY = "busy"
    """The image of an earlier trigger had not come yet."""
    AWAY = "away"
    """The camera was disconnected, starting or ending."""
    LATE = "late"
    """No image came in time."""
    REFUSED = "refused"
    """Its document had a wrong field."""
    DROPPED = "dropped"
    """Its frame was dropped."""


class Answer(BaseModel):
    """What became of a trigger: captured, with the frame, or missed, with the reason."""

    model_config = ConfigDict(frozen=True)

    id: str | None = None
    outcome: TriggerOutcome
    cause: Cause | None = None
    reason: str = ""
    frame_id: str | None = None
    part: str | None = None
    captured_at: datetime | None = None

    @classmethod
    def captured(cls, trigger: Trigger, frame: FrameIdentity) -> Self:
        """Return the answer to a trigger whose image is a frame."""
        return cls(
            id=trigger.id,
            outcome=TriggerOutcome.CAPTURED,
            frame_id=frame.frame_id,
            part=frame.part,
            captured_at=frame.captured_at,
        )
