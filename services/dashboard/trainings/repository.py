"""The repository of trainings in Redis: their requests and their progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast

from redis import Redis

from services.dashboard.ingest.projector import Updaters
from services.dashboard.store.announcer import Announcer
from services.dashboard.store.keys import Keys
from services.dashboard.store.latest import Latest
from shared.messages import ModelTrained, TrainingProgressed, TrainingRequested, TrainingState, decode

STARTED: Final = "started"
"""The field of the first report of a training's process; the others are named by the type of their message."""

TrainingMessage = TrainingRequested | TrainingProgressed | ModelTrained


@dataclass
class StoredTraining:
    """One training: the last message of each type about it."""

    training_id: str
    requested: TrainingRequested | None = None
    started: TrainingProgressed | None = None
    """The report that the last process of the training began."""
    progressed: TrainingProgressed | None = None
    trained: ModelTrained | None = None


class TrainingRepository:
    """The trainings."""

    def __init__(self, redis: Redis, keys: Keys, announcer: Announcer) -> None:
        self._redis = redis
        self._keys = keys
        self._latest = Latest(redis)
        self._announcer = announcer

    @property
    def updaters(self) -> Updaters:
        return dict.fromkeys((TrainingRequested, TrainingProgressed, ModelTrained), self.store)

    def store(self, messages: Sequence[TrainingMessage]) -> None:
        """Store requests and the trainer's reports, and announce the trainings that they concern."""
        for message in messages:
            text = message.encode().decode()
            self._latest.put(self._keys.training(message.training_id), type(message).__name__, message.at, text)
            if isinstance(message, TrainingProgressed) and _is_start(message):
                self._latest.put(self._keys.training(message.training_id), STARTED, message.at, text)
            if isinstance(message, TrainingProgressed) and message.metrics:
                self._latest.put(self._keys.epochs(message.training_id), f"{message.epoch:04d}", message.at, text)
            self._redis.zadd(self._keys.trainings, {message.training_id: message.at.timestamp()}, lt=True)
        self._announcer.announce_trainings({message.training_id for message in messages})

    def find(self, training_id: str) -> StoredTraining | None:
        """Return one training; None if there is no message about it."""
        texts = self._latest.all(self._keys.training(training_id))
        if not texts:
            return None
        training = StoredTraining(training_id)
        for name, text in texts.items():
            match decode(text.encode()):
                case TrainingProgressed() as started if name == STARTED:
                    training.started = started
                case TrainingRequested() as requested:
                    training.requested = requested
                case TrainingProgressed() as progressed:
                    training.progressed = progressed
                case ModelTrained() as trained:
                    training.trained = trained
        return training

    def epochs(self, training_id: str) -> list[TrainingProgressed]:
        """Return the last report of each epoch, in their order."""
        messages = (decode(text.encode()) for text in self._latest.all(self._keys.epochs(training_id)).values())
        return [message for message in messages if isinstance(message, TrainingProgressed)]

    def ids(self) -> list[tuple[str, datetime]]:
        """Return the id of every training, with the time of the first message about it."""
        stored = cast("list[tuple[str, float]]", self._redis.zrange(self._keys.trainings, 0, -1, withscores=True))
        return [(training_id, datetime.fromtimestamp(moment, UTC)) for training_id, moment in stored]


def _is_start(message: TrainingProgressed) -> bool:
    """Return whether a report is the first one of a process."""
    return message.state is TrainingState.RUNNING and not (message.epoch or message.stage)
