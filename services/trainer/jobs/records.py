"""Small records in object storage: one JSON object per key."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from shared.storage.port import ObjectStore
from shared.storage.records import readable

Record = TypeVar("Record", bound=BaseModel)


def read_record(store: ObjectStore, key: str, kind: type[Record]) -> Record | None:
    """What is under a key; None where nothing is, or what can't be read."""
    return readable(key, lambda: kind.model_validate_json(store.get(key)))


def write_record(store: ObjectStore, key: str, record: BaseModel) -> None:
    """Keep a record, in the place of the one before."""
    store.put(key, record.model_dump_json().encode(), "application/json")
