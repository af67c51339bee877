"""The repository of models in Redis: requested promotions and threshold sets, and the trainer's answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis import Redis

from services.dashboard.ingest.projector import Updaters
from services.dashboard.store.announcer import Announcer
from services.dashboard.store.keys import Keys
from services.dashboard.store.latest import Latest
from shared.messages import (
    ModelPromoted,
    PromotionRefused,
    PromotionRequested,
    ThresholdsRefused,
    ThresholdsRequested,
    ThresholdsStored,
    decode,
)

PromotionMessage = PromotionRequested | PromotionRefused | ModelPromoted
ThresholdsMessage = ThresholdsRequested | ThresholdsRefused | ThresholdsStored
MESSAGES: Final = (
    PromotionRequested,
    PromotionRefused,
    ModelPromoted,
    ThresholdsRequested,
    ThresholdsRefused,
    ThresholdsStored,
)


@dataclass(frozen=True)
class PromotionMessages:
    """One promotion: its request and the trainer's answer. At least one of them is there."""

    promotion_id: str
    requested: PromotionRequested | None
    refused: PromotionRefused | None
    promoted: ModelPromoted | None


@dataclass(frozen=True)
class ThresholdSetMessages:
    """One threshold set: its request and the trainer's answer. At least one of them is there."""

    thresholds_id: str
    requested: ThresholdsRequested | None
    refused: ThresholdsRefused | None
    saved: ThresholdsStored | None


class ModelRepository:
    """The requests to the trainer that concern models, by recipe."""

    def __init__(self, redis: Redis, keys: Keys, announcer: Announcer) -> None:
        self._keys = keys
        self._latest = Latest(redis)
        self._announcer = announcer

    @property
    def updaters(self) -> Updaters:
        return dict.fromkeys(MESSAGES, self.store)

    def store(self, messages: Sequence[PromotionMessage | ThresholdsMessage]) -> None:
        """Store requests and answers, and announce the recipes that they concern."""
        for message in messages:
            if isinstance(message, PromotionMessage):
                key, request_id = self._keys.promotions(message.recipe), message.promotion_id
            else:
                key, request_id = self._keys.thresholds(message.recipe), message.thresholds_id
            self._latest.put(key, f"{request_id}/{type(message).__name__}", message.at, message.encode().decode())
        self._announcer.announce_models({message.recipe for message in messages})

    def promotions(self, recipe: str) -> list[PromotionMessages]:
        """Return the promotions of a recipe by their ids."""
        return [
            PromotionMessages(
                promotion_id,
                requested=messages.get(PromotionRequested),
                refused=messages.get(PromotionRefused),
                promoted=messages.get(ModelPromoted),
            )
            for promotion_id, messages in self._by_id(self._keys.promotions(recipe)).items()
        ]

    def threshold_sets(self, recipe: str) -> list[ThresholdSetMessages]:
        """Return the threshold sets of a recipe by their ids."""
        return [
            ThresholdSetMessages(
                thresholds_id,
                requested=messages.get(ThresholdsRequested),
                refused=messages.get(ThresholdsRefused),
                saved=messages.get(ThresholdsStored),
            )
            for thresholds_id, messages in self._by_id(self._keys.thresholds(recipe)).items()
        ]

    def _by_id(self, key: str) -> dict[str, dict[type, Any]]:
        """Return the messages of a hash by the id of their request and by their type."""
        found: dict[str, dict[type, Any]] = defaultdict(dict)
        for field, text in self._latest.all(key).items():
            message = decode(text.encode())
            found[field.partition("/")[0]][type(message)] = message
        return found
