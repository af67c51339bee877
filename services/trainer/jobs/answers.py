"""Store the answers to requests for other thresholds: ``thresholds/<recipe>/<id>.json``."""

from __future__ import annotations

from typing import Final

from shared.messages import MalformedMessage, ThresholdsRefused, ThresholdsStored, decode
from shared.storage.port import ObjectNotFound, ObjectStore

FOLDER: Final = "thresholds"

Answer = ThresholdsStored | ThresholdsRefused


def find_answer(store: ObjectStore, recipe: str, thresholds_id: str) -> Answer | None:
    """Return the answer to a request; None while there is none."""
    try:
        found = decode(store.get(_key(recipe, thresholds_id)))
    except (ObjectNotFound, MalformedMessage):
        return None
    return found if isinstance(found, Answer) else None


def store_answer(store: ObjectStore, answer: Answer) -> None:
    """Store an answer in the place of the one before."""
    store.put(_key(answer.recipe, answer.thresholds_id), answer.encode(), "application/json")


def _key(recipe: str, thresholds_id: str) -> str:
    return f"{FOLDER}/{recipe}/{thresholds_id}.json"
