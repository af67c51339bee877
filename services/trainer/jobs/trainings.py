"""The trainings that were asked for: what is known of each, in object storage, so that none is lost with its trainer.

``trainings/<id>/`` holds ``request.json``, as it was asked; ``claim.<number>.json``, who works on it;
``dataset.json``, the dataset version and the recipe that it learns by; ``checkpoint.npz``, how far it is;
``cancelled.json``, that it shall stop; and ``outcome.json``, how it ended. A training without an outcome is to be done,
and trainings are done in the order in which they were asked for.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict

from services.trainer.jobs.claims import Claim, Claims
from services.trainer.jobs.records import read_record, write_record
from services.trainer.training.checkpoint import StoredCheckpoint
from shared.messages import TrainingCancelled, TrainingRequested, TrainingState, decode
from shared.storage.port import ObjectNotFound, ObjectStore
from shared.storage.records import readable

FOLDER: Final = "trainings"
REQUEST: Final = "request.json"
DATASET: Final = "dataset.json"
CHECKPOINT: Final = "checkpoint.npz"
CANCELLED: Final = "cancelled.json"
OUTCOME: Final = "outcome.json"


class Source(BaseModel):
    """What a training learns from, and by: settled when it begins, and the same when it is resumed."""

    model_config = ConfigDict(frozen=True)

    reference: str
    """``name@version``"""
    recipe_yaml: str | None = None
    """None in a record of before recipes were held on to."""


class Outcome(BaseModel):
    """How a training ended."""

    model_config = ConfigDict(frozen=True)

    state: TrainingState
    reason: str = ""
    model_version: str | None = None
    at: AwareDatetime


class Trainings:
    """All trainings, as one trainer sees them."""

    def __init__(self, store: ObjectStore, holder: str, lease_seconds: float) -> None:
        self._store = store
        self._claims = Claims(store, FOLDER, holder, lease_seconds)

    def add(self, request: TrainingRequested) -> bool:
        """Take a request in; False if it is there already."""
        key = _key(request.training_id, REQUEST)
        if self._store.exists(key):
            return False
        self._store.put(key, request.encode(), "application/json")
        return True

    def request(self, training_id: str) -> TrainingRequested:
        """As it was asked.

        Raises:
            ObjectNotFound: nobody asked for it.
            MalformedMessage: it is of a newer trainer, or damaged.
        """
        found = decode(self._store.get(_key(training_id, REQUEST)))
        if not isinstance(found, TrainingRequested):
            raise ObjectNotFound(f"{_key(training_id, REQUEST)} is no request for a training")
        return found

    def open(self) -> list[TrainingRequested]:
        """Those without an outcome that can be read, oldest first."""
        waiting = [name for name, records in self._known().items() if REQUEST in records and OUTCOME not in records]
        found = (request for name in waiting if (request := self._readable(name)))
        return sorted(found, key=lambda request: request.at)

    def ended(self) -> list[str]:
        """The ids of those with an outcome."""
        return [name for name, records in self._known().items() if OUTCOME in records]

    def _known(self) -> dict[str, set[str]]:
        """The records of each training, by its id."""
        known: dict[str, set[str]] = {}
        for key in self._store.keys(f"{FOLDER}/"):
            _, training_id, name = (*key.split("/", 2), "")[:3]  # a stray object beside the folders is none
            known.setdefault(training_id, set()).add(name)
        return known

    def _readable(self, training_id: str) -> TrainingRequested | None:
        """What was asked for; None where this trainer can't read it: the others must not wait for that."""
        return readable(_key(training_id, REQUEST), partial(self.request, training_id))

    def claim(self, training_id: str) -> Claim | None:
        """Take a training up; None while another trainer holds it."""
        return self._claims.take(training_id)

    def renew(self, training_id: str, claim: Claim) -> bool:
        """Hold on to a training; False where another trainer has it, since this one was not heard of."""
        return self._claims.renew(training_id, claim)

    def release(self, training_id: str) -> None:
        """Let go of a training that is not done, and that did not fail; one that another trainer has stays with it."""
        self._claims.release(training_id)

    def begin(self, training_id: str, source: Source) -> None:
        """Hold on to what it learns from and by, so that a training which is resumed goes on with the same."""
        write_record(self._store, _key(training_id, DATASET), source)

    def source(self, training_id: str) -> Source | None:
        """What it learns from and by; None while it has not begun."""
        return read_record(self._store, _key(training_id, DATASET), Source)

    def checkpoint(self, training_id: str) -> StoredCheckpoint:
        """How far it is."""
        return StoredCheckpoint(self._store, _key(training_id, CHECKPOINT))

    def cancel(self, cancelled: TrainingCancelled) -> bool:
        """Let a training be stopped; False if nobody asked for it, or it has ended."""
        if self.outcome(cancelled.training_id) or not self._store.exists(_key(cancelled.training_id, REQUEST)):
            return False
        self._store.put(_key(cancelled.training_id, CANCELLED), cancelled.encode(), "application/json")
        return True

    def is_cancelled(self, training_id: str) -> bool:
        """Whether it shall stop."""
        return self._store.exists(_key(training_id, CANCELLED))

    def finish(self, training_id: str, outcome: Outcome) -> None:
        """A training ended; what was needed to go on with it is dropped."""
        write_record(self._store, _key(training_id, OUTCOME), outcome)
        self.checkpoint(training_id).drop()

    def outcome(self, training_id: str) -> Outcome | None:
        """How it ended; None while it has not."""
        return read_record(self._store, _key(training_id, OUTCOME), Outcome)


def _key(training_id: str, name: str) -> str:
    return f"{FOLDER}/{training_id}/{name}"
