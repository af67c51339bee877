"""The decisions about promotions: every promotion, rollback and refusal.

``promotions/<recipe>/<id>.json`` is the trainer's answer to one request, as the message that it sent. It is written
once, so that a request that is delivered twice gets one answer.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.contracts.bundle import production_history
from shared.messages import ModelPromoted, PromotionRefused, decode
from shared.storage.port import ObjectStore
from shared.storage.records import readable

FOLDER: Final = "promotions"

Decision = ModelPromoted | PromotionRefused


class Outcome(StrEnum):
    """The decision on a request."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    REFUSED = "refused"


class Entry(BaseModel):
    """One entry of the history."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    by: str
    outcome: Outcome
    version: str = Field(description="that was requested")
    previous: str | None = Field(description="that was in production at that moment")
    reason: str = Field(description="of the request; of a refusal, why it was refused")
    forced: bool = Field(False, description="although the gate refused")
    gate: str = Field("", description="what the comparison with the model in production said")


def find_decision(store: ObjectStore, recipe: str, promotion_id: str) -> Decision | None:
    """Return the answer to a request, or None."""
    key = _key(recipe, promotion_id)
    return readable(key, lambda: _read(store, key))


def store_decision(store: ObjectStore, decision: Decision) -> None:
    """Store the answer to a request. Only the trainer calls this."""
    store.put(_key(decision.recipe, decision.promotion_id), decision.encode(), "application/json")


def history_of(store: ObjectStore, recipe: str) -> list[Entry]:
    """Return the promotions, rollbacks and refusals of a recipe, oldest first.

    Raises:
        BundleError: the last promotion can't be read.
        StorageError: of the storage itself.
    """
    promotions = [
        Entry(
            at=move.at,
            by=move.by,
            outcome=Outcome.ROLLED_BACK if move.rollback else Outcome.PROMOTED,
            version=move.version,
            previous=move.previous,
            reason=move.reason,
            forced=move.forced,
            gate=move.gate,
        )
        for move in production_history(store, recipe)
    ]
    keys = store.keys(f"{FOLDER}/{recipe}/")
    decisions = (readable(key, partial(_read, store, key)) for key in keys)
    refusals = [
        Entry(
            at=refused.at,
            by=refused.by,
            outcome=Outcome.REFUSED,
            version=refused.model_version,
            previous=refused.production_version,
            reason=refused.reason,
        )
        for refused in decisions
        if isinstance(refused, PromotionRefused)
    ]
    return sorted([*promotions, *refusals], key=lambda entry: entry.at)


def _read(store: ObjectStore, key: str) -> Decision | None:
    found = decode(store.get(key))
    return found if isinstance(found, ModelPromoted | PromotionRefused) else None


def _key(recipe: str, promotion_id: str) -> str:
    return f"{FOLDER}/{recipe}/{promotion_id}.json"
