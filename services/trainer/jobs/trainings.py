"""Trainings in object storage, so that no training is lost if its trainer dies.

``trainings/<id>/`` has these objects: ``request.json``, the message unchanged; ``claim.<number>.json``, which trainer
works on the training; ``begun.json``, the request with the dataset version and the recipe with which the training
began; ``checkpoint.npz``, its state after the last epoch; ``cancelled.json``, if it is to stop; ``outcome.json``, how
it ended. A training without an outcome is open. Open trainings run in the order of their requests.
"""

from __future__ import annotations

from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict

from services.trainer.jobs.repository import REQUEST, JobRepository
from shared.messages import TrainingCancelled, TrainingRequested, TrainingState, decode
from shared.storage.port import ObjectNotFound, ObjectStore

FOLDER: Final = "trainings"
BEGUN: Final = "begun.json"
CHECKPOINT: Final = "checkpoint.npz"
CANCELLED: Final = "cancelled.json"
OUTCOME: Final = "outcome.json"


class TrainingOutcome(BaseModel):
    """How a training ended."""

    model_config = ConfigDict(frozen=True)

    state: TrainingState
    reason: str = ""
    model_version: str | None = None
    at: AwareDatetime


class Trainings(JobRepository):
    """All trainings, as one trainer sees them; a job's name is the training's id."""

    def __init__(self, store: ObjectStore, holder: str, lease_seconds: float) -> None:
        super().__init__(store, FOLDER, holder, lease_seconds)

    def add(self, request: TrainingRequested) -> bool:
        """Store a request; False if it is stored already."""
        if self._store.exists(self.key(request.training_id, REQUEST)):
            return False
        self.write(request.training_id, REQUEST, request)
        return True

    def request(self, training_id: str) -> TrainingRequested:
        """Read the request of a training, unchanged.

        Raises:
            ObjectNotFound: there is no such request.
            MalformedMessage: a newer trainer stored it, or it is damaged.
        """
        key = self.key(training_id, REQUEST)
        found = decode(self._store.get(key))
        if not isinstance(found, TrainingRequested):
            raise ObjectNotFound(f"{key} is not a request for a training")
        return found

    def list_open(self) -> list[TrainingRequested]:
        """Return the trainings without an outcome, oldest first. A request that can't be read is left out."""
        names = [name for name, records in self.records().items() if REQUEST in records and OUTCOME not in records]
        messages = (self.read_message(name, REQUEST) for name in names)
        requests = [message for message in messages if isinstance(message, TrainingRequested)]
        return sorted(requests, key=lambda request: request.at)

    def ended_ids(self) -> list[str]:
        """Return the ids of the trainings with an outcome."""
        return [name for name, records in self.records().items() if OUTCOME in records]

    def begin(self, request: TrainingRequested) -> None:
        """Store the request with its dataset version and recipe, so that a resumed training uses the same ones."""
        self.write(request.training_id, BEGUN, request)

    def begun(self, training_id: str) -> TrainingRequested | None:
        """Read the request that `begin` stored; None if the training has not begun."""
        found = self.read_message(training_id, BEGUN)
        return found if isinstance(found, TrainingRequested) else None

    def cancel(self, cancelled: TrainingCancelled) -> bool:
        """Store that a training is cancelled; False if there is no such request, or the training has ended."""
        training_id = cancelled.training_id
        if self.outcome(training_id) or not self._store.exists(self.key(training_id, REQUEST)):
            return False
        self.write(training_id, CANCELLED, cancelled)
        return True

    def is_cancelled(self, training_id: str) -> bool:
        return self._store.exists(self.key(training_id, CANCELLED))

    def finish(self, training_id: str, outcome: TrainingOutcome) -> None:
        """Store how a training ended, and delete its checkpoint."""
        self.write(training_id, OUTCOME, outcome)
        self._store.delete(self.key(training_id, CHECKPOINT))

    def outcome(self, training_id: str) -> TrainingOutcome | None:
        """Read how a training ended; None if it is open."""
        return self.read(training_id, OUTCOME, TrainingOutcome)
