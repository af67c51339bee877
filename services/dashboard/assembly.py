"""The dashboard put together: from three adapters to a process that counts and answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

import structlog
from pydantic import BaseModel, RootModel
from redis import Redis

from services.dashboard.access import Audit
from services.dashboard.access.audit import audit_store
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.access.service import AccessService
from services.dashboard.access.sessions import Sessions
from services.dashboard.access.throttle import Throttle
from services.dashboard.accounting.parked import ParkedMessages
from services.dashboard.accounting.service import AccountingService
from services.dashboard.app import build_app
from services.dashboard.datasets.service import DatasetsService
from services.dashboard.frames.marks import Marks
from services.dashboard.frames.service import FramesService
from services.dashboard.ingest.archive import Archive
from services.dashboard.ingest.commands import CommandPublisher
from services.dashboard.ingest.consumer import QueueIngest
from services.dashboard.ingest.rebuild import Rebuilder
from services.dashboard.ingest.upkeep import Upkeep
from services.dashboard.labelling.services import LabellingServices
from services.dashboard.labelling.videos.repository import sweep
from services.dashboard.lines.parked_frames import ParkedFrames
from services.dashboard.lines.schemas import WorkerView
from services.dashboard.lines.service import LinesService
from services.dashboard.live.hub import Hub, Sources
from services.dashboard.models.comparisons import ComparisonsService
from services.dashboard.models.pages import ListedTrainings
from services.dashboard.models.service import ModelsService
from services.dashboard.models.threshold_sets import ThresholdSetsService
from services.dashboard.projection import Projection
from services.dashboard.quality.batches import BatchesService
from services.dashboard.quality.service import QualityService
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.connection import fail_fast_redis
from services.dashboard.store.fail_fast import FailFastStore
from services.dashboard.store.keys import Keys
from services.dashboard.trainings.service import TrainingsService
from services.dashboard.web.readiness import Check, Readiness
from services.dashboard.web.server import serving
from services.dashboard.web.services import Services
from services.dashboard.web.templating import Clock
from shared.health import SILENCE_SECONDS
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.topology import DASHBOARD_EXPLANATIONS, DASHBOARD_MODELS, DASHBOARD_REPORTS, DASHBOARD_VERDICTS

_log = structlog.stdlib.get_logger("dashboard")

QUEUES: Final = (DASHBOARD_VERDICTS, DASHBOARD_EXPLANATIONS, DASHBOARD_MODELS, DASHBOARD_REPORTS)
PATIENCE: Final = 5.0
"""Seconds, at the end, for the archive to be written."""
LAST_SECONDS: Final = 2.0
"""For what hangs then: it is left behind, and what it held comes again."""


class Dashboard:
    """Everything of one process. `running` is its whole life."""

    def __init__(
        self, settings: DashboardSettings, *, redis: Redis, broker: Broker, store: ObjectStore, stop: threading.Event
    ) -> None:
        """``stop`` ends it, and is set by it when it can't go on."""
        keys = Keys(settings.redis_prefix)
        self._settings = settings
        self._redis, self._keys, self._broker, self._store, self._stop = redis, keys, broker, store, stop
        self.readiness = self._readiness()
        self._asked_redis = fail_fast_redis(redis, lambda: self.readiness.reason("redis"))
        self._asked_store = FailFastStore(store, lambda: self.readiness.reason("storage"))
        self._asked = Projection(self._asked_redis, keys, settings)
        """For requests, which fail fast; messages are applied through a connection that waits for Redis."""
        self.projector = Projection(redis, keys, settings).projector
        self.archive = Archive(
            store,
            seconds=settings.segment_seconds,
            messages=settings.segment_messages,
            written=self.projector.watermark.note_written,
        )
        self.audit = Audit(FailFastStore(audit_store(settings, store), lambda: self.readiness.reason("storage")), stop)
        self.access = AccessService(
            PeopleRepository(self._asked_store),
            Sessions(
                self._asked_redis,
                keys,
                idle=timedelta(hours=settings.session_idle_hours),
                longest=timedelta(days=settings.session_days),
            ),
            Throttle(self._asked_redis, keys),
            self.audit,
            login=settings.login,
        )
        self.rebuilder = build_rebuilder(redis, keys, settings, store)
        self.upkeep = Upkeep(
            self.rebuilder, self.projector.watermark, store, stop, tasks=[lambda now: _sweep_uploads(store, now)]
        )
        self.intakes = [
            QueueIngest(broker, queue, self.projector, self.archive, prefetch=settings.prefetch, stop=stop)
            for queue in QUEUES
        ]

    @property
    def well(self) -> bool:
        """Whether everything that takes in turns."""
        return all(intake.health.well for intake in self.intakes)

    @property
    def troubles(self) -> Sequence[str]:
        """What stands still; see `shared.health.Wellness`."""
        standing = [trouble for intake in self.intakes for trouble in intake.health.troubles]
        return [*standing, *self._broker.troubles(SILENCE_SECONDS)]

    @property
    def failed(self) -> bool:
        """Whether something unknown ended it."""
        return any(intake.failure for intake in self.intakes)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Take in and answer until the block ends; then finish what is under way."""
        self.readiness.start()
        services, hub, labelling = self._services()
        app, answer = build_app(self._settings, services)
        try:
            with serving(app, answer, self._settings):
                self.upkeep.start()
                for intake in self.intakes:
                    intake.start(failed=self._stop.set)
                yield
                hub.close()
        finally:
            hub.close()
            labelling.close()
            self.readiness.close()
            self._close()

    def _close(self) -> None:
        self._stop.set()
        until = time.monotonic() + PATIENCE
        for intake in self.intakes:
            intake.join(max(0.0, until - time.monotonic()))
        self.archive.close(PATIENCE)
        until = time.monotonic() + LAST_SECONDS
        for join in (*(intake.join for intake in self.intakes), self.upkeep.join):
            join(max(0.0, until - time.monotonic()))

    def _services(self) -> tuple[Services, Hub, LabellingServices]:
        """Build the services that the endpoints use."""
        asked, store, settings = self._asked, self._asked_store, self._settings
        commands = CommandPublisher(
            self._broker.publisher(),
            asked.projector,
            self.archive,
            redis_away=lambda: self.readiness.reason("redis"),
        )
        lines = LinesService(
            asked.lines,
            asked.counting,
            asked.cameras,
            asked.workers,
            asked.throughput,
            last_verdicts=asked.frames,
            parked_frames=ParkedFrames(self._broker, lambda: self.readiness.reason("broker")),
            settings=settings,
        )
        models = ModelsService(store, asked.models, commands)
        frames = FramesService(asked.frames, asked.lines, store, commands, models.trust)
        trainings = TrainingsService(asked.trainings, models, commands)
        sources = Sources(
            states=lambda: _states(lines),
            by_id={"frame": frames.get, "training": trainings.get, "model": models.production},
            away=self.readiness.away,
        )
        parked = ParkedMessages(self._broker, store)
        parked.prepare()
        marks = Marks(store, asked.frames)
        hub = Hub(self._asked_redis, self._keys, sources)
        labelling = LabellingServices(
            store,
            asked.frames,
            asked.lines,
            marks,
            upload_bytes=settings.upload_megabytes * 1_000_000,
            transfers=settings.transfers,
        )
        services = Services(
            self.access,
            self.access.people,
            self.audit,
            lines,
            frames,
            marks,
            models,
            ComparisonsService(store, commands),
            ThresholdSetsService(store, asked.models, models, commands),
            trainings,
            ListedTrainings(trainings.page),
            DatasetsService(store),
            hub,
            self.readiness,
            AccountingService(asked.lines, asked.counting, asked.cameras, asked.watermark, parked),
            QualityService(asked.lines, asked.counting, settings),
            BatchesService(asked.lines, asked.counting, frames),
            labelling,
            Clock(settings.working_day.zone),
        )
        return services, hub, labelling

    def _readiness(self) -> Readiness:
        probe = fail_fast_redis(self._redis, lambda: None)
        return Readiness(
            {
                "broker": Check(
                    lambda: self._broker.depth(DASHBOARD_VERDICTS.name),
                    every_seconds=2.0,
                    consequence="The message broker is away: nothing new arrives, and nothing can be requested.",
                ),
                "redis": Check(probe.ping, consequence="Redis is away: counts, frames and states can't be shown."),
                "storage": Check(
                    lambda: self._store.exists("verdicts/ready"),
                    consequence="Object storage is away: images, models and labels can't be shown or stored.",
                ),
                "counts": Check(lambda: self.upkeep.unfinished),
                "ingest": Check(lambda: None if self.well else "stalled"),
            }
        )


def _states(lines: LinesService) -> dict[str, BaseModel]:
    """What every page should know."""
    workers = RootModel[list[WorkerView]](lines.workers())
    return {**{f"line/{state.line}": state for state in lines.states()}, "workers": workers}


def build_rebuilder(redis: Redis, keys: Keys, settings: DashboardSettings, store: ObjectStore) -> Rebuilder:
    """Return what builds the projection from the archive."""
    return Rebuilder(redis, keys, settings, store, Projection(redis, keys, settings, live=False).projector)


def _sweep_uploads(store: ObjectStore, now: datetime) -> None:
    if videos := sweep(store, now):
        _log.info("removed incomplete uploads", uploads=videos)
