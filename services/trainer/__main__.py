"""Run the trainer's service (``python -m services.trainer``), or a command of `services.trainer.cli.commands`."""

from __future__ import annotations

from shared.shutdown import exit_on_signal

if __name__ == "__main__":
    exit_on_signal()  # before the imports: they take seconds

import sys
import threading
from contextlib import closing

from services.trainer.cli.commands import app
from services.trainer.handler import Commands
from services.trainer.jobs.measurement_jobs import MeasurementJobs
from services.trainer.jobs.measurer import Measurer
from services.trainer.jobs.runner import Runner
from services.trainer.jobs.trainings import Trainings
from services.trainer.promotion.promotions import Promotions
from services.trainer.settings import TrainerSettings
from shared.claims import Identity
from shared.environment import read_settings
from shared.health import SLOW_SECONDS, Health, serve_health
from shared.logging import configure_logging
from shared.messaging.loop import consume
from shared.service import await_broker, background_threads, run_service
from shared.storage.opening import open_store
from shared.topology import TRAINER_COMMANDS


def main(stop: threading.Event) -> None:
    """Run the service: settings, adapters, handler, threads."""
    settings = read_settings(TrainerSettings)
    configure_logging("trainer", settings)
    health = Health()
    serve_health(health, settings)

    store = open_store(settings)
    lease_seconds = settings.lease_seconds
    to_train, to_measure = threading.Event(), threading.Event()
    training, measuring = (
        health.add_loop(name, SLOW_SECONDS) for name in ("the thread that trains", "the thread that measures")
    )
    identity = Identity(settings.name, settings.work_folder)
    jobs = MeasurementJobs(store, identity.holder, lease_seconds)
    promotions = Promotions(store)
    trainings = Trainings(store, identity.holder, lease_seconds)

    with closing(await_broker(settings, stop)) as broker:
        health.add_check(broker.troubles)
        publisher = broker.publisher()
        if promoted := settings.initial_model and promotions.promote_initial_model(settings.initial_model):
            publisher.publish(promoted).result()
            promotions.record_published(promoted)
        runner = Runner(
            trainings,
            store,
            broker.publisher(),
            work_folder=settings.work_folder,
            requests_changed=to_train,
            stop=stop,
            lease_seconds=lease_seconds,
            health=training,
        )
        measurer = Measurer(
            jobs,
            promotions,
            store,
            broker.publisher(),
            jobs_changed=to_measure,
            stop=stop,
            lease_seconds=lease_seconds,
            health=measuring,
        )
        commands = Commands(trainings, promotions, jobs, to_train=to_train, to_measure=to_measure)
        with background_threads(stop, runner.run, measurer.run):
            subscription = broker.subscribe(TRAINER_COMMANDS, prefetch=1)
            consume(subscription, publisher, commands.handle, most=1, wait_seconds=0.5, stop=stop, health=health)


if __name__ == "__main__":
    if sys.argv[1:] in ([], ["serve"]):
        run_service(main)
    else:
        app()
