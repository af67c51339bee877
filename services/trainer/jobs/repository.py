"""Jobs in object storage: ``<folder>/<name>/`` holds the JSON records of one job, and the claims on it."""

from __future__ import annotations

from collections import defaultdict
from typing import Final, TypeVar

from pydantic import BaseModel

from shared.claims import Claim, Claims
from shared.messages import Message, decode
from shared.storage.port import ObjectStore
from shared.storage.records import read_or_skip

REQUEST: Final = "request.json"
"""The message that requested the job; a job without it is finished or was never stored completely."""

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
        """Extend the claim on a job; False if another trainer has taken the job because the lease was over."""
        return self._claims.renew(name, claim)

    def release(self, name: str) -> None:
        """Release a job that is not done and did not fail. A job that another trainer claimed is not changed."""
        self._claims.release(name)

    def delete(self, name: str) -> None:
        """Delete a job. The request is deleted first: without it, the rest does not count as a job."""
        self._store.delete(self.key(name, REQUEST))
        self._claims.drop(name)

    def key(self, name: str, record: str) -> str:
        """Return the key of a record of a job."""
        return f"{self._folder}/{name}/{record}"

    def records(self) -> dict[str, set[str]]:
        """Return the names of the records of each job, by the job's name."""
        records_by_job: dict[str, set[str]] = defaultdict(set)
        for key in self._store.keys(f"{self._folder}/"):
            _, name, record = (*key.split("/", 2), "")[:3]  # an object beside the folders is not a record
            records_by_job[name].add(record)
        return records_by_job

    def read_message(self, name: str, record: str) -> Message | None:
        """Read a message of a job; None if it is missing or damaged, or a newer trainer stored it in another form."""
        key = self.key(name, record)
        return read_or_skip(key, lambda: decode(self._store.get(key)))

    def read(self, name: str, record: str, kind: type[Record]) -> Record | None:
        """Read a record of a job; None if it is missing, or can't be read."""
        key = self.key(name, record)
        return read_or_skip(key, lambda: kind.model_validate_json(self._store.get(key)))

    def write(self, name: str, record: str, value: BaseModel) -> None:
        """Store a record of a job; it replaces an earlier one."""
        content = value.encode() if isinstance(value, Message) else value.model_dump_json().encode()
        self._store.put(self.key(name, record), content, "application/json")
