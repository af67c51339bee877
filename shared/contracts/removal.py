"""Removal orders: what the retention rules remove.

The dashboard alone knows what labels and marks refer to, so it decides. It announces what will be removed, and orders
the removal a while later. The service that owns the objects removes them: see `shared.removals`.

An order is ``removals/<owner>/<ulid>.json``; while it is only announced, ``removals/announced/<owner>/<ulid>.json``.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from ulid import ULID

from shared.contracts.retention import Kind
from shared.storage.port import ObjectStore

FOLDER: Final = "removals"
ANNOUNCED: Final = f"{FOLDER}/announced"
MOST_KEYS: Final = 5_000
"""In one order."""


class RemovalOrder(BaseModel):
    """Objects to be removed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Kind
    at: AwareDatetime
    keys: Annotated[tuple[str, ...], Field(max_length=MOST_KEYS)]


def announce(store: ObjectStore, owner: str, order: RemovalOrder) -> None:
    """Store an order that its owner does not carry out yet."""
    store.put(f"{ANNOUNCED}/{owner}/{ULID()}.json", order.model_dump_json().encode(), "application/json")


def confirm(store: ObjectStore, announced: str, order: RemovalOrder) -> None:
    """Replace an announced order by one that its owner carries out."""
    owner, name = announced.removeprefix(f"{ANNOUNCED}/").split("/")
    if order.keys:
        store.put(f"{FOLDER}/{owner}/{name}", order.model_dump_json().encode(), "application/json")
    store.delete(announced)


def read_order(store: ObjectStore, key: str) -> RemovalOrder:
    """Read an order.

    Raises:
        ObjectNotFound: it was carried out meanwhile.
        ValueError: it can't be read.
    """
    return RemovalOrder.model_validate_json(store.get(key))
