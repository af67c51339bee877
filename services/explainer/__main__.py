"""Run ``python -m services.explainer``: the service; with a command: see `services.explainer.cli.commands`."""

from __future__ import annotations

from shared.shutdown import exit_on_signal

if __name__ == "__main__":
    exit_on_signal()  # before the imports, which take seconds

import sys
import threading
from contextlib import closing
from functools import partial

from services.explainer.cli.commands import app
from services.explainer.handler import Explainer
from services.explainer.image_store import ImageStore
from services.explainer.models import Models
from services.explainer.settings import ExplainerSettings
from shared.engines.quiet import import_quietly
from shared.environment import read_settings
from shared.health import SLOW_SECONDS, Health, serve_health
from shared.logging import configure_logging
from shared.messaging.loop import consume
from shared.removal_worker import RemovalWorker
from shared.service import WorkerReporter, await_broker, background_threads, run_service
from shared.storage.opening import open_store
from shared.topology import EXPLAINER_FLAGGED, EXPLAINER_REQUESTS
from shared.tracing.setup import configure_tracing


def main(stop: threading.Event) -> None:
    """Build the settings, the adapters and the handler, then run the loops."""
    settings = read_settings(ExplainerSettings)
    configure_logging("explainer", settings)
    configure_tracing("explainer")
    health = Health()
    serve_health(health, settings)

    store = open_store(settings)
    loading = import_quietly("services.explainer.loading")  # takes seconds; signals are handled by now
    loading.use_threads(settings.threads)
    models = Models(store, settings.models, partial(loading.load_model, threads=settings.threads))
    explainer = Explainer(models, ImageStore(store, settings.image_wait_seconds))

    with closing(await_broker(settings, stop)) as broker:
        health.add_check(broker.troubles)
        publisher = broker.publisher()
        reporter = WorkerReporter("explainer", publisher, model=lambda: models.last)
        explain = reporter.counting(explainer.explain)
        turn = partial(consume, publisher=publisher, handle=explain, most=settings.batch, wait_seconds=0.5, stop=stop)
        requests = broker.subscribe(EXPLAINER_REQUESTS, prefetch=settings.batch)
        with background_threads(
            stop,
            partial(reporter.run, settings.report_seconds, stop, health.add_loop("the reporter", SLOW_SECONDS)),
            partial(
                RemovalWorker(store, "explainer").run,
                stop,
                health.add_loop("the thread that removes heatmaps", SLOW_SECONDS),
            ),
            partial(turn, requests, health=health.add_loop("the loop of explainer.requests")),
        ):
            turn(broker.subscribe(EXPLAINER_FLAGGED, prefetch=2 * settings.batch), health=health)


if __name__ == "__main__":
    if sys.argv[1:]:
        app()
    else:
        run_service(main)
