"""Run an inference worker: ``python -m services.inference``."""

from __future__ import annotations

from shared.shutdown import exit_on_signal

if __name__ == "__main__":
    exit_on_signal()  # before the imports, which take seconds

import threading
from contextlib import closing
from functools import partial

from services.inference.deferred import DeferredWork
from services.inference.handler import Inspector
from services.inference.image_store import ImageStore
from services.inference.live_images import LiveImages
from services.inference.microbatch import MicroBatches
from services.inference.model import load_model
from services.inference.models import Models
from services.inference.settings import InferenceSettings
from shared.environment import read_settings
from shared.health import SLOW_SECONDS, Health, serve_health
from shared.logging import configure_logging
from shared.messaging.loop import AHEAD, consume
from shared.removal_worker import RemovalWorker
from shared.service import WorkerReporter, await_broker, background_threads, run_service
from shared.storage.opening import open_store
from shared.topology import INFERENCE_FRAMES, INFERENCE_IMAGES, PROMOTIONS
from shared.tracing.setup import configure_tracing


def main(stop: threading.Event) -> None:
    """Build the settings, the adapters and the handlers, then run the loops."""
    settings = read_settings(InferenceSettings)
    configure_logging("inference", settings)
    configure_tracing("inference")
    health = Health()
    serve_health(health, settings)

    store = open_store(settings)
    load = partial(
        load_model,
        kind=settings.engine,
        variant=settings.variant,
        threads=settings.threads,
        largest_batch=settings.batch,
    )
    models = Models(store, settings.recipe, load, most=settings.models)
    threading.Thread(target=models.usual.check, name="first model", daemon=True).start()  # while the broker is awaited
    images = ImageStore(store, wait_seconds=settings.storage_wait_seconds, pause_seconds=settings.storage_pause_seconds)
    inspector = Inspector(models, images, LiveImages(store, settings.live_seconds))

    with closing(await_broker(settings, stop)) as broker:
        health.add_check(broker.troubles)
        publisher = broker.publisher()
        reporter = WorkerReporter(
            "inference", publisher, model=lambda: models.name, trouble=lambda: models.usual.trouble
        )
        promotions = broker.subscribe(PROMOTIONS, prefetch=100)
        finish_deferred = partial(
            consume, broker.subscribe(INFERENCE_IMAGES, prefetch=16), publisher, DeferredWork(store).finish
        )
        deferred = health.add_loop("the loop of inference.images")
        following = health.add_loop("the thread that loads models", SLOW_SECONDS)
        with background_threads(
            stop,
            partial(models.follow, promotions, settings.model_check_seconds, stop, following),
            partial(reporter.run, settings.report_seconds, stop, health.add_loop("the reporter", SLOW_SECONDS)),
            partial(
                RemovalWorker(store, "inference").run,
                stop,
                health.add_loop("the thread that removes images", SLOW_SECONDS),
            ),
            partial(finish_deferred, most=16, wait_seconds=0.5, stop=stop, health=deferred),
        ):
            models.usual.wait(stop, health)
            frames = broker.subscribe(INFERENCE_FRAMES, prefetch=(AHEAD + 1) * settings.batch)
            batches = MicroBatches(frames, settings.batch_wait_ms / 1000)
            inspect = reporter.counting(inspector.inspect)
            consume(batches, publisher, inspect, most=settings.batch, wait_seconds=0.5, stop=stop, health=health)


if __name__ == "__main__":
    run_service(main)
