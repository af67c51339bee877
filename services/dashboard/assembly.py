"""Build the dashboard from its adapters: Redis, the broker and object storage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from pydantic import RootModel
from redis import Redis

from services.dashboard.access.audit import Audit, audit_store
from services.dashboard.access.pages import SubjectNames
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.access.service import AccessService
from services.dashboard.access.sessions import Sessions
from services.dashboard.access.throttle import Throttle
from services.dashboard.accounting.parked import ParkedMessages
from services.dashboard.accounting.service import AccountingService
from services.dashboard.checks.labelled_parts import LabelledPartsService
from services.dashboard.checks.recorder import CheckRecorder
from services.dashboard.checks.repository import ChallengeRepository, CheckRepository, CheckRequests
from services.dashboard.checks.service import ChecksService
from services.dashboard.datasets.service import DatasetsService
from services.dashboard.frames.marks import Marks
from services.dashboard.frames.service import FramesService
from services.dashboard.ingest.archive import Archive
from services.dashboard.ingest.command_publisher import CommandPublisher
from services.dashboard.ingest.condensing import Condenser
from services.dashboard.ingest.projector import Projector
from services.dashboard.ingest.queue_ingest import QueueIngest
from services.dashboard.ingest.rebuild import Rebuilder
from services.dashboard.ingest.upkeep import Upkeep
from services.dashboard.labelling.assembly import LabellingServices
from services.dashboard.labelling.videos.cleanup import delete_incomplete_uploads
from services.dashboard.line_recipes.service import LineRecipesService
from services.dashboard.lines.camera_images import CameraImages
from services.dashboard.lines.parked_frames import ParkedFrames
from services.dashboard.lines.repository import LineRepository
from services.dashboard.lines.schemas import WorkerView
from services.dashboard.lines.service import LinesService
from services.dashboard.live.hub import Hub, LiveSources
from services.dashboard.models.comparisons import ComparisonsService
from services.dashboard.models.dataset_images import DatasetImages
from services.dashboard.models.names import VersionNames
from services.dashboard.models.pages import ListedTrainings
from services.dashboard.models.service import ModelsService
from services.dashboard.models.threshold_sets import ThresholdSetsService
from services.dashboard.models.yesterday import YesterdayFrames
from services.dashboard.projection import Projection
from services.dashboard.quality.batches import BatchesService
from services.dashboard.quality.service import QualityService
from services.dashboard.recipes.service import RecipesService
from services.dashboard.retention.enforcement import RetentionEnforcer
from services.dashboard.retention.referenced_frames import ReferencedFramesReader
from services.dashboard.retention.repository import StorageRepository
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.connection import fail_fast_redis
from services.dashboard.store.counting import Counting
from services.dashboard.store.fail_fast import FailFastStore
from services.dashboard.store.keys import Keys
from services.dashboard.trainings.estimate import EstimatesService
from services.dashboard.trainings.service import TrainingsService
from services.dashboard.web.readiness import Check, Readiness
from services.dashboard.web.service_registry import Services
from services.dashboard.web.templating import Clock
from shared.health import SILENCE_SECONDS
from shared.messages import LineChecked
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.topology import (
    DASHBOARD_CHECKS,
    DASHBOARD_EXPLANATIONS,
    DASHBOARD_MODELS,
    DASHBOARD_PARTS,
    DASHBOARD_REPORTS,
    DASHBOARD_VERDICTS,
)
from shared.validation import marked

_log = structlog.stdlib.get_logger("dashboard")

QUEUES: Final = (DASHBOARD_VERDICTS, DASHBOARD_PARTS, DASHBOARD_EXPLANATIONS, DASHBOARD_MODELS, DASHBOARD_REPORTS)
STOP_SECONDS: Final = 5.0
"""Most seconds to finish the ingests when the dashboard stops, and after that again to write the archive."""
HANGING_THREAD_SECONDS: Final = 2.0
"""Most seconds to wait, after that, for threads that still run. The broker delivers their messages again."""


Serve = Callable[[Services], AbstractContextManager[None]]
"""Serve requests with these services while a block runs."""


class Dashboard:
    """The threads and services of one process, which work while the block of `running` runs."""

    def __init__(
        self, settings: DashboardSettings, *, redis: Redis, broker: Broker, store: ObjectStore, stop: threading.Event
    ) -> None:
        """``stop`` is set to end the dashboard; an unexpected error in a thread sets it too."""
        keys = Keys(settings.redis_prefix)
        self._settings = settings
        self._keys, self._broker, self._store, self._stop = keys, broker, store, stop
        # never refuses: the check must reach Redis also while Redis counts as away
        probe = fail_fast_redis(redis, lambda: None)
        self.readiness = Readiness(
            {
                "broker": Check(
                    lambda: broker.depth(DASHBOARD_VERDICTS.name),
                    every_seconds=2.0,
                    consequence=marked(
                        "The message broker is away: nothing new arrives, and nothing can be requested."
                    ),
                ),
                "redis": Check(
                    probe.ping, consequence=marked("Redis is away: counts, frames and states can't be shown.")
                ),
                "storage": Check(
                    lambda: store.exists("verdicts/ready"),  # any key: only an error matters
                    consequence=marked("Object storage is away: images, models and labels can't be shown or stored."),
                ),
                "counts": Check(
                    lambda: self.upkeep.unfinished,
                    notice=marked(
                        "The counts are being rebuilt from the archive: until that has ended, figures are too small."
                    ),
                ),
                "ingest": Check(lambda: None if self.healthy else "stalled"),
            }
        )
        self._request_redis = fail_fast_redis(redis, lambda: self.readiness.reason("redis"))
        self._request_store = FailFastStore(store, lambda: self.readiness.reason("storage"))
        self._projection = Projection(self._request_redis, keys, settings)
        """The projection that requests read. They fail at once while Redis is away; `projector` waits for it."""
        audit_objects = audit_store(settings, store)
        self.audit = Audit(FailFastStore(audit_objects, lambda: self.readiness.reason("storage")), stop)
        self.projector = Projection(redis, keys, settings, audit=self.audit).projector
        self.archive = Archive(
            store,
            seconds=settings.segment_seconds,
            messages=settings.segment_messages,
            written=self.projector.watermark.note_written,
        )
        self.access = AccessService(
            PeopleRepository(self._request_store),
            Sessions(
                self._request_redis,
                keys,
                idle=timedelta(hours=settings.session_idle_hours),
                longest=timedelta(days=settings.session_days),
            ),
            Throttle(self._request_redis, keys),
            self.audit,
            login=settings.login,
        )
        self.rebuilder = build_rebuilder(redis, keys, settings, store)

        counting = Counting(redis, keys, settings)
        self.retention = RetentionEnforcer(
            settings,
            store=store,
            audit_store=audit_objects,
            audit=self.audit,
            references=ReferencedFramesReader(store, LineRepository(redis, keys), counting),
            condenser=Condenser(store, self.projector.watermark, counting),
            repository=StorageRepository(redis, keys),
            ready=lambda: self.upkeep.unfinished is None,
            stop=stop,
        )
        self.upkeep = Upkeep(
            self.rebuilder, self.projector.watermark, store, stop, tasks=[partial(delete_incomplete_uploads, store)]
        )
        self.ingests = [
            QueueIngest(broker, queue, self.projector, self.archive, prefetch=settings.prefetch, stop=stop)
            for queue in QUEUES
        ]
        recorder = CheckRecorder(store, CheckRequests(redis, keys), self.audit)
        checks = Projector(self.projector.watermark, {LineChecked: recorder.record})
        self.ingests.append(
            QueueIngest(broker, DASHBOARD_CHECKS, checks, self.archive, prefetch=settings.prefetch, stop=stop)
        )

    @property
    def healthy(self) -> bool:
        """Return whether the ingest of every queue is healthy."""
        return all(ingest.health.healthy for ingest in self.ingests)

    @property
    def troubles(self) -> Sequence[str]:
        """Return what is stalled; see `shared.health.HealthCheck`."""
        stalled = [trouble for ingest in self.ingests for trouble in ingest.health.troubles]
        return [*stalled, *self._broker.troubles(SILENCE_SECONDS)]

    @property
    def failed(self) -> bool:
        """Return whether an unexpected error ended the ingest of a queue."""
        return any(ingest.failure for ingest in self.ingests)

    @contextmanager
    def running(self, serve: Serve) -> Iterator[None]:
        """Ingest messages and serve requests until the block ends.

        Messages and requests that have begun are then finished, within the time limits.
        """
        self.readiness.start()
        services, hub, labelling = self._build_services()
        try:
            with serve(services):
                self.upkeep.start()
                self.retention.start()
                for ingest in self.ingests:
                    ingest.start(failed=self._stop.set)
                yield
                hub.close()  # before the server stops, because open streams of live events would delay it
        finally:
            hub.close()
            labelling.close()
            self.readiness.close()
            self._stop.set()
            until = time.monotonic() + STOP_SECONDS
            for ingest in self.ingests:
                ingest.join(max(0.0, until - time.monotonic()))
            self.archive.close(STOP_SECONDS)
            until = time.monotonic() + HANGING_THREAD_SECONDS
            for join in (*(ingest.join for ingest in self.ingests), self.upkeep.join, self.retention.join):
                join(max(0.0, until - time.monotonic()))

    def _build_services(self) -> tuple[Services, Hub, LabellingServices]:
        """Build the services that the endpoints use; the caller closes the hub and the labelling services."""
        projection, store, settings = self._projection, self._request_store, self._settings
        commands = CommandPublisher(
            self._broker.publisher(),
            projection.projector,
            self.archive,
            redis_away=lambda: self.readiness.reason("redis"),
        )
        lines = LinesService(
            projection.lines,
            projection.counting,
            projection.cameras,
            projection.workers,
            projection.throughput,
            gateways=projection.gateways,
            commands=commands,
            last_verdicts=projection.frames,
            parked_frames=ParkedFrames(self._broker, lambda: self.readiness.reason("broker")),
            incomplete_counts=lambda: self.upkeep.unfinished is not None,
            settings=settings,
        )
        names = VersionNames(store)
        models = ModelsService(store, projection.models, names, commands)
        frames = FramesService(projection.frames, projection.lines, store, commands, models.trust)
        recipes, datasets = RecipesService(store), DatasetsService(store)
        trainings = TrainingsService(projection.trainings, models, recipes, names, commands)
        records = CheckRepository(store)
        sources = LiveSources(
            states=lambda: {
                **{f"line/{state.line}": state for state in lines.states()},
                "workers": RootModel[list[WorkerView]](lines.workers()),
            },
            by_id={"frame": frames.get, "training": trainings.get, "model": models.production},
            away=self.readiness.notices,
        )
        parked = ParkedMessages(self._broker, store)
        parked.prepare()
        marks = Marks(store, projection.frames)
        hub = Hub(self._request_redis, self._keys, sources)
        labelling = LabellingServices(
            store,
            projection.frames,
            projection.lines,
            marks,
            upload_bytes=settings.upload_megabytes * 1_000_000,
            transfers=settings.transfers,
        )
        dataset_images = DatasetImages(store)
        checks = ChecksService(
            lines,
            frames,
            ChallengeRepository(store),
            records=records,
            requests=CheckRequests(self._request_redis, self._keys),
            commands=commands,
            recipe_of=models.recipe,
        )
        services = Services(
            self.access,
            self.access.people,
            self.audit,
            lines,
            checks,
            LabelledPartsService(store, lines, checks, dataset_images),
            LineRecipesService(
                lines,
                projection.line_recipes,
                store,
                commands,
                silence=timedelta(seconds=settings.silence_seconds),
            ),
            CameraImages(store),
            frames,
            marks,
            models,
            names,
            SubjectNames(names.all),
            ComparisonsService(store, commands),
            ThresholdSetsService(
                store,
                projection.models,
                models,
                names,
                commands,
                images=dataset_images,
                frames=YesterdayFrames(store, settings.shift_times),
            ),
            recipes,
            trainings,
            EstimatesService(projection.trainings, models, datasets),
            ListedTrainings(trainings.page),
            datasets,
            hub,
            self.readiness,
            AccountingService(projection.lines, projection.counting, projection.cameras, projection.watermark, parked),
            QualityService(projection.lines, projection.counting, settings),
            BatchesService(projection.lines, projection.counting, frames, records),
            labelling,
            StorageRepository(self._request_redis, self._keys),
            Clock(settings.shift_times.zone),
        )
        return services, hub, labelling


def build_rebuilder(redis: Redis, keys: Keys, settings: DashboardSettings, store: ObjectStore) -> Rebuilder:
    """Return what rebuilds the projection in Redis from the archive, without live events."""
    return Rebuilder(redis, keys, settings, store, Projection(redis, keys, settings, live=False).projector)
