"""Number the frames of one run of a camera (a session), and name the line, camera and part of each."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from ulid import ULID

from services.camera.line_recipe import LineRecipe
from services.camera.settings import CameraSettings
from services.camera.triggers.trigger import Trigger
from shared.messages import CHECK_BY_CAMERA, SEQUENCE_LIMIT, FrameIdentity, frame_id


class SessionFull(Exception):
    """A session has no sequence numbers left; a restart begins a new session."""


class Session:
    """Numbers the frames of one run of a camera, without gaps."""

    def __init__(
        self,
        line: str,
        camera: str,
        *,
        batch: str | None = None,
        part: str | None = None,
        frames_per_part: int = 0,
        recipe: LineRecipe | None = None,
    ) -> None:
        """Begin a session.

        Args:
            line: the camera's line.
            camera: the camera's name.
            batch: the batch of all frames.
            part: the part of all frames; with ``frames_per_part``, the beginning of the names of parts.
            frames_per_part: number of frames after which the next part begins; 0: all frames have the part ``part``.
            recipe: the recipe of the line.
        """
        ulid = ULID()
        self.id = str(ulid)
        self.line = line
        self.camera = camera
        self.recipe = recipe or LineRecipe()
        """The recipe of frames whose trigger names none."""
        self.frame_count = 0
        """The number of frames that have an identity."""
        self._batch = batch
        self._part = part
        self._frames_per_part = frames_per_part
        # each session counts its parts from 1; the start of the session makes the names of parts unique
        self._part_prefix = f"{part or 'part'}-{ulid.datetime:%Y%m%dT%H%M%S}"

    @classmethod
    def of(cls, settings: CameraSettings) -> Self:
        """Begin a session of the camera in the settings."""
        return cls(
            settings.line,
            settings.name,
            batch=settings.batch,
            part=settings.part,
            frames_per_part=settings.frames_per_part,
            recipe=LineRecipe(settings.outbox_folder / f"{settings.line}.{settings.name}.recipe.json"),
        )

    def next_identity(self, captured_at: datetime, trigger: Trigger | None = None) -> FrameIdentity:
        """Return the identity of the next frame. A field that the trigger has replaces the session's.

        Raises:
            SessionFull: no sequence number is left.
        """
        sequence = self.frame_count
        if sequence > SEQUENCE_LIMIT:
            raise SessionFull(f"session {self.id} has used all {sequence} frame numbers: start the camera again")
        self.frame_count += 1
        part = self._part
        if self._frames_per_part:
            part = f"{self._part_prefix}-{sequence // self._frames_per_part + 1:06d}"
        trigger = trigger or Trigger()
        part = trigger.part or part
        of_line = self.recipe.of_frame(sequence, part)
        return FrameIdentity(
            frame_id=frame_id(self.id, sequence),
            line=self.line,
            camera=self.camera,
            batch=trigger.batch or self._batch,
            part=part,
            order=trigger.order,
            operator=trigger.operator,
            recipe=trigger.recipe or of_line,
            encoder_count=trigger.encoder_count,
            check=CHECK_BY_CAMERA if trigger.check else None,
            captured_at=captured_at,
        )
