"""What a training needs to go on after it was killed."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from services.trainer.errors import TrainerError
from shared.storage.port import ObjectNotFound, ObjectStore, checked_key

Arrays = list[NDArray[np.generic]]


GROUPS: Final = ("network", "optimizer", "best")
UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error)
"""What NumPy, JSON and a `Checkpoint` make of bytes that are none."""


class CheckpointError(TrainerError):
    """A checkpoint of another network, or no checkpoint at all."""


@dataclass
class Checkpoint:
    """A training between two epochs."""

    subject: str = ""
    """A digest of what is learned, from what and how, but for the precision; empty in checkpoints of older trainers."""
    epoch: int = 0
    """Epochs done."""
    best_epoch: int = 0
    best_score: tuple[float, float] = (-np.inf, -np.inf)
    history: list[dict[str, float]] = field(default_factory=list)
    """The metrics of each epoch."""
    runs: list[dict[str, int | str]] = field(default_factory=list)
    """On what machine and in what precision it went on from which epoch: see `precision.Computing`."""
    network: Arrays = field(default_factory=list)
    optimizer: Arrays = field(default_factory=list)
    best: Arrays = field(default_factory=list)
    """The network's weights after the best epoch."""

    def encode(self) -> bytes:
        """The checkpoint as a file of plain arrays."""
        state = {
            "subject": self.subject,
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
            "history": self.history,
            "runs": self.runs,
        }
        arrays = {
            f"{group}_{number:04d}": array for group in GROUPS for number, array in enumerate(getattr(self, group))
        }
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, state=np.array(json.dumps(state)), **arrays)
        return content.getvalue()


def decode_checkpoint(content: bytes) -> Checkpoint:
    """Read what `Checkpoint.encode` wrote. Nothing in it is run.

    Raises:
        CheckpointError: it is something else.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            state: dict[str, Any] = from_json(str(arrays["state"]))
            groups: dict[str, Any] = {
                group: [arrays[name] for name in sorted(arrays.files) if name.startswith(f"{group}_")]
                for group in GROUPS
            }
        average_precision, loss = state.pop("best_score")
        return Checkpoint(**state, best_score=(average_precision, loss), **groups)
    except UNREADABLE as error:
        raise CheckpointError(
            "not a checkpoint, or one that was cut off: remove it, or name another, and the training begins anew"
        ) from error


class CheckpointStore(Protocol):
    """Where the checkpoint of one training is kept."""

    def load(self) -> bytes | None:
        """The last one; None before the first."""
        ...

    def save(self, content: bytes) -> None:
        """Replace the last one."""
        ...


class StoredCheckpoint:
    """The checkpoint of one training, in object storage."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        """Raises `InvalidKey`: before hours of training, not after them."""
        self._store = store
        self._key = checked_key(key)

    def load(self) -> bytes | None:
        """The last one; None before the first."""
        try:
            return self._store.get(self._key)
        except ObjectNotFound:
            return None

    def save(self, content: bytes) -> None:
        """Replace the last one."""
        self._store.put(self._key, content)

    def drop(self) -> None:
        """The training is over."""
        self._store.delete(self._key)
