"""Claim work, so that of several processes one does it: a job of trainers, or the lines of gateways.

The claims on one piece of work are a chain of objects, ``<folder>/<name>/claim.<number>.json``, and the newest one is
in force. A process that takes, renews or releases a claim creates the next object of the chain, which only one can do.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field
from ulid import ULID

from shared.errors import CannotStart
from shared.storage.port import ObjectStore
from shared.storage.records import read_or_skip

CLAIM: Final = re.compile(r"claim\.(\d{9})\.json")


class Claim(BaseModel):
    """The process that does a piece of work."""

    model_config = ConfigDict(frozen=True)

    holder: str
    attempts: int
    """How many times the work was taken, so that a job whose process always dies can be given up."""
    lease_seconds: float
    """Seconds for which the claim holds without a renewal."""
    released: bool = False
    mark: str = Field(default_factory=lambda: str(ULID()))
    """Distinguishes this claim from every other one."""


class Claims:
    """The claims on the work of one folder, as one process sees them.

    A claim has lapsed when this process saw no renewal during its lease: the clocks of other hosts are not used.
    """

    def __init__(
        self,
        store: ObjectStore,
        folder: str,
        holder: str,
        lease_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._folder = folder
        self._holder = holder
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}

    def take(self, name: str) -> Claim | None:
        """Take a piece of work; None while another process holds it."""
        number, before = self._newest(name)
        if before and before.holder != self._holder and not before.released and not self._lapsed(name, number, before):
            return None
        claim = self._claim(before.attempts + 1 if before else 1)
        return claim if self._append(name, number, claim) else None

    def renew(self, name: str, claim: Claim) -> bool:
        """Extend a claim; False where another process has taken the work, because this one was silent."""
        number, newest = self._newest(name)
        return self._is_mine(newest) and self._append(name, number, self._claim(claim.attempts))

    def release(self, name: str) -> None:
        """Give work back that is not done and did not fail. Work that another process holds stays with it."""
        number, newest = self._newest(name)
        if self._is_mine(newest):
            self._append(name, number, self._claim(0).model_copy(update={"released": True}))

    def drop(self, name: str) -> None:
        """Delete the claims on work that is done."""
        for number in self._numbers(name):
            self._store.delete(self._key(name, number))

    def _claim(self, attempts: int) -> Claim:
        return Claim(holder=self._holder, attempts=attempts, lease_seconds=self._lease_seconds)

    def _is_mine(self, claim: Claim | None) -> bool:
        return claim is not None and claim.holder == self._holder and not claim.released

    def _lapsed(self, name: str, number: int, claim: Claim) -> bool:
        seen, since = self._seen.get(name, (-1, 0.0))
        if seen != number:
            since = self._clock()
            self._seen[name] = (number, since)
        return self._clock() - since >= claim.lease_seconds

    def _newest(self, name: str) -> tuple[int, Claim | None]:
        """Return the number of the newest claim, 0 if there is none; and the claim, None if it is unreadable."""
        for number in reversed(self._numbers(name)):
            key = self._key(name, number)
            claim = read_or_skip(key, partial(self._read, key))
            if claim or self._store.exists(key):  # else its holder has renewed it meanwhile
                return number, claim
        return 0, None

    def _read(self, key: str) -> Claim:
        return Claim.model_validate_json(self._store.get(key))

    def _append(self, name: str, newest: int, claim: Claim) -> bool:
        """Create the next claim; False if another process did so first."""
        number = newest + 1
        if not self._store.create(self._key(name, number), claim.model_dump_json().encode(), "application/json"):
            return False
        numbers = self._numbers(name)
        if numbers and numbers[-1] > number:  # this process was suspended while others continued
            self._store.delete(self._key(name, number))
            return False
        for older in numbers:
            if older < number:
                self._store.delete(self._key(name, older))
        return True

    def _numbers(self, name: str) -> list[int]:
        names = (key.rpartition("/")[2] for key in self._store.keys(f"{self._folder}/{name}/claim."))
        return [int(found[1]) for name in names if (found := CLAIM.fullmatch(name))]

    def _key(self, name: str, number: int) -> str:
        return f"{self._folder}/{name}/claim.{number:09d}.json"


class Identity:
    """The name by which one process claims work: the same after a restart.

    Processes that share a work folder or a host name have different ones.
    """

    def __init__(self, name: str, work_folder: Path, setting: str = "TRAINER_WORK_FOLDER") -> None:
        """Take the first identity of the work folder, which ``setting`` names, that no other running process has.

        Raises:
            CannotStart: the work folder can't be written to.
        """
        folder = work_folder / "identities"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for slot in count(1):
                self._lock = FileLock(folder / f"{slot}.lock")
                try:
                    self._lock.acquire(blocking=False)
                except Timeout:
                    continue
                kept = folder / f"{slot}.id"
                if not kept.exists() or not kept.read_text():
                    kept.write_text(str(ULID()))
                self.holder = f"{name}.{kept.read_text()}"
                return
        except OSError as error:
            raise CannotStart(f"the service can't write to its work folder ({setting}): {error}") from error
