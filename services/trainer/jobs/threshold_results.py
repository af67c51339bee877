"""Store the result of each request for a model version with other thresholds: ``thresholds/<recipe>/<id>.json``."""

from __future__ import annotations

from typing import Final

from shared.messages import MalformedMessage, ThresholdsRefused, ThresholdsStored, decode
from shared.storage.port import ObjectNotFound, ObjectStore

FOLDER: Final = "thresholds"

ThresholdResult = ThresholdsStored | ThresholdsRefused


def find_result(store: ObjectStore, recipe: str, thresholds_id: str) -> ThresholdResult | None:
    """Return the result of a request; None if there is none, or none that can be read."""
    try:
        message = decode(store.get(_key(recipe, thresholds_id)))
    except (ObjectNotFound, MalformedMessage):
        return None
    return message if isinstance(message, ThresholdResult) else None


def store_result(store: ObjectStore, result: ThresholdResult) -> None:
    """Store the result of a request; it replaces an earlier result."""
    store.put(_key(result.recipe, result.thresholds_id), result.encode(), "application/json")


def _key(recipe: str, thresholds_id: str) -> str:
    return f"{FOLDER}/{recipe}/{thresholds_id}.json"
