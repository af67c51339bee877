"""The newest inspected image of each camera: ``live/<line>/<camera>``, a line of JSON and then the image.

Workers replace it about once a second, so that people see what the camera sees. It is not kept as a record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.messages import FrameIdentity, Verdict


class LiveFrame(BaseModel):
    """The frame of a live image."""

    model_config = ConfigDict(frozen=True)

    frame: FrameIdentity
    verdict: Verdict
    reason: str
    encoding: Literal["jpeg", "png"]
    image_key: str | None = Field(None, description="key of a large image, which is in object storage already")

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        if self.image_key is not None and not self.frame.owns(self.image_key):
            raise ValueError(f"{self.image_key[:80]!r} is not below {self.frame.storage_key}/")
        return self


@dataclass(frozen=True)
class LiveImage:
    """A frame and its image."""

    live_frame: LiveFrame
    content: bytes

    def encode(self) -> bytes:
        """Return the object's content."""
        return self.live_frame.model_dump_json().encode() + b"\n" + self.content

    @classmethod
    def decode(cls, stored: bytes) -> Self:
        """Read an object.

        Raises:
            ValueError: the object is not a live image.
        """
        live_frame, _, content = stored.partition(b"\n")
        return cls(LiveFrame.model_validate_json(live_frame), content)


def live_key(line: str, camera: str) -> str:
    """Return the key of a camera's live image."""
    return f"live/{line}/{camera}"
