"""Moves of the pointer to the model in production: what was asked for, and what the trainer answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redis import Redis

from services.dashboard.ingest.projector import Appliers
from services.dashboard.store.announcer import Announcer
from services.dashboard.store.keys import Keys
from services.dashboard.store.latest import Latest
from shared.messages import ModelPromoted, PromotionRefused, PromotionRequested, decode

Word = PromotionRequested | PromotionRefused | ModelPromoted


@dataclass
class Move:
    """One move: the request, and its answer when there is one."""

    promotion_id: str
    requested: PromotionRequested | None = None
    refused: PromotionRefused | None = None
    promoted: ModelPromoted | None = None


class Moves:
    """The moves in Redis."""

    def __init__(self, redis: Redis, keys: Keys, announcer: Announcer) -> None:
        self._keys = keys
        self._latest = Latest(redis)
        self._announcer = announcer

    @property
    def appliers(self) -> Appliers:
        return dict.fromkeys((PromotionRequested, PromotionRefused, ModelPromoted), self.note)

    def note(self, words: Sequence[Word]) -> None:
        """Take in requests and answers."""
        for word in words:
            match word:
                case PromotionRequested():
                    at = word.at
                case PromotionRefused():
                    at = word.at
                case ModelPromoted():
                    at = word.at
            field = f"{word.promotion_id}/{type(word).__name__}"
            self._latest.put(self._keys.promotions(word.recipe), field, at, word.encode().decode())
        self._announcer.models({word.recipe for word in words})

    def of_recipe(self, recipe: str) -> list[Move]:
        """The moves of a recipe, by their ids."""
        moves: dict[str, Move] = {}
        for field, text in self._latest.all(self._keys.promotions(recipe)).items():
            promotion_id = field.partition("/")[0]
            move = moves.setdefault(promotion_id, Move(promotion_id))
            match decode(text.encode()):
                case PromotionRequested() as requested:
                    move.requested = requested
                case PromotionRefused() as refused:
                    move.refused = refused
                case ModelPromoted() as promoted:
                    move.promoted = promoted
        return list(moves.values())
