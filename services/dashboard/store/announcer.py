"""Announce changes to all dashboard processes through Redis, so that each can send them to its pages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from redis import Redis

from services.dashboard.store.keys import Keys
from shared.messages import FrameIdentity

MOST_AT_ONCE: Final = 20
"""Frames of one batch that are announced; a page shows no more."""


class Announcer:
    """Publishes notes: the kind and the id of what changed, without its content."""

    def __init__(self, redis: Redis, keys: Keys, *, live: bool = True) -> None:
        """Announce nothing unless `live`: a rebuild from the archive is no news."""
        self._redis = redis
        self._channel = keys.events
        self.live = live

    def announce_frames(self, frames: Sequence[FrameIdentity]) -> None:
        """Announce frames that were inspected or explained."""
        self._publish({"event": "frame", "id": frame.frame_id} for frame in frames[-MOST_AT_ONCE:])

    def announce_trainings(self, training_ids: Iterable[str]) -> None:
        self._publish({"event": "training", "id": training_id} for training_id in training_ids)

    def announce_models(self, recipes: Iterable[str]) -> None:
        """Announce recipes whose promotions or threshold sets changed."""
        self._publish({"event": "model", "id": recipe} for recipe in recipes)

    def _publish(self, notes: Iterable[dict[str, str]]) -> None:
        if self.live:
            pipeline = self._redis.pipeline(transaction=False)
            for note in notes:
                pipeline.publish(self._channel, json.dumps(note))
            pipeline.execute()
