"""Who works on what, and until when that holds unless it is renewed: of several trainers, one does each thing.

``<folder>/<name>/claim.json`` is the claim on one piece of work.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict

from services.trainer.records import read_record, write_record
from shared.storage.port import ObjectStore

CLAIM: Final = "claim.json"


class Claim(BaseModel):
    """Who works on it."""

    model_config = ConfigDict(frozen=True)

    holder: str
    until: AwareDatetime
    attempts: int
    """How many times it was taken up; what brings its trainer down is not taken up for ever."""


class Claims:
    """The claims on the work of one folder, as one trainer sees them."""

    def __init__(self, store: ObjectStore, folder: str, holder: str, lease_seconds: float) -> None:
        self._store = store
        self._folder = folder
        self._holder = holder
        self._lease = timedelta(seconds=lease_seconds)

    def take(self, name: str) -> Claim | None:
        """Take something up; None while another trainer holds it."""
        before = self._read(name)
        if before and before.holder != self._holder and before.until > datetime.now(UTC):
            return None
        self._write(name, self._renewed(before.attempts + 1 if before else 1))
        # two trainers may have written: the last one has it
        after = self._read(name)
        return after if after and after.holder == self._holder else None

    def renew(self, name: str, claim: Claim) -> bool:
        """Hold on to something; False where another trainer has it, since this one was not heard of."""
        if not self._is_mine(name):
            return False
        self._write(name, self._renewed(claim.attempts))
        return self._is_mine(name)

    def release(self, name: str) -> None:
        """Let go of what is not done, and did not fail; what another trainer has stays with it."""
        if self._is_mine(name):
            self._write(name, Claim(holder=self._holder, until=datetime.now(UTC), attempts=0))

    def _renewed(self, attempts: int) -> Claim:
        return Claim(holder=self._holder, until=datetime.now(UTC) + self._lease, attempts=attempts)

    def _is_mine(self, name: str) -> bool:
        claim = self._read(name)
        return claim is not None and claim.holder == self._holder

    def _read(self, name: str) -> Claim | None:
        return read_record(self._store, self._key(name), Claim)

    def _write(self, name: str, claim: Claim) -> None:
        write_record(self._store, self._key(name), claim)

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}/{CLAIM}"
