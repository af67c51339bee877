"""The projection: the repositories of all features, and the table of the messages that each of them applies."""

from __future__ import annotations

from redis import Redis

from services.dashboard.access.audit import Audit
from services.dashboard.frames.repository import FrameRepository
from services.dashboard.frames.updaters import FrameUpdaters
from services.dashboard.ingest.projector import Projector
from services.dashboard.ingest.watermark import Watermark
from services.dashboard.line_recipes.repository import LineRecipeRepository
from services.dashboard.lines.repository import (
    CameraRepository,
    GatewayRepository,
    LineRepository,
    ThroughputRepository,
    WorkerRepository,
)
from services.dashboard.models.repository import ModelRepository
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.announcer import Announcer
from services.dashboard.store.counting import Counting
from services.dashboard.store.keys import Keys
from services.dashboard.trainings.repository import TrainingRepository


class Projection:
    """The repositories on one connection to Redis."""

    def __init__(
        self, redis: Redis, keys: Keys, settings: DashboardSettings, *, live: bool = True, audit: Audit | None = None
    ) -> None:
        """``live=False``: for messages of the archive, which are not announced and whose arrival is unknown.

        ``audit`` gets the changes of recipes that a gateway announces.
        """
        announcer = Announcer(redis, keys, live=live)
        self.counting = Counting(redis, keys, settings)
        self.lines = LineRepository(redis, keys)
        self.frames = FrameRepository(redis, keys, settings)
        self.cameras = CameraRepository(redis, keys, settings, live=live)
        self.throughput = ThroughputRepository(redis, keys)
        self.workers = WorkerRepository(redis, keys)
        self.gateways = GatewayRepository(redis, keys)
        self.line_recipes = LineRecipeRepository(redis, keys, audit)
        self.trainings = TrainingRepository(redis, keys, announcer)
        self.models = ModelRepository(redis, keys, announcer)
        self.watermark = Watermark(redis, keys)
        about_frames = FrameUpdaters(self.frames, self.counting, self.cameras, self.throughput, announcer)
        self.projector = Projector(
            self.watermark,
            {
                **about_frames.updaters,
                **self.cameras.updaters,
                **self.workers.updaters,
                **self.gateways.updaters,
                **self.line_recipes.updaters,
                **self.trainings.updaters,
                **self.models.updaters,
            },
        )
