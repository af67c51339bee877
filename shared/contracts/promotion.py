"""Promotions: which model is in production, and every promotion, rollback and refusal.

``models/<recipe>/production/<sequence>.json`` are the promotions: the one with the highest sequence names the model in
production; none is changed or deleted.
``promotions/<recipe>/<id>.json`` is the trainer's answer to one request, as the message that it sent. It is written
once, so that a request that is delivered twice gets one answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.contracts.bundle import PRODUCTION, BundleError, folder_of
from shared.messages import ModelPromoted, Name, PromotionRefused, decode
from shared.storage.port import ObjectStore, StorageUnavailable
from shared.storage.records import read_or_skip
from shared.validation import first_problem

FOLDER: Final = "promotions"
PROMOTION_FILE: Final = re.compile(r"[0-9]{8,}\.json")

Decision = ModelPromoted | PromotionRefused


class PromotionOutcome(StrEnum):
    """The decision on a request."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    REFUSED = "refused"


class Promotion(BaseModel):
    """A promotion: from this moment on, a version is in production."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sequence: int = Field(ge=1)
    recipe: Name
    version: Name
    digest: str = Field(pattern="^[0-9a-f]{64}$", description="digest of the bundle (`digest_of`)")
    previous: str | None
    reason: str
    by: str
    at: AwareDatetime
    forced: bool = Field(False, description="whether it was promoted although the gate refused")
    rollback: bool = Field(False, description="whether it went back to the model that was in production before")
    gate: str = Field("", description="result of the comparison with the model in production, in one line")


class HistoryEntry(BaseModel):
    """One entry of the history."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    by: str
    outcome: PromotionOutcome
    version: str = Field(description="the requested version")
    previous: str | None = Field(description="the version that was in production at that moment")
    reason: str = Field(description="why the promotion was requested; for a refusal, why it was refused")
    forced: bool = Field(False, description="whether it was promoted although the gate refused")
    gate: str = Field("", description="result of the comparison with the model in production")


def production_version(store: ObjectStore, recipe: str) -> str | None:
    """Return the model version in production, or None; raises as `last_promotion`."""
    promotion = last_promotion(store, recipe)
    return promotion.version if promotion else None


def recipes_in_production(store: ObjectStore) -> list[str]:
    """Return the recipes that have a model in production, by name."""
    paths = (key.split("/") for key in store.keys("models/"))
    return sorted({path[1] for path in paths if path[2:3] == [PRODUCTION]})


def last_promotion(store: ObjectStore, recipe: str) -> Promotion | None:
    """Return the last promotion of a recipe, or None.

    Raises:
        BundleError: the last promotion can't be read.
        StorageError: object storage failed.
    """
    keys = _promotion_keys(store, recipe)
    return _read_last(store, keys[-1]) if keys else None


def production_history(store: ObjectStore, recipe: str) -> list[Promotion]:
    """Return the promotions of a recipe, oldest first. Unreadable promotions are skipped, except the last one.

    Raises:
        BundleError: the last promotion can't be read.
        StorageError: object storage failed.
    """
    keys = _promotion_keys(store, recipe)
    earlier = [read_or_skip(key, partial(_read_promotion, store, key)) for key in keys[:-1]]
    return [promotion for promotion in earlier if promotion] + [_read_last(store, key) for key in keys[-1:]]


def version_before(history: Sequence[Promotion]) -> str | None:
    """Return the version to roll back to: the version in production before the present one, or None.

    A rollback undoes a promotion: after two rollbacks, the model of two promotions ago is in production, and not the
    model that was rolled back first.

    Args:
        history: all promotions and rollbacks, oldest first.
    """
    not_undone: list[str] = []
    for promotion in history:
        if promotion.rollback and not_undone[-2:-1] == [promotion.version]:
            not_undone.pop()
        elif not not_undone or not_undone[-1] != promotion.version:
            not_undone.append(promotion.version)
    return not_undone[-2] if len(not_undone) > 1 else None


def store_promotion(store: ObjectStore, promotion: Promotion) -> None:
    """Store a promotion. Only the trainer calls this.

    Raises:
        StorageUnavailable: also if another trainer stored a promotion at the same moment: decide again.
    """
    key = f"{folder_of(promotion.recipe, PRODUCTION)}/{promotion.sequence:08d}.json"
    if not store.create(key, promotion.model_dump_json(indent=2).encode(), "application/json"):
        raise StorageUnavailable(f"another trainer promoted a model of recipe {promotion.recipe} at the same moment")


def find_decision(store: ObjectStore, recipe: str, promotion_id: str) -> Decision | None:
    """Return the answer to a request, or None."""
    key = _key(recipe, promotion_id)
    return read_or_skip(key, lambda: _read(store, key))


def store_decision(store: ObjectStore, decision: Decision) -> None:
    """Store the answer to a request. Only the trainer calls this."""
    store.put(_key(decision.recipe, decision.promotion_id), decision.encode(), "application/json")


def history_of(store: ObjectStore, recipe: str) -> list[HistoryEntry]:
    """Return the promotions, rollbacks and refusals of a recipe, oldest first.

    Raises:
        BundleError: the last promotion can't be read.
        StorageError: object storage failed.
    """
    promotions = [
        HistoryEntry(
            at=promotion.at,
            by=promotion.by,
            outcome=PromotionOutcome.ROLLED_BACK if promotion.rollback else PromotionOutcome.PROMOTED,
            version=promotion.version,
            previous=promotion.previous,
            reason=promotion.reason,
            forced=promotion.forced,
            gate=promotion.gate,
        )
        for promotion in production_history(store, recipe)
    ]
    keys = store.keys(f"{FOLDER}/{recipe}/")
    decisions = (read_or_skip(key, partial(_read, store, key)) for key in keys)
    refusals = [
        HistoryEntry(
            at=decision.at,
            by=decision.by,
            outcome=PromotionOutcome.REFUSED,
            version=decision.model_version,
            previous=decision.production_version,
            reason=decision.reason,
        )
        for decision in decisions
        if isinstance(decision, PromotionRefused)
    ]
    return sorted([*promotions, *refusals], key=lambda entry: entry.at)


def _read(store: ObjectStore, key: str) -> Decision | None:
    message = decode(store.get(key))
    return message if isinstance(message, ModelPromoted | PromotionRefused) else None


def _key(recipe: str, promotion_id: str) -> str:
    return f"{FOLDER}/{recipe}/{promotion_id}.json"


def _promotion_keys(store: ObjectStore, recipe: str) -> list[str]:
    """Return the keys of the promotions, oldest first; other objects in their folder are ignored."""
    folder = f"{folder_of(recipe, PRODUCTION)}/"
    return sorted(key for key in store.keys(folder) if PROMOTION_FILE.fullmatch(key.removeprefix(folder)))


def _read_promotion(store: ObjectStore, key: str) -> Promotion:
    return Promotion.model_validate_json(store.get(key))


def _read_last(store: ObjectStore, key: str) -> Promotion:
    try:
        return _read_promotion(store, key)
    except ValidationError as error:
        raise BundleError(f"{key} does not say which model is in production: {first_problem(error)}") from error
