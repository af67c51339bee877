"""Jobs in object storage: ``<folder>/<name>/`` holds the JSON records of one job, and the claims on it."""

from __future__ import annotations

from collections import defaultdict
from typing import Final, TypeVar

from pydantic import BaseModel

from shared.claims import Claim, Claims
from shared.messages import Message, decode
from shared.storage.port import ObjectStore
from shared.storage.records import readable

REQUEST: Final = "request.json"
"""The message that requested the job; a job without it is finished or was never whole."""

Record = TypeVar("Record", bound=BaseModel)


class JobRepository:
    """The jobs of one kind, as one trainer sees them."""

    def __init__(self, store: ObjectStore, folder: str, holder: str, lease_seconds: float) -> None:
        self._store = store
        self._folder = folder
        self._claims = Claims(store, folder, holder, lease_seconds)

    def claim(self, name: str) -> Claim | None:
        """Take a job; None while another trainer holds it."""
        return self._claims.take(name)

    def renew(self, name: str, claim: Claim) -> bool:
        """Extend the claim on a job; False where another trainer has taken it, because this one was silent."""
        return self._claims.renew(name, claim)

    def release(self, name: str) -> None:
        """Give a job back that is not done and did not fail. A job that another trainer holds stays with it."""
        self._claims.release(name)

    def delete(self, name: str) -> None:
        """Delete a job: the request first, so that the rest is no job."""
        self._store.delete(self.key(name, REQUEST))
        self._claims.drop(name)

    def key(self, name: str, record: str) -> str:
        """Return the key of a record of a job."""
        return f"{self._folder}/{name}/{record}"

    def records(self) -> dict[str, set[str]]:
        """Return the names of the records of each job, by the job's name."""
        found: dict[str, set[str]] = defaultdict(set)
        for key in self._store.keys(f"{self._folder}/"):
            _, name, record = (*key.split("/", 2), "")[:3]  # an object beside the folders is no record
            found[name].add(record)
        return found

    def read_message(self, name: str, record: str) -> Message | None:
        """Read a message of a job; None where there is none, it is damaged, or a newer trainer stored it."""
        key = self.key(name, record)
        return readable(key, lambda: decode(self._store.get(key)))

    def read(self, name: str, record: str, kind: type[Record]) -> Record | None:
        """Read a record of a job; None where there is none, or it can't be read."""
        key = self.key(name, record)
        return readable(key, lambda: kind.model_validate_json(self._store.get(key)))

    def write(self, name: str, record: str, value: BaseModel) -> None:
        """Store a record of a job in the place of the one before."""
        content = value.encode() if isinstance(value, Message) else value.model_dump_json().encode()
        self._store.put(self.key(name, record), content, "application/json")
