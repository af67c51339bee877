"""The projection: the repositories of all features, and the table of the messages that each of them applies."""

from __future__ import annotations

from redis import Redis

from services.dashboard.frames.projection import FrameProjection
from services.dashboard.frames.repository import FrameIndex
from services.dashboard.ingest.projector import Projector
from services.dashboard.ingest.watermark import Watermark
from services.dashboard.lines.cameras import Cameras
from services.dashboard.lines.register import LineRegister
from services.dashboard.lines.throughput import Pulse
from services.dashboard.lines.workers import Workers
from services.dashboard.models.moves import Moves
from services.dashboard.models.words import ThresholdWords
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.announcer import Announcer
from services.dashboard.store.counting import Counting
from services.dashboard.store.keys import Keys
from services.dashboard.trainings.repository import Trainings


class Projection:
    """The repositories on one connection to Redis."""

    def __init__(self, redis: Redis, keys: Keys, settings: DashboardSettings, *, live: bool = True) -> None:
        """``live=False``: for messages of the archive, which are not announced and whose arrival is unknown."""
        announcer = Announcer(redis, keys, live=live)
        self.counting = Counting(redis, keys, settings)
        self.lines = LineRegister(redis, keys)
        self.frames = FrameIndex(redis, keys, settings)
        self.cameras = Cameras(redis, keys, settings, live=live)
        self.pulse = Pulse(redis, keys)
        self.workers = Workers(redis, keys)
        self.trainings = Trainings(redis, keys, announcer)
        self.moves = Moves(redis, keys, announcer)
        self.thresholds = ThresholdWords(redis, keys, announcer)
        self.watermark = Watermark(redis, keys)
        about_frames = FrameProjection(self.frames, self.counting, self.cameras, self.pulse, announcer)
        self.projector = Projector(
            self.watermark,
            {
                **about_frames.appliers,
                **self.cameras.appliers,
                **self.workers.appliers,
                **self.trainings.appliers,
                **self.moves.appliers,
                **self.thresholds.appliers,
            },
        )
