"""Run the camera: ``python -m services.camera``."""

from __future__ import annotations

from shared.shutdown import Stop, exit_on_signal

if __name__ == "__main__":
    exit_on_signal()  # before the imports, which take seconds

from contextlib import ExitStack, closing
from functools import partial

from services.camera.capture_loop import CaptureLoop
from services.camera.errors import CameraError
from services.camera.frame_identity import Session
from services.camera.frame_maker import FrameMaker
from services.camera.heartbeat import Heartbeat
from services.camera.line_recipe import RecipeListener
from services.camera.outbox import Outbox
from services.camera.recorder import open_recorder
from services.camera.reporter import CameraReporter
from services.camera.sender import Sender
from services.camera.settings import CameraSettings
from services.camera.sight import SightWatch
from services.camera.sources.opening import open_source
from services.camera.triggers.opening import open_triggers
from shared.environment import read_settings
from shared.health import Health, serve_health
from shared.logging import configure_logging
from shared.messages import CameraState
from shared.messaging import open_broker
from shared.service import run_service
from shared.storage.opening import open_store
from shared.tracing.setup import configure_tracing

CLOSING_SECONDS = 10.0
"""Seconds for the last report and for closing, after ``drain_seconds``."""


def main(stop: Stop) -> None:
    """Capture frames until the source ends or ``stop`` is set."""
    settings = read_settings(CameraSettings)
    stop.allow(settings.drain_seconds + CLOSING_SECONDS)
    configure_logging("camera", settings)
    configure_tracing("camera")
    health = Health()
    serve_health(health, settings)

    session = Session.of(settings)
    with Outbox.of(settings, session.id) as outbox, ExitStack() as opened:
        reporter = CameraReporter(session, outbox, settings.report_seconds)
        connect = partial(open_broker, settings)
        opened.enter_context(closing(RecipeListener(session.recipe, session.line, connect)))
        sender = Sender(outbox, open_store(settings), reporter, connect, settings.window)
        health.add_check(sender.troubles)
        heartbeat = Heartbeat(stop, health, sender.check)
        try:
            triggers = opened.enter_context(
                closing(open_triggers(settings, outbox.count_missed_trigger, session.recipe.refusal))
            )

            def set_state(state: CameraState, reason: str) -> None:
                reporter.set_state(state, reason)
                triggers.set_state(state, reason)

            source = opened.enter_context(closing(open_source(settings, set_state)))
        except CameraError as error:
            sender.send_remaining(heartbeat, settings.drain_seconds, str(error))
            raise
        recorder = opened.enter_context(closing(open_recorder(settings, source)))
        frames = FrameMaker(settings, session, outbox, recorder)
        sight = SightWatch(settings, reporter.set_sight)
        CaptureLoop(source, frames, outbox, sender, settings, sight, triggers).run(heartbeat)


if __name__ == "__main__":
    run_service(main)
