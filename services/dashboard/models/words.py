"""Threshold sets: what was asked for, and what the trainer answered."""

from __future__ import annotations

from collections.abc import Sequence

from redis import Redis

from services.dashboard.ingest.projector import Appliers
from services.dashboard.models.schemas import ThresholdSetView
from services.dashboard.store.announcer import Announcer
from services.dashboard.store.keys import Keys
from services.dashboard.store.latest import Latest
from shared.messages import ThresholdsKept, ThresholdsRefused, ThresholdsRequested, decode

Word = ThresholdsRequested | ThresholdsKept | ThresholdsRefused


class ThresholdWords:
    """What was asked and answered, in Redis."""

    def __init__(self, redis: Redis, keys: Keys, announcer: Announcer) -> None:
        self._keys = keys
        self._latest = Latest(redis)
        self._announcer = announcer

    @property
    def appliers(self) -> Appliers:
        return dict.fromkeys((ThresholdsRequested, ThresholdsKept, ThresholdsRefused), self.note)

    def note(self, words: Sequence[Word]) -> None:
        """Take in requests and answers."""
        for word in words:
            match word:
                case ThresholdsRequested():
                    at = word.at
                case ThresholdsKept():
                    at = word.at
                case ThresholdsRefused():
                    at = word.at
            field = f"{word.thresholds_id}/{type(word).__name__}"
            self._latest.put(self._keys.thresholds(word.recipe), field, at, word.encode().decode())
        self._announcer.models({word.recipe for word in words})

    def of_recipe(self, recipe: str) -> list[ThresholdSetView]:
        """Everything asked for a recipe, and what came of it."""
        views: dict[str, ThresholdSetView] = {}
        for text in self._latest.all(self._keys.thresholds(recipe)).values():
            word = decode(text.encode())
            if isinstance(word, Word):
                known = views.get(word.thresholds_id)
                views[word.thresholds_id] = known.told(word) if known else ThresholdSetView.of(word)
        return list(views.values())
