"""Validate a training after each epoch, and save a checkpoint from which it can continue."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from services.trainer.errors import TrainerError
from services.trainer.evaluation.epoch_validation import DivergedTraining, Validator
from services.trainer.training.listener import TrainingListener
from services.trainer.training.precision import ComputeConfig, copy_weights, record_run
from services.trainer.training.workers import Workers
from shared.contracts.training import TrainingOptions
from shared.storage.port import ObjectNotFound, ObjectStore, check_key

Arrays = list[NDArray[np.generic]]

GROUPS: Final = ("network", "optimizer", "best")
UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error)
"""The errors of NumPy, JSON and `Checkpoint` for bytes that are not a checkpoint."""


class CheckpointError(TrainerError):
    """A checkpoint of another training, or bytes that are not a checkpoint."""


@dataclass
class Checkpoint:
    """The state of a training between two epochs."""

    digest: str = ""
    """SHA-256 of the images, architecture, recipe, weights and options (except the precision), in hexadecimal."""
    epoch: int = 0
    """The number of finished epochs."""
    best_epoch: int = 0
    best_score: tuple[float, float] = (-np.inf, -np.inf)
    """Average precision and negative loss of the best epoch, on the validation split."""
    history: list[dict[str, float]] = field(default_factory=list)
    """The metrics of each epoch."""
    runs: list[dict[str, int | str]] = field(default_factory=list)
    """The precision and hardware at the start and after each change of them (`precision.ComputeConfig`)."""
    network: Arrays = field(default_factory=list)
    optimizer: Arrays = field(default_factory=list)
    best: Arrays = field(default_factory=list)
    """The network's weights after the best epoch."""

    def encode(self) -> bytes:
        """Return the checkpoint as an NPZ file without pickled objects."""
        state = {
            "digest": self.digest,
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
    """Read a file that `Checkpoint.encode` wrote, without unpickling.

    Raises:
        CheckpointError: the content is something else.
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
            "not a checkpoint, or one that was cut off: delete it, or name another file, and the training starts anew"
        ) from error


class CheckpointStore(Protocol):
    """The place where the checkpoint of one training is stored."""

    def load(self) -> bytes | None:
        """Return the last checkpoint; None before the first."""
        ...

    def save(self, content: bytes) -> None:
        """Replace the last checkpoint."""
        ...


class StoredCheckpoint:
    """The checkpoint of one training in object storage."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        """Check the key; raises `InvalidKey`."""
        self._store = store
        self._key = check_key(key)

    def load(self) -> bytes | None:
        try:
            return self._store.get(self._key)
        except ObjectNotFound:
            return None

    def save(self, content: bytes) -> None:
        self._store.put(self._key, content)

    def delete(self) -> None:
        self._store.delete(self._key)


class CheckpointCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """After each epoch, validates, remembers the best weights, saves a checkpoint, reports, and maybe stops early.

    If several processes train together, the chief does this, and the other ranks receive its decisions.
    """

    def __init__(
        self,
        network: keras.Model,
        *,
        optimizer: keras.optimizers.Optimizer,
        validator: Validator,
        options: TrainingOptions,
        listener: TrainingListener,
        workers: Workers,
        checkpoints: CheckpointStore | None,
    ) -> None:
        """Make the callback of one training.

        Args:
            network: receives the weights of the model that is trained.
            optimizer: the optimizer of that model without loss scaling; the scaling factor is not stored.
            validator: measures the network.
            options: the number of epochs and the patience.
            listener: receives the progress.
            workers: the processes that train together.
            checkpoints: where checkpoints are stored; None to store none.
        """
        super().__init__()
        self.state = Checkpoint()
        self._network = network
        self._optimizer = optimizer
        self._validator = validator
        self._options = options
        self._listener = listener
        self._workers = workers
        self._checkpoints = checkpoints if workers.rank.is_chief else None

    def resume(self, digest: str, config: ComputeConfig) -> int:
        """Load the last checkpoint, if there is one. Its precision and number of ranks may differ from those now.

        Args:
            digest: the digest of this training, see `Checkpoint.digest`.
            config: the precision and hardware of the remaining epochs.

        Returns:
            The number of finished epochs.

        Raises:
            CheckpointError: the checkpoint is of another training.
        """
        content = self._checkpoints.load() if self._checkpoints else None
        if content:
            self.state = decode_checkpoint(content)
            if self.state.digest != digest:
                raise CheckpointError(
                    "the checkpoint is of a training with other images, weights, recipe or options: give it those, "
                    "or start a new training with another checkpoint"
                )
            _assign(self._network.variables, self.state.network)
            _assign(self._optimizer.variables, self.state.optimizer)
        self.state.digest = digest
        record_run(self.state.runs, config, self.state.epoch + 1)
        self._workers.broadcast_variables(self._optimizer.variables)
        self.state.epoch = self._workers.broadcast(self.state.epoch)
        return self.state.epoch

    def is_exhausted(self) -> bool:
        """Return whether the best epoch of the chief is ``patience`` epochs ago, so that the training stops early."""
        exhausted = self.state.epoch - self.state.best_epoch >= self._options.patience
        return bool(self._workers.broadcast(int(exhausted)))

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        share = (batch + 1) / self.params["steps"]
        self._listener.on_batch(self.state.epoch + 1, share, float((logs or {}).get("loss", np.nan)))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        loss = float((logs or {})["loss"])
        if not np.isfinite(loss):
            raise DivergedTraining(f"the loss is {loss} after epoch {epoch + 1}: choose a smaller learning_rate")
        self.state.epoch = epoch + 1
        if self._workers.rank.is_chief:
            copy_weights(self.model, self._network)
            metrics = {"loss": loss, **self._validator(self._network)}
            self.state.history.append(metrics)
            self.remember_best(metrics)
            if self._checkpoints:
                self.state.optimizer = [np.asarray(variable) for variable in self._optimizer.variables]
                self._checkpoints.save(self.state.encode())
            self._listener.on_epoch(self.state.epoch, self._options.epochs or 0, metrics)
        self.model.stop_training = self.is_exhausted()

    def remember_best(self, metrics: dict[str, float] | None = None) -> None:
        """Remember the network's weights as the best if their metrics are the best; without metrics, validate first."""
        metrics = metrics or self._validator(self._network)
        state = self.state
        state.network = [np.asarray(variable) for variable in self._network.variables]
        score = (round(metrics["val_average_precision"], 4), -metrics["val_loss"])
        if score > state.best_score:
            state.best_score, state.best_epoch, state.best = score, state.epoch, state.network

    def restore_best(self) -> None:
        """Assign the best weights to the network, in all ranks."""
        if self._workers.rank.is_chief:
            _assign(self._network.variables, self.state.best)
        self._workers.broadcast_variables(self._network.variables)


def _assign(variables: list[keras.Variable], values: Arrays) -> None:
    if [tuple(variable.shape) for variable in variables] != [value.shape for value in values]:
        raise CheckpointError("the checkpoint is of another network: start a new training, with another id")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
