"""Fitting a network: from labelled pictures to the weights that did best on the validation part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import keras
import numpy as np
import structlog

from services.trainer.architectures import Architecture
from services.trainer.architectures.pretraining import Origin, hold_statistics
from services.trainer.checkpoint import Arrays, Checkpoint, CheckpointError, CheckpointStore, decode_checkpoint
from services.trainer.errors import TrainerError
from services.trainer.feeding import Feed
from services.trainer.fine_tuning import fit_head
from services.trainer.loss import loss_of
from services.trainer.pixels import PixelStore, Rows
from services.trainer.precision import Computing, computing_for, copy_weights, note_run, scaled, twin
from services.trainer.validation import Validator
from shared.heatmaps.network import target_layer_of
from shared.recipe import Recipe
from shared.training import TrainingOptions

WARM_UP: Final = 0.05
"""Of all steps, in which the learning rate rises."""

_log = structlog.stdlib.get_logger("training")


class DivergedTraining(TrainerError):
    """The loss is no number any more."""


class Listener(Protocol):
    """Whom a training tells how far it is."""

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


def fit(
    architecture: Architecture,
    recipe: Recipe,
    store: PixelStore,
    train: Rows,
    valid: Rows,
    *,
    options: TrainingOptions,
    listener: Listener,
    checkpoints: CheckpointStore | None = None,
    weights: Path | None = None,
) -> Trained:
    """Train a network, or go on where a checkpoint left off.

    A network that starts from weights learns its last layer first, and then all of it.

    Args:
        architecture: what to train.
        recipe: the task, the picture and the augmentation.
        store: the pictures of all parts.
        train: the rows to learn from.
        valid: the rows that choose the best epoch.
        options: epochs, seed and the like.
        listener: is told how far it is.
        checkpoints: where each epoch is kept; None to keep nothing.
        weights: a file to start from; by default, what is installed for this architecture.

    Raises:
        UnfitArchitecture: the network can't take such pictures.
        WeightsError: the file of weights is not what it should be.
        WrongOption: this machine is not made for the precision that was asked for.
        CheckpointError: the checkpoint is of another training.
        DivergedTraining: the loss is no number any more.
        BundleError: the network has no layer that the recipe wants heatmaps of.
    """
    keras.utils.set_random_seed(options.seed)
    computing = computing_for(options.precision, architecture)
    network, origin = _start(architecture, recipe, weights)
    tuning = origin is not None and architecture.tuning_rate is not None
    if tuning:
        hold_statistics(network)
    feed = Feed(store, train, recipe.augmentation, batch=options.batch_size, seed=options.seed)
    optimizer = _optimizer(architecture, options, feed.batches_per_epoch * options.epochs, tuning=tuning)
    learner = twin(network, computing.precision)
    learner.compile(
        scaled(optimizer, computing.precision), loss_of(recipe.task, store.labels[train]), jit_compile=False
    )
    learner.optimizer.build(learner.trainable_variables)
    keeper = _Keeper(network, Validator(store, valid, recipe.task), options, listener, checkpoints)
    first = keeper.resume(optimizer, computing)
    if tuning and not first:
        fit_head(network, store, train, recipe.task)
        keeper.consider()
    if first < options.epochs and not keeper.exhausted:
        _learn(learner, feed, keeper, first, options.epochs)
    return keeper.finish(origin)


def _start(architecture: Architecture, recipe: Recipe, weights: Path | None) -> tuple[keras.Model, Origin | None]:
    """The network as a training finds it, in float32, and where its weights come from.

    It is never compiled itself: its file would ask for our loss when it is loaded.
    """
    network = architecture.build(recipe.picture, len(recipe.labels))
    target_layer_of(network, recipe)  # told before the training, not after it
    origin = architecture.load_weights(network, weights)
    if note := architecture.note_on(origin):
        _log.warning(note)
    return network, origin


def _learn(learner: keras.Model, feed: Feed, keeper: _Keeper, first: int, last: int) -> None:
    """All epochs from ``first`` up to, not including, ``last``, unless the keeper ends them earlier."""
    copy_weights(keeper.network, learner)
    learner.fit(
        feed.epochs(first, last),
        initial_epoch=first,
        epochs=last,
        steps_per_epoch=feed.batches_per_epoch,
        callbacks=[keeper],
        shuffle=False,  # the feed has done it
        verbose=0,
    )


def _optimizer(
    architecture: Architecture, options: TrainingOptions, steps: int, *, tuning: bool
) -> keras.optimizers.Optimizer:
    """Adam with decoupled weight decay, its rate rising a little while and then falling as a cosine to zero."""
    warm_up = max(1, round(WARM_UP * steps))
    peak = options.learning_rate or (architecture.tuning_rate if tuning else None) or architecture.learning_rate
    decay = architecture.weight_decay if options.weight_decay is None else options.weight_decay
    rate = keras.optimizers.schedules.CosineDecay(
        peak / warm_up, max(1, steps - warm_up), warmup_target=peak, warmup_steps=warm_up
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


class _Keeper(keras.callbacks.Callback):  # type: ignore[misc]
    """After each epoch: validates, remembers the best weights, keeps a checkpoint, reports, and may stop early."""

    def __init__(
        self,
        network: keras.Model,
        validator: Validator,
        options: TrainingOptions,
        listener: Listener,
        checkpoints: CheckpointStore | None,
    ) -> None:
        super().__init__()
        self.network = network
        self._validator = validator
        self._options = options
        self._listener = listener
        self._checkpoints = checkpoints
        self._state = Checkpoint()

    def resume(self, optimizer: keras.Optimizer, computing: Computing) -> int:
        """Take up the last checkpoint, if there is one, whatever precision it was written in.

        Args:
            optimizer: without the scaling of its loss, which finds its factor again within a few steps.
            computing: what the rest is learned in.

        Returns:
            How many epochs are done.
        """
        self._optimizer = optimizer
        content = self._checkpoints.load() if self._checkpoints else None
        if content:
            self._state = decode_checkpoint(content)
            _assign(self.network.variables, self._state.network)
            _assign(optimizer.variables, self._state.optimizer)
        note_run(self._state.runs, computing, self._state.epoch + 1)
        return self._state.epoch

    @property
    def exhausted(self) -> bool:
        """Whether the last epochs brought nothing better."""
        return self._state.epoch - self._state.best_epoch >= self._options.patience

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Keras calls this."""
        share = (batch + 1) / self.params["steps"]
        self._listener.on_batch(self._state.epoch + 1, share, float((logs or {}).get("loss", np.nan)))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keras calls this."""
        loss = float((logs or {})["loss"])
        if not np.isfinite(loss):
            raise DivergedTraining(f"the loss is {loss} after epoch {epoch + 1}: ask for a smaller learning_rate")
        copy_weights(self.model, self.network)
        metrics = {"loss": loss, **self._validator(self.network)}
        state = self._state
        state.epoch = epoch + 1
        state.history.append(metrics)
        self._remember(metrics)
        if self._checkpoints:
            state.optimizer = [np.asarray(variable) for variable in self._optimizer.variables]
            self._checkpoints.save(state.encode())
        self._listener.on_epoch(epoch + 1, self._options.epochs, metrics)
        self.model.stop_training = self.exhausted

    def consider(self) -> None:
        """Remember the weights from before the first epoch too."""
        self._remember(self._validator(self.network))

    def finish(self, origin: Origin | None) -> Trained:
        """The network with its best weights."""
        _assign(self.network.variables, self._state.best)
        return Trained(self.network, origin, self._state.best_epoch, self._state.history, self._state.runs)

    def _remember(self, metrics: dict[str, float]) -> None:
        state = self._state
        state.network = [np.asarray(variable) for variable in self.network.variables]
        score = (round(metrics["val_average_precision"], 4), -metrics["val_loss"])
        if score > state.best_score:
            state.best_score, state.best_epoch, state.best = score, state.epoch, state.network


def _assign(variables: list[keras.Variable], values: Arrays) -> None:
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [value.shape for value in values]:
        raise CheckpointError("the checkpoint is of another network: start the training anew, under another id")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
