"""Removal orders: lists of objects that a service removes because a retention rule says so.

Only the dashboard knows which objects annotations and marks refer to, so it decides which objects are removed. It first
stores an announced order, ``removals/announced/<owner>/<ulid>.json``. A while later it activates the order: it stores
it as ``removals/<owner>/<ulid>.json``. The service that owns the objects carries out the active orders
(`shared.removal_worker`).
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from ulid import ULID

from shared.contracts.retention_rules import DataKind
from shared.storage.port import ObjectStore

FOLDER: Final = "removals"
ANNOUNCED_FOLDER: Final = f"{FOLDER}/announced"
MOST_KEYS: Final = 5_000
"""Most objects in one order."""


class RemovalOrder(BaseModel):
    """Objects to be removed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: DataKind
    announced_at: AwareDatetime
    keys: Annotated[tuple[str, ...], Field(max_length=MOST_KEYS)]


def announce_order(store: ObjectStore, owner: str, order: RemovalOrder) -> None:
    """Store an announced order. The owner of the objects carries it out after `activate_order`."""
    store.put(f"{ANNOUNCED_FOLDER}/{owner}/{ULID()}.json", order.model_dump_json().encode(), "application/json")


def activate_order(store: ObjectStore, announced_key: str, order: RemovalOrder) -> None:
    """Replace an announced order by one that the owner of the objects carries out; delete an order without keys."""
    owner, name = announced_key.removeprefix(f"{ANNOUNCED_FOLDER}/").split("/")
    if order.keys:
        store.put(f"{FOLDER}/{owner}/{name}", order.model_dump_json().encode(), "application/json")
    store.delete(announced_key)


def read_order(store: ObjectStore, key: str) -> RemovalOrder:
    """Read an order.

    Raises:
        ObjectNotFound: the order has been carried out since.
        ValueError: the order can't be read.
    """
    return RemovalOrder.model_validate_json(store.get(key))
