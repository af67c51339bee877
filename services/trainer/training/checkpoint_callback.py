"""What is kept of a training between two epochs, and who is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np

from services.trainer.architectures.pretraining import Origin
from services.trainer.evaluation.validation import DivergedTraining, Validator
from services.trainer.training.checkpoint import Arrays, Checkpoint, CheckpointError, CheckpointStore, decode_checkpoint
from services.trainer.training.precision import Computing, copy_weights, note_run
from services.trainer.training.workers import Workers
from shared.contracts.training import TrainingOptions


class Listener(Protocol):
    """Whom a training tells how far it is."""

    def on_stage(self, stage: str) -> None:
        """What is done now, besides epochs, in a few words: ``measuring heatmaps``."""
        ...

    def on_batch(self, epoch: int, share: float, loss: float) -> None:
        """In epoch ``epoch`` (from 1), ``share`` (0 to 1) of it done, with the mean ``loss`` of the epoch so far."""
        ...

    def on_epoch(self, epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        """An epoch (from 1) of ``epochs`` is done."""
        ...


@dataclass(frozen=True)
class Trained:
    """What a training gives."""

    network: keras.Model
    """With the best epoch's weights."""
    origin: Origin | None
    """Of the weights that it started from; None where it started from nothing."""
    best_epoch: int
    """From 1; 0 where fine-tuning found nothing better than the last layer alone."""
    history: list[dict[str, float]]
    runs: list[dict[str, int | str]]
    """In what precision, and on what hardware, from which epoch on: more than one where it was taken up elsewhere."""


class Keeper(keras.callbacks.Callback):  # type: ignore[misc]
    """After each epoch: validates, remembers the best weights, keeps a checkpoint, reports, and may stop early.

    Where several learn together, the chief's does so, and those of the others follow it.
    """

    def __init__(
        self,
        network: keras.Model,
        *,
        optimizer: keras.optimizers.Optimizer,
        validator: Validator,
        options: TrainingOptions,
        listener: Listener,
        workers: Workers,
        checkpoints: CheckpointStore | None,
    ) -> None:
        """Of a training.

        Args:
            network: gets what the learner has learned.
            optimizer: of the learner, without the scaling of its loss, which finds its factor again in a few steps.
            validator: judges the network.
            options: say how many epochs, and how much patience.
            listener: is told.
            workers: who learn together.
            checkpoints: where they are kept; None for nowhere.
        """
        super().__init__()
        self._network = network
        self._optimizer = optimizer
        self._validator = validator
        self._options = options
        self._listener = listener
        self._workers = workers
        self._checkpoints = checkpoints if workers.seat.is_chief else None
        self._state = Checkpoint()

    def resume(self, subject: str, computing: Computing) -> int:
        """Take up the last checkpoint, if there is one, whatever precision it was written in, and by how many.

        Args:
            subject: a digest of what is learned, from what and how.
            computing: what the rest is learned in.

        Returns:
            How many epochs are done.

        Raises:
            CheckpointError: it is of another training.
        """
        content = self._checkpoints.load() if self._checkpoints else None
        if content:
            self._state = decode_checkpoint(content)
            if self._state.subject not in ("", subject):
                raise CheckpointError(
                    "the checkpoint is of a training with other images, weights, recipe or options: give it those, "
                    "or begin a new one, with another checkpoint"
                )
            _assign(self._network.variables, self._state.network)
            _assign(self._optimizer.variables, self._state.optimizer)
        self._state.subject = subject
        note_run(self._state.runs, computing, self._state.epoch + 1)
        self._workers.take_from_chief(self._optimizer.variables)
        self._state.epoch = self._workers.chiefs(self._state.epoch)
        return self._state.epoch

    def told_to_stop(self) -> bool:
        """Whether the last epochs brought nothing better, as the chief sees it."""
        exhausted = self._state.epoch - self._state.best_epoch >= self._options.patience
        return bool(self._workers.chiefs(int(exhausted)))

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Keras calls this."""
        share = (batch + 1) / self.params["steps"]
        self._listener.on_batch(self._state.epoch + 1, share, float((logs or {}).get("loss", np.nan)))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keras calls this."""
        loss = float((logs or {})["loss"])
        if not np.isfinite(loss):
            raise DivergedTraining(f"the loss is {loss} after epoch {epoch + 1}: ask for a smaller learning_rate")
        self._state.epoch = epoch + 1
        if self._workers.seat.is_chief:
            self._keep(loss)
        self.model.stop_training = self.told_to_stop()

    def _keep(self, loss: float) -> None:
        copy_weights(self.model, self._network)
        metrics = {"loss": loss, **self._validator(self._network)}
        state = self._state
        state.history.append(metrics)
        self._remember(metrics)
        if self._checkpoints:
            state.optimizer = [np.asarray(variable) for variable in self._optimizer.variables]
            self._checkpoints.save(state.encode())
        self._listener.on_epoch(state.epoch, self._options.epochs, metrics)

    def consider(self) -> None:
        """Remember the weights from before the first epoch too."""
        self._remember(self._validator(self._network))

    def finish(self, origin: Origin | None) -> Trained:
        """The network with its best weights."""
        if self._workers.seat.is_chief:
            _assign(self._network.variables, self._state.best)
        self._workers.take_from_chief(self._network.variables)
        return Trained(self._network, origin, self._state.best_epoch, self._state.history, self._state.runs)

    def _remember(self, metrics: dict[str, float]) -> None:
        state = self._state
        state.network = [np.asarray(variable) for variable in self._network.variables]
        score = (round(metrics["val_average_precision"], 4), -metrics["val_loss"])
        if score > state.best_score:
            state.best_score, state.best_epoch, state.best = score, state.epoch, state.network


def _assign(variables: list[keras.Variable], values: Arrays) -> None:
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [value.shape for value in values]:
        raise CheckpointError("the checkpoint is of another network: start the training anew, under another id")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
