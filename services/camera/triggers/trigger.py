"""A trigger: the plant's request to capture one image now. Its answer: captured, or missed and why."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from shared.messages import FrameIdentity, Name
from shared.validation import describe

MOST_BYTES: Final = 4_096
"""Most bytes of a trigger's JSON document."""


class InvalidTrigger(ValueError):
    """A document is not a valid trigger; the message says why."""


class Trigger(BaseModel):
    """A request of the plant to capture one image now. Its fields about the part are copied to the frame."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None = Field(
        None, max_length=64, description="of this trigger alone; a trigger with the id of an earlier one is that one"
    )
    part: Name | None = Field(None, description="name of the part in view")
    batch: Name | None = None
    order: Name | None = None
    operator: Name | None = None
    encoder_count: int | None = Field(
        None, ge=0, lt=1 << 32, description="count of the line's encoder at the trigger, for outputs with delay_counts"
    )
    recipe: Name | None = Field(None, description="recipe by which the frame is inspected, instead of that of the line")
    check: bool = Field(False, description="the part in view is one of a check, and no production")

    @classmethod
    def read(cls, document: bytes) -> Self:
        """Read a JSON document; an empty document is a trigger without fields.

        Raises:
            InvalidTrigger: the document is too long, is not JSON, or has a wrong field.
        """
        if len(document) > MOST_BYTES:
            raise InvalidTrigger(f"a trigger has at most {MOST_BYTES:,} bytes")
        try:
            return cls.of(from_json(document.strip() or b"{}"))
        except InvalidTrigger:
            raise
        except ValueError as error:
            raise InvalidTrigger(f"not JSON: {error}") from error

    @classmethod
    def of(cls, fields: object) -> Self:
        """Return the trigger with these fields.

        Raises:
            InvalidTrigger: a field is wrong.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InvalidTrigger(f"{place}: {describe(first)}" if place else describe(first)) from error


class TriggerOutcome(StrEnum):
    """What became of a trigger."""

    CAPTURED = "captured"
    MISSED = "missed"


class Cause(StrEnum):
    """Why a trigger was missed."""

    BUSY = "busy"
    """An earlier trigger still waited for its image."""
    AWAY = "away"
    """The camera was disconnected, starting or ending, or it had lost its MQTT broker when the trigger came."""
    LATE = "late"
    """No image came within `CAMERA_TRIGGER_SECONDS` after `CAMERA_TRIGGER_DELAY_MS`."""
    REFUSED = "refused"
    """The trigger was not valid, or no model of its recipe is in production."""
    DROPPED = "dropped"
    """The image was captured, but the outbox was full or the image can't be used."""


class Answer(BaseModel):
    """What became of a trigger: captured, with the frame, or missed, with the reason."""

    model_config = ConfigDict(frozen=True)

    id: str | None = None
    outcome: TriggerOutcome
    cause: Cause | None = None
    """Why the trigger was missed, for programs."""
    reason: str = ""
    """Why the trigger was missed, as a sentence for people."""
    frame_id: str | None = None
    part: str | None = None
    captured_at: datetime | None = None

    @classmethod
    def captured(cls, trigger: Trigger, frame: FrameIdentity) -> Self:
        """Return the answer to a trigger for which a frame was captured."""
        return cls(
            id=trigger.id,
            outcome=TriggerOutcome.CAPTURED,
            frame_id=frame.frame_id,
            part=frame.part,
            captured_at=frame.captured_at,
        )
