"""Fit a network to labelled images, and choose the epoch that is best on the validation split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import keras
import structlog

from services.trainer.architectures.architecture import Architecture
from services.trainer.architectures.pretraining import Origin, freeze_statistics
from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.evaluation.validation import Validator
from services.trainer.training.checkpoint import CheckpointCallback, CheckpointStore, Listener
from services.trainer.training.feeding import Feed
from services.trainer.training.fine_tuning import fit_last_layer
from services.trainer.training.loss import loss_of
from services.trainer.training.precision import clone_in_precision, compute_config, copy_weights, with_loss_scaling
from services.trainer.training.workers import Learner, Workers, agree
from shared.contracts.training import TrainingOptions
from shared.explain.network import target_layer_of
from shared.recipe import Recipe

ONE_WORKER: Final = Workers()
WARM_UP: Final = 0.05
"""Share of the steps in which the learning rate rises."""

_log = structlog.stdlib.get_logger("training")


@dataclass(frozen=True)
class Trained:
    """The result of a training."""

    network: keras.Model
    """With the weights of the best epoch."""
    origin: Origin | None
    """Of the initial weights; None for random ones."""
    best_epoch: int
    """From 1; 0 if no epoch of fine-tuning was better than fitting the last layer alone."""
    history: list[dict[str, float]]
    runs: list[dict[str, int | str]]
    """The precision and the hardware, with the epoch from which on: several if the training continued elsewhere."""


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
    workers: Workers = ONE_WORKER,
) -> Trained:
    """Train a network, or continue from a checkpoint.

    If the network starts from pretrained weights, its last layer is fitted first, and then all layers are fine-tuned.

    Args:
        architecture: what to train.
        recipe: the task, the image and the augmentation.
        store: the images of all splits.
        train: the rows of the training split.
        valid: the rows of the validation split.
        options: epochs, seed and the like.
        listener: receives the progress.
        checkpoints: where a checkpoint is saved after each epoch; None to save none.
        weights: a file of initial weights; by default, the ones that are installed for this architecture.
        workers: the processes that train together. The chief alone loads and saves checkpoints, validates, and reports.

    Raises:
        UnfitArchitecture: the network can't take such images.
        WeightsError: the file of weights is not usable.
        WrongOption: this machine is not made for the requested precision.
        CheckpointError: the checkpoint is of another training.
        DivergedTraining: the loss or the outputs are not finite.
        UnevenBatch: the workers can't share a batch evenly.
        UnlikeWorker: the workers would not train the same.
        LostWorker: a worker is gone.
        BundleError: the network has no layer for the heatmaps that the recipe asks for.
    """
    keras.utils.set_random_seed(options.seed)
    # never compiled itself: a compiled network asks for our loss when its file is loaded
    network = architecture.build(recipe.image, len(recipe.labels))
    target_layer_of(network, recipe)  # raises before the training, and not after it
    origin = architecture.load_weights(network, weights)
    if note := architecture.note_on(origin):
        _log.warning(note)
    tuning = origin is not None and architecture.tuning_rate is not None
    if tuning:
        freeze_statistics(network)
    fixed = options.model_dump_json(exclude={"precision"}, exclude_defaults=True)
    trained_from = (architecture.name, recipe.to_yaml(), store.digest, train.tolist(), fixed, origin)
    digest = hashlib.sha256(repr(trained_from).encode()).hexdigest()
    config = agree(workers, digest, compute_config(options.precision, architecture))
    feed = Feed(store, train, recipe.augmentation, batch=options.batch_size, seed=options.seed, rank=workers.rank)
    loss = loss_of(recipe.task, store.labels[train])
    with workers.scope():
        adam = make_optimizer(architecture, options, len(feed.batch_sizes) * options.epochs, tuning=tuning)
        model = clone_in_precision(network, config.precision, config.replicas)
        optimizer = with_loss_scaling(adam, config.precision)
        optimizer.build(model.trainable_variables)
    callback = CheckpointCallback(
        network,
        optimizer=adam,
        validator=Validator(store, valid, recipe.task),
        options=options,
        listener=listener,
        workers=workers,
        checkpoints=checkpoints,
    )
    first = callback.resume(digest, config)
    if first:
        listener.on_stage(f"continuing after epoch {first}")
    if tuning and not first and workers.rank.is_chief:
        listener.on_stage("fitting the last layer")
        fit_last_layer(network, store, train, recipe.task)
        callback.remember_best()
    if first < options.epochs and not callback.is_exhausted():
        workers.broadcast_variables(network.variables)
        copy_weights(network, model)
        workers.train(Learner(model, optimizer, loss, feed), callback, first, options.epochs)
    callback.restore_best()
    return Trained(network, origin, callback.state.best_epoch, callback.state.history, callback.state.runs)


def make_optimizer(
    architecture: Architecture, options: TrainingOptions, steps: int, *, tuning: bool
) -> keras.optimizers.Optimizer:
    """Return Adam with decoupled weight decay; its rate rises at first, and then falls to zero like a cosine."""
    warm_up = max(1, round(WARM_UP * steps))
    peak = options.learning_rate or (architecture.tuning_rate if tuning else None) or architecture.learning_rate
    decay = architecture.weight_decay if options.weight_decay is None else options.weight_decay
    rate = keras.optimizers.schedules.CosineDecay(
        peak / warm_up, max(1, steps - warm_up), warmup_target=peak, warmup_steps=warm_up
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
