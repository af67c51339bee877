"""The register of trainings: what was asked for and how far each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from redis import Redis

from services.dashboard.ingest.projector import Appliers
from services.dashboard.store.announcer import Announcer
from services.dashboard.store.keys import Keys
from services.dashboard.store.latest import Latest
from shared.messages import ModelTrained, TrainingProgressed, TrainingRequested, decode

Word = TrainingRequested | TrainingProgressed | ModelTrained


@dataclass
class KnownTraining:
    """One training: the last of each message about it."""

    training_id: str
    requested: TrainingRequested | None = None
    progressed: TrainingProgressed | None = None
    trained: ModelTrained | None = None


class Trainings:
    """The trainings in Redis."""

    def __init__(self, redis: Redis, keys: Keys, announcer: Announcer) -> None:
        self._redis = redis
        self._keys = keys
        self._latest = Latest(redis)
        self._announcer = announcer

    @property
    def appliers(self) -> Appliers:
        return dict.fromkeys((TrainingRequested, TrainingProgressed, ModelTrained), self.note)

    def note(self, words: Sequence[Word]) -> None:
        """Take in requests and what the trainer says of them."""
        for word in words:
            match word:
                case TrainingRequested():
                    at = word.at
                case TrainingProgressed():
                    at = word.at
                case ModelTrained():
                    at = word.at
            key = self._keys.training(word.training_id)
            self._latest.put(key, type(word).__name__, at, word.encode().decode())
            if isinstance(word, TrainingProgressed) and word.metrics:
                self._latest.put(self._keys.epochs(word.training_id), f"{word.epoch:04d}", at, word.encode().decode())
            self._redis.zadd(self._keys.trainings, {word.training_id: at.timestamp()}, lt=True)
        self._announcer.trainings({word.training_id for word in words})

    def find(self, training_id: str) -> KnownTraining | None:
        """One training; None when nothing was ever heard of it."""
        texts = self._latest.all(self._keys.training(training_id)).values()
        if not texts:
            return None
        training = KnownTraining(training_id)
        for text in texts:
            match decode(text.encode()):
                case TrainingRequested() as requested:
                    training.requested = requested
                case TrainingProgressed() as progressed:
                    training.progressed = progressed
                case ModelTrained() as trained:
                    training.trained = trained
        return training

    def epochs(self, training_id: str) -> list[TrainingProgressed]:
        """What was told of each epoch, in their order."""
        told = (decode(text.encode()) for text in self._latest.all(self._keys.epochs(training_id)).values())
        return [word for word in told if isinstance(word, TrainingProgressed)]

    def ids(self) -> list[tuple[str, datetime]]:
        """Every training, and when it was first heard of."""
        known = cast("list[tuple[str, float]]", self._redis.zrange(self._keys.trainings, 0, -1, withscores=True))
        return [(training_id, datetime.fromtimestamp(moment, UTC)) for training_id, moment in known]
