"""Tells every dashboard process what is new, through Redis, so that each can tell its pages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from redis import Redis

from services.dashboard.store.projection import Keys
from shared.messages import FrameIdentity

MOST_AT_ONCE: Final = 20
"""Frames of one batch that are announced; a page shows no more."""


class Announcer:
    """Publishes short notes: what is new, not what it says."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._channel = keys.events

    def frames(self, frames: Sequence[FrameIdentity]) -> None:
        """Flagged frames were judged or explained."""
        self._publish({"event": "frame", "id": frame.frame_id} for frame in frames[-MOST_AT_ONCE:])

    def trainings(self, training_ids: Iterable[str]) -> None:
        """Trainings went on."""
        self._publish({"event": "training", "id": training_id} for training_id in training_ids)

    def models(self, recipes: Iterable[str]) -> None:
        """Other models are in production."""
        self._publish({"event": "model", "id": recipe} for recipe in recipes)

    def _publish(self, notes: Iterable[dict[str, str]]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for note in notes:
            pipeline.publish(self._channel, json.dumps(note))
        pipeline.execute()
