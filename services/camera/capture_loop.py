"""Capture frames from the source into the outbox, until the source ends, the limit is reached or a signal comes."""

from __future__ import annotations

from dataclasses import dataclass

from services.camera.frames import FrameMaker
from services.camera.heartbeat import Heartbeat
from services.camera.outbox import Outbox
from services.camera.sender import Sender
from services.camera.settings import CameraSettings
from services.camera.sources.opening import Source
from shared.messages import CameraState


@dataclass(frozen=True)
class CaptureLoop:
    """A camera that is ready to capture."""

    source: Source
    frames: FrameMaker
    outbox: Outbox
    sender: Sender
    settings: CameraSettings

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
        reason = "told to stop" if heartbeat.stopped else ""
        self.sender.finish(heartbeat, drain_seconds, CameraState.FINISHED, reason)

    def _capture(self, heartbeat: Heartbeat) -> None:
        for number, image in enumerate(self.source.images(heartbeat), start=1):
            self.sender.check()
            # a source that can wait is never more than a window ahead of the line
            while self.source.can_wait and not self.outbox.wait_for_room(self.settings.window, 0.5):
                self.sender.check()
                if not heartbeat.beat():
                    return
            self.frames.add(image)
            if number == self.settings.frames:
                return
