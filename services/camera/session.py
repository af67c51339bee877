"""One run of a camera."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from ulid import ULID

from services.camera.settings import CameraSettings
from shared.messages import SEQUENCE_LIMIT, FrameIdentity, frame_id


class SessionFull(Exception):
    """A session has named all frames that it can (a year at 30 per second); the next start is a new one."""


class Session:
    """Names the frames of one run, one after the other, without gaps."""

    def __init__(
        self, line: str, camera: str, *, batch: str | None = None, part: str | None = None, frames_per_part: int = 0
    ) -> None:
        ulid = ULID()
        self.id = str(ulid)
        self.line = line
        self.camera = camera
        self.named = 0
        """How many frames have a name."""
        self._batch = batch
        self._part = part
        self._frames_per_part = frames_per_part
        # parts are counted from one in each session: the time of its start keeps their names apart
        self._parts = f"{part or 'part'}-{ulid.datetime:%Y%m%dT%H%M%S}"

    @classmethod
    def of(cls, settings: CameraSettings) -> Self:
        """The session that the settings ask for."""
        return cls(
            settings.line,
            settings.name,
            batch=settings.batch,
            part=settings.part,
            frames_per_part=settings.frames_per_part,
        )

    def next_identity(self, taken_at: datetime) -> FrameIdentity:
        """The identity of the next frame.

        Raises:
            SessionFull: there is no number left.
        """
        sequence = self.named
        if sequence > SEQUENCE_LIMIT:
            raise SessionFull(f"session {self.id} has {sequence} frames: start the camera again")
        self.named += 1
        return FrameIdentity(
            frame_id=frame_id(self.id, sequence),
            line=self.line,
            camera=self.camera,
            batch=self._batch,
            part=self._part_of(sequence),
            captured_at=taken_at,
        )

    def _part_of(self, sequence: int) -> str | None:
        if not self._frames_per_part:
            return self._part
        return f"{self._parts}-{sequence // self._frames_per_part + 1:06d}"
