"""From a shot to a frame in the outbox: cut out, encode, name, keep."""

from __future__ import annotations

import structlog
from prometheus_client import Counter
from pydantic import ValidationError

from services.camera.outbox import Outbox
from services.camera.recorder import Recorder
from services.camera.session import Session
from services.camera.settings import CameraSettings
from services.camera.sources.shot import Shot
from shared.imaging.codec import Image, UnreadableImage, encode, size_of
from shared.messages import FrameCaptured, FrameIdentity

CAPTURED = Counter("seamline_camera_captured", "Frames taken, with those refused", ["line", "camera"])
REFUSED = Counter("seamline_camera_refused", "Frames that neither broker nor outbox took", ["line", "camera"])

log = structlog.get_logger(__name__)


class UnusableShot(Exception):
    """A shot that no message can carry; the message says why."""


class Handler:
    """Makes frames of shots. Each shot is a frame, has a number, and is kept or counted as refused."""

    def __init__(self, settings: CameraSettings, session: Session, outbox: Outbox, recorder: Recorder) -> None:
        self._settings = settings
        self._session = session
        self._outbox = outbox
        self._recorder = recorder
        self._captured = CAPTURED.labels(session.line, session.camera)
        self._refused = REFUSED.labels(session.line, session.camera)

    def take(self, shot: Shot) -> None:
        """Keep a shot as the session's next frame."""
        identity = self._session.next_identity(shot.taken_at)
        self._captured.inc()
        try:
            kept = self._outbox.keep(self._frame(identity, shot))
        except (UnusableShot, ValidationError) as error:
            self._outbox.refuse(" ".join(str(error).split()))
            kept = False
        if not kept:
            self._refused.inc()

    def _frame(self, identity: FrameIdentity, shot: Shot) -> FrameCaptured:
        if shot.image is None:
            return self._frame_as_it_came(identity, shot)
        image = self._cut_out(shot.image)
        self._recorder.write(image)
        encoding = self._settings.encoding
        if shot.file and not self._settings.roi and shot.file.encoding == encoding:
            content = shot.file.content
        else:
            content = self._encoded(image)
        height, width = image.shape[:2]
        return FrameCaptured(frame=identity, encoding=encoding, width=width, height=height, image=content)

    def _frame_as_it_came(self, identity: FrameIdentity, shot: Shot) -> FrameCaptured:
        """What can't be decoded travels on: its verdict is an error, and it is missing nowhere."""
        if shot.file is None:
            raise UnusableShot(shot.problem)
        log.warning("an image can't be decoded; sending it as it is", frame_id=identity.frame_id, reason=shot.problem)
        try:
            width, height = size_of(shot.file.content)
        except UnreadableImage:
            width, height = 1, 1
        return FrameCaptured(
            frame=identity,
            encoding=shot.file.encoding,
            width=max(width, 1),
            height=max(height, 1),
            image=shot.file.content,
        )

    def _cut_out(self, image: Image) -> Image:
        region = self._settings.roi
        if region is None:
            return image
        x, y, width, height = region
        part = image[y : y + height, x : x + width]
        if part.shape[:2] != (height, width):
            size = f"{image.shape[1]} x {image.shape[0]}"
            raise UnusableShot(f"the region of interest reaches beyond this image, which is {size}")
        return part

    def _encoded(self, image: Image) -> bytes:
        try:
            return encode(image, self._settings.encoding, self._settings.jpeg_quality)
        except ValueError as error:
            raise UnusableShot(str(error)) from error
