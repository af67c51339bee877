"""The dashboard put together: from three adapters to a process that counts and answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from pydantic import BaseModel, RootModel
from redis import Redis

from services.dashboard.access import Audit
from services.dashboard.access.register import Register
from services.dashboard.access.service import Access
from services.dashboard.access.sessions import Sessions
from services.dashboard.access.throttle import Throttle
from services.dashboard.accounting.parked import ParkedMessages
from services.dashboard.accounting.service import AccountingService
from services.dashboard.app import Rooms, build_app
from services.dashboard.archive import Archive
from services.dashboard.commands import Commands
from services.dashboard.datasets.service import DatasetsService
from services.dashboard.frames.marks import Marks
from services.dashboard.frames.service import FramesService
from services.dashboard.handler import Handler
from services.dashboard.intake import Intake
from services.dashboard.labelling.room import LabellingRoom
from services.dashboard.lines.register import LineRegister
from services.dashboard.lines.schemas import WorkerView
from services.dashboard.lines.service import LinesService
from services.dashboard.live import Hub, Sources
from services.dashboard.models.comparisons import ComparisonsService
from services.dashboard.models.service import ModelsService
from services.dashboard.models.threshold_sets import ThresholdSets
from services.dashboard.pages.templating import Clock
from services.dashboard.parked import ParkedFrames
from services.dashboard.projection import Keys
from services.dashboard.quality.batches import BatchesService
from services.dashboard.quality.service import QualityService
from services.dashboard.readiness import Readiness
from services.dashboard.rebuild import Rebuilder
from services.dashboard.serving import serving
from services.dashboard.settings import DashboardSettings
from services.dashboard.trainings.service import TrainingsService
from services.dashboard.upkeep import Upkeep
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.topology import DASHBOARD_EXPLANATIONS, DASHBOARD_MODELS, DASHBOARD_REPORTS, DASHBOARD_VERDICTS

QUEUES: Final = (DASHBOARD_VERDICTS, DASHBOARD_EXPLANATIONS, DASHBOARD_MODELS, DASHBOARD_REPORTS)
PATIENCE: Final = 5.0
"""Seconds, at the end, for the archive to be written."""


class Dashboard:
    """Everything of one process. `running` is its whole life."""

    def __init__(
        self, settings: DashboardSettings, *, redis: Redis, broker: Broker, store: ObjectStore, stop: threading.Event
    ) -> None:
        """``stop`` ends it, and is set by it when it can't go on."""
        keys = Keys(settings.redis_prefix)
        self._settings = settings
        self._redis, self._keys, self._broker, self._store, self._stop = redis, keys, broker, store, stop
        self.handler = Handler(redis, keys, settings)
        self.archive = Archive(
            store,
            seconds=settings.segment_seconds,
            messages=settings.segment_messages,
            written=self.handler.watermark.note_written,
        )
        self.audit = Audit(store, stop)
        self.access = Access(
            Register(store),
            Sessions(
                redis,
                keys,
                idle=timedelta(hours=settings.session_idle_hours),
                longest=timedelta(days=settings.session_days),
            ),
            Throttle(redis, keys),
            self.audit,
            login=settings.login,
        )
        self.rebuilder = Rebuilder(redis, keys, settings, store)
        self.upkeep = Upkeep(self.rebuilder, self.handler.watermark, store, stop)
        self.intakes = [
            Intake(broker, queue, self.handler, self.archive, prefetch=settings.prefetch, stop=stop) for queue in QUEUES
        ]

    @property
    def well(self) -> bool:
        """Whether everything that takes in turns."""
        return all(intake.health.well for intake in self.intakes)

    @property
    def failed(self) -> bool:
        """Whether something unknown ended it."""
        return any(intake.failure for intake in self.intakes)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Take in and answer until the block ends; then finish what is under way."""
        rooms = self._furnish()
        try:
            with serving(build_app(self._settings, rooms), self._settings):
                self.upkeep.start()
                for intake in self.intakes:
                    intake.start(failed=self._stop.set)
                yield
                rooms.hub.close()
        finally:
            rooms.hub.close()
            rooms.labelling.close()
            self._close()

    def _close(self) -> None:
        self._stop.set()
        for intake in self.intakes:
            intake.join(PATIENCE)
        self.archive.close(PATIENCE)
        for intake in self.intakes:
            intake.join()
        self.upkeep.join()

    def _furnish(self) -> Rooms:
        """What the endpoints find in their rooms."""
        register = LineRegister(self._redis, self._keys)
        commands = Commands(self._broker.publisher(), self.handler, self.archive)
        lines = LinesService(register, self.handler, ParkedFrames(self._broker), self._settings)
        models = ModelsService(self._store, self.handler.moves, commands)
        frames = FramesService(self.handler.frames, register, self._store, commands, models.trust)
        trainings = TrainingsService(self.handler.trainings, models, commands)
        sources = Sources(
            states=lambda: _states(lines),
            by_id={"frame": frames.get, "training": trainings.get, "model": models.production},
        )
        marks = Marks(self._store, self.handler.frames)
        return Rooms(
            access=self.access,
            audit=self.audit,
            lines=lines,
            frames=frames,
            marks=marks,
            models=models,
            comparisons=ComparisonsService(self._store, commands),
            threshold_sets=ThresholdSets(self._store, self.handler.thresholds, models, commands),
            trainings=trainings,
            datasets=DatasetsService(self._store),
            hub=Hub(self._redis, self._keys, sources),
            readiness=self._readiness(),
            accounting=AccountingService(register, self.handler, ParkedMessages(self._broker, self._store)),
            quality=QualityService(register, self.handler.counting, self._settings),
            batches=BatchesService(register, self.handler.counting, frames),
            labelling=LabellingRoom(
                self._store,
                self.handler.frames,
                register,
                marks,
                upload_bytes=self._settings.upload_megabytes * 1_000_000,
                transfers=self._settings.transfers,
            ),
            clock=Clock(self._settings.working_day.zone),
        )

    def _readiness(self) -> Readiness:
        return Readiness(
            {
                "broker": lambda: self._broker.depth(DASHBOARD_VERDICTS.name),
                "redis": self._redis.ping,
                "storage": lambda: self._store.exists("verdicts/ready"),
                "counts": lambda: self.upkeep.unfinished,
                "intake": lambda: None if self.well else "stands still",
            }
        )


def _states(lines: LinesService) -> dict[str, BaseModel]:
    """What every page should know."""
    workers = RootModel[list[WorkerView]](lines.workers())
    return {**{f"line/{state.line}": state for state in lines.states()}, "workers": workers}
