"""Capture frames from the source into the outbox, until the source ends, the limit is reached or the service stops."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from services.camera.frame_maker import FrameMaker
from services.camera.heartbeat import Heartbeat
from services.camera.outbox import Outbox
from services.camera.sender import Sender
from services.camera.settings import CameraSettings
from services.camera.sight import SightWatch
from services.camera.sources.captured_image import CapturedImage, Unreadable
from services.camera.sources.opening import Source
from services.camera.triggers.triggers import Triggers
from shared.messages import CameraSight, CameraState

TRIGGER_SECONDS: Final = 0.5
"""Most seconds that the loop waits for a trigger between two heartbeats."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CaptureLoop:
    """The loop that captures, and the objects that it uses."""

    source: Source
    frames: FrameMaker
    outbox: Outbox
    sender: Sender
    settings: CameraSettings
    sight: SightWatch
    triggers: Triggers

    def run(self, heartbeat: Heartbeat) -> None:
        """Store each image as a frame until the source ends; then send the waiting frames and the last report."""
        self.sender.start()
        drain_seconds = self.settings.drain_seconds
        try:
            try:
                self._capture(heartbeat)
            finally:
                self.triggers.close()  # before the last report, so that the report counts all triggers
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
        can_wait = self.source.can_wait and not self.settings.is_triggered
        for image in self._images(heartbeat):
            self.sender.check()
            if isinstance(image, Unreadable):
                self.frames.count_unreadable(image)
                continue
            pixels = image.pixels if self.source.is_live else None
            if pixels is not None and self.sight.check(pixels) is CameraSight.FROZEN:
                self.frames.count_unreadable(Unreadable("the camera is frozen: it sends the same image again"))
                continue
            # a source that can wait has at most `window` frames in the outbox
            while can_wait and not self.outbox.wait_for_room(self.settings.window, 0.5):
                self.sender.check()
                if not heartbeat.beat():
                    return
            if not self._add(image):
                continue
            captured += 1
            if captured == self.settings.frames:
                return

    def _images(self, heartbeat: Heartbeat) -> Iterator[CapturedImage | Unreadable]:
        """Yield the images of the source. If a triggered camera plays a file, read one image for each trigger."""
        self.triggers.set_state(CameraState.RUNNING)
        images = self.source.images(heartbeat)
        if not self.settings.is_triggered or self.source.is_live:
            yield from images
            return
        while heartbeat.beat():
            if self.triggers.wait(TRIGGER_SECONDS):
                image = next(images, None)
                if image is None:
                    return
                yield image

    def _add(self, image: CapturedImage) -> bool:
        """Make a frame of an image; return False if the camera is triggered and the image belongs to no trigger."""
        if not self.settings.is_triggered:
            self.frames.add(image)
            return True
        if image.pixels is None and image.file is None:
            return False  # this machine is too slow, and dropped the image
        pending = self.triggers.take(image.read_at if self.source.is_live else math.inf)
        if pending is None:
            return False
        if frame := self.frames.add(image, pending.trigger):
            self.triggers.captured(pending, frame)
        else:
            self.triggers.dropped(pending)
        return True
