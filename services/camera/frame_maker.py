"""Make a frame of an image: crop the image, encode it, give it an identity, and add the frame to the outbox."""

from __future__ import annotations

import time
from typing import Final

import structlog
from prometheus_client import Counter
from pydantic import ValidationError

from services.camera.frame_identity import Session
from services.camera.outbox import Outbox
from services.camera.recorder import Recorder
from services.camera.settings import CameraSettings
from services.camera.sources.captured_image import CapturedImage, Unreadable
from services.camera.triggers.trigger import Trigger
from shared.imaging.codec import UnreadableImage, encode, size_of
from shared.messages import CheckFrame, FrameCaptured, FrameIdentity
from shared.messaging import traces

CAPTURED = Counter("seamline_camera_captured", "Frames captured, including dropped frames", ["line", "camera"])
DROPPED = Counter(
    "seamline_camera_dropped", "Frames captured and then dropped, because they could not be stored", ["line", "camera"]
)
UNREADABLE = Counter("seamline_camera_unreadable", "Images of the source that became no frames", ["line", "camera"])
SECONDS_BETWEEN_LOGS: Final = 10.0
"""Pause between two log lines about unreadable images."""

log = structlog.get_logger(__name__)


class UnusableImage(Exception):
    """An image that can't become a frame; the message says why."""


class FrameMaker:
    """Makes a numbered frame of each image, and adds the frame to the outbox or counts it as dropped."""

    def __init__(self, settings: CameraSettings, session: Session, outbox: Outbox, recorder: Recorder) -> None:
        self._settings = settings
        self._session = session
        self._checks = Session.of(settings)
        """Numbers the frames of the last check, so that those of production have no gaps."""
        self._is_checking = False
        """Whether the last frame was one of a check."""
        self._outbox = outbox
        self._recorder = recorder
        self._captured = CAPTURED.labels(session.line, session.camera)
        self._dropped = DROPPED.labels(session.line, session.camera)
        self._unreadable = UNREADABLE.labels(session.line, session.camera)
        self._quiet_until = 0.0

    def count_unreadable(self, image: Unreadable) -> None:
        """Count an image that becomes no frame; log it, but at most once in `SECONDS_BETWEEN_LOGS`."""
        self._outbox.count_unreadable()
        self._unreadable.inc()
        if (now := time.monotonic()) >= self._quiet_until:
            unreadable = self._outbox.counts().unreadable
            log.warning("images of the source are unreadable", reason=image.reason, unreadable=unreadable)
            self._quiet_until = now + SECONDS_BETWEEN_LOGS

    def add(self, image: CapturedImage, trigger: Trigger | None = None) -> FrameIdentity | None:
        """Add an image to the outbox as the session's next frame, and return its identity; None if it is dropped.

        No count has the frame of a check.
        """
        is_check = trigger is not None and trigger.check
        if is_check and not self._is_checking:
            self._checks = Session.of(self._settings)
        self._is_checking = is_check
        identity = (self._checks if is_check else self._session).next_identity(image.captured_at, trigger)
        if not is_check:
            self._captured.inc()
        with traces.capturing(identity) as trace:
            try:
                frame = self._undecoded_frame(identity, image) if image.pixels is None else self._frame(identity, image)
                with trace.step("store"):
                    added = self._outbox.add(frame, trace.headers)
            except (UnusableImage, ValidationError) as error:
                reason = " ".join(str(error).split())
                if is_check:
                    log.warning("dropping a frame of a check", reason=reason)
                else:
                    self._outbox.drop(reason)
                added = False
            if not added:
                trace.end("dropped")
            if not added and not is_check:
                self._dropped.inc()
        return identity if added else None

    def _frame(self, identity: FrameIdentity, image: CapturedImage) -> FrameCaptured:
        """Crop, record and encode a decoded image; an uncropped file in the right encoding is sent unchanged."""
        pixels = image.pixels
        assert pixels is not None  # noqa: S101  the caller has checked
        if region := self._settings.roi:
            x, y, width, height = region
            size = f"{pixels.shape[1]} x {pixels.shape[0]}"
            pixels = pixels[y : y + height, x : x + width]
            if pixels.shape[:2] != (height, width):
                raise UnusableImage(f"the region of interest reaches beyond this image, which is {size}")
        self._recorder.write(pixels)
        encoding = self._settings.encoding
        if image.file and not region and image.file.encoding == encoding:
            content = image.file.content
        else:
            try:
                with traces.current().step("encode"):
                    content = encode(pixels, encoding, self._settings.jpeg_quality)
            except ValueError as error:
                raise UnusableImage(str(error)) from error
        height, width = pixels.shape[:2]
        kind = CheckFrame if identity.check else FrameCaptured
        return kind(frame=identity, encoding=encoding, width=width, height=height, image=content)

    def _undecoded_frame(self, identity: FrameIdentity, image: CapturedImage) -> FrameCaptured:
        """Make a frame of a file that can't be decoded. A worker gives it the verdict *error*, so it is counted."""
        if image.file is None:
            raise UnusableImage(image.problem)
        log.warning("an image can't be decoded; sending it as it is", frame_id=identity.frame_id, reason=image.problem)
        try:
            width, height = size_of(image.file.content)
        except UnreadableImage:
            width, height = 1, 1
        kind = CheckFrame if identity.check else FrameCaptured
        return kind(
            frame=identity,
            encoding=image.file.encoding,
            width=max(width, 1),
            height=max(height, 1),
            image=image.file.content,
        )
