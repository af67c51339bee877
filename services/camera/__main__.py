"""``python -m services.camera``."""

from __future__ import annotations

from shared.shutdown import Stop, leave_when_told

if __name__ == "__main__":
    leave_when_told()  # before the imports: they take seconds

from contextlib import closing
from functools import partial

from services.camera.capture_loop import Loop
from services.camera.errors import CameraError
from services.camera.frames import Handler
from services.camera.outbox import Outbox
from services.camera.pacemaker import Pulse
from services.camera.recorder import open_recorder
from services.camera.reporter import Reporter
from services.camera.sender import Sender
from services.camera.session import Session
from services.camera.settings import CameraSettings
from services.camera.sources.port import open_source
from shared.health import Health, configure_logging, serve_health
from shared.messaging import open_broker
from shared.service import run_service
from shared.settings import read_settings
from shared.storage import open_store

FAREWELL_SECONDS = 10.0
"""For the last report, and for closing, after the time that frames have."""


def main(stop: Stop) -> None:
    """Video, until the source ends or ``stop`` is set."""
    settings = read_settings(CameraSettings)
    stop.allow(settings.drain_seconds + FAREWELL_SECONDS)
    configure_logging("camera", settings)
    health = Health()
    serve_health(health, settings)

    session = Session.of(settings)
    with Outbox.of(settings, session.id) as outbox:
        reporter = Reporter(session, outbox, settings.report_seconds)
        sender = Sender(outbox, open_store(settings), reporter, partial(open_broker, settings), settings.window)
        health.watch(sender.troubles)
        pulse = Pulse(stop, health, sender.check)
        try:
            source = open_source(settings, reporter.tell)
        except CameraError as error:
            sender.send_what_waits(pulse, settings.drain_seconds, str(error))
            raise
        with closing(source), closing(open_recorder(settings, source)) as recorder:
            handler = Handler(settings, session, outbox, recorder)
            Loop(source, handler, outbox, sender, settings).run(pulse)


if __name__ == "__main__":
    run_service(main)
