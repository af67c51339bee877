"""Capture frames from the source into the outbox, until the source ends, the limit is reached or a signal comes."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from services.camera.frame_maker import FrameMaker
from services.camera.heartbeat import Heartbeat
from services.camera.outbox import Outbox
from services.camera.sender import Sender
from services.camera.settings import CameraSettings
from services.camera.sight import SightWatch
from services.camera.sources.captured_image import Unreadable
from services.camera.sources.opening import Source
from shared.messages import CameraSight, CameraState

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CaptureLoop:
    """A camera that is ready to capture."""

    source: Source
    frames: FrameMaker
    outbox: Outbox
    sender: Sender
    settings: CameraSettings
    sight: SightWatch

    def run(self, heartbeat: Heartbeat) -> None:
        """Store each image of the source as a frame, and send the frames and the last report."""
        self.sender.start()
        drain_seconds = self.settings.drain_seconds
        try:
            self._capture(heartbeat)
        except Exception as error:
            reason = f"{type(error).__name__}: see the camera's log"
            self.sender.finish(heartbeat, drain_seconds, CameraState.FAILED, reason)
            raise
        reasons = ["stopped on request"] if heartbeat.stopped else []
        counts = self.outbox.counts()
        if counts.unreadable:
            reasons.append(f"{counts.unreadable} images of the source could not be read")
            log.warning(
                "images of the source could not be read", unreadable=counts.unreadable, captured=counts.captured
            )
        self.sender.finish(heartbeat, drain_seconds, CameraState.FINISHED, "; ".join(reasons))

    def _capture(self, heartbeat: Heartbeat) -> None:
        captured = 0
        for image in self.source.images(heartbeat):
            self.sender.check()
            if isinstance(image, Unreadable):
                self.frames.count_unreadable(image)
                continue
            pixels = image.pixels if self.source.is_live else None
            if pixels is not None and self.sight.look(pixels) is CameraSight.FROZEN:
                self.frames.count_unreadable(Unreadable("the camera is frozen: it sends the same image again"))
                continue
            # a source that can wait is never more than a window ahead of the line
            while self.source.can_wait and not self.outbox.wait_for_room(self.settings.window, 0.5):
                self.sender.check()
                if not heartbeat.beat():
                    return
            self.frames.add(image)
            captured += 1
            if captured == self.settings.frames:
                return
