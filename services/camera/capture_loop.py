"""The camera's loop: from the source to the outbox, until the source ends, the limit is reached or a signal comes."""

from __future__ import annotations

from dataclasses import dataclass

from services.camera.frames import Handler
from services.camera.outbox import Outbox
from services.camera.pacemaker import Pulse
from services.camera.sender import Sender
from services.camera.settings import CameraSettings
from services.camera.sources.port import Source
from shared.messages import CameraState


@dataclass(frozen=True)
class Loop:
    """A camera that is ready to video."""

    source: Source
    handler: Handler
    outbox: Outbox
    sender: Sender
    settings: CameraSettings

    def run(self, pulse: Pulse) -> None:
        """Keep every shot of the source as a frame, and see to it that the frames and the last report are sent."""
        self.sender.start()
        drain_seconds = self.settings.drain_seconds
        try:
            self._video(pulse)
        except Exception as error:
            reason = f"{type(error).__name__}: see the camera's log"
            self.sender.finish(pulse, drain_seconds, CameraState.FAILED, reason)
            raise
        reason = "told to stop" if pulse.stopped else ""
        self.sender.finish(pulse, drain_seconds, CameraState.FINISHED, reason)

    def _video(self, pulse: Pulse) -> None:
        for number, shot in enumerate(self.source.shots(pulse), start=1):
            self.sender.check()
            if self.source.patient and not self._wait_for_the_line(pulse):
                return
            self.handler.take(shot)
            if number == self.settings.frames:
                return

    def _wait_for_the_line(self, pulse: Pulse) -> bool:
        """A video that is played as fast as the line takes it is never more than a window ahead. Whether to go on."""
        while not self.outbox.wait_for_room(self.settings.window, 0.5):
            self.sender.check()
            if not pulse.beat():
                return False
        return True
