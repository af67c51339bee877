"""Fitting a network: from labelled images to the weights that did best on the validation part."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import keras
import structlog

from services.trainer.architectures.architecture import Architecture
from services.trainer.architectures.pretraining import Origin, hold_statistics
from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.evaluation.validation import Validator
from services.trainer.training.checkpoint import CheckpointStore
from services.trainer.training.checkpoint_callback import Keeper, Listener, Trained
from services.trainer.training.feeding import Feed
from services.trainer.training.fine_tuning import fit_head
from services.trainer.training.loss import Loss, loss_of
from services.trainer.training.precision import Computing, computing_for, copy_weights, scaled, twin
from services.trainer.training.workers import Lesson, Workers, agree
from shared.contracts.training import TrainingOptions
from shared.explain.network import target_layer_of
from shared.recipe import Recipe

ONE_WORKER: Final = Workers()
WARM_UP: Final = 0.05
"""Of all steps, in which the learning rate rises."""

_log = structlog.stdlib.get_logger("training")


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
    """Train a network, or go on where a checkpoint left off.

    A network that starts from weights learns its last layer first, and then all of it.

    Args:
        architecture: what to train.
        recipe: the task, the image and the augmentation.
        store: the images of all parts.
        train: the rows to learn from.
        valid: the rows that choose the best epoch.
        options: epochs, seed and the like.
        listener: is told how far it is.
        checkpoints: where each epoch is kept; None to keep nothing.
        weights: a file to start from; by default, what is installed for this architecture.
        workers: who learn together. The chief alone reads and keeps checkpoints, validates, and is listened to.

    Raises:
        UnfitArchitecture: the network can't take such images.
        WeightsError: the file of weights is not what it should be.
        WrongOption: this machine is not made for the precision that was asked for.
        CheckpointError: the checkpoint is of another training.
        DivergedTraining: the loss, or what the network says, is no number any more.
        UnevenBatch: the workers can't share a batch evenly.
        UnlikeWorker: the workers would not learn the same.
        LostWorker: one of them is gone.
        BundleError: the network has no layer that the recipe wants heatmaps of.
    """
    keras.utils.set_random_seed(options.seed)
    network, origin = _start(architecture, recipe, weights)
    tuning = origin is not None and architecture.tuning_rate is not None
    if tuning:
        hold_statistics(network)
    subject = _digest(architecture.name, recipe.to_yaml(), store.digest, train.tolist(), _learning(options), origin)
    computing = agree(workers, subject, computing_for(options.precision, architecture))
    feed = Feed(store, train, recipe.augmentation, batch=options.batch_size, seed=options.seed, seat=workers.seat)
    loss = loss_of(recipe.task, store.labels[train])
    with workers.scope():
        adam = _optimizer(architecture, options, len(feed.batch_sizes) * options.epochs, tuning=tuning)
        lesson = _lesson(network, adam, computing, loss, feed)
    keeper = Keeper(
        network,
        optimizer=adam,
        validator=Validator(store, valid, recipe.task),
        options=options,
        listener=listener,
        workers=workers,
        checkpoints=checkpoints,
    )
    first = keeper.resume(subject, computing)
    if first:
        listener.on_stage(f"going on after epoch {first}")
    if tuning and not first and workers.seat.is_chief:
        listener.on_stage("fitting the last layer")
        fit_head(network, store, train, recipe.task)
        keeper.consider()
    if first < options.epochs and not keeper.told_to_stop():
        workers.take_from_chief(network.variables)
        copy_weights(network, lesson.learner)
        workers.learn(lesson, keeper, first, options.epochs)
    return keeper.finish(origin)


def _learning(options: TrainingOptions) -> str:
    """The options that a training may not change on its way."""
    return options.model_dump_json(exclude={"precision"}, exclude_defaults=True)


def _digest(*subject: object) -> str:
    return hashlib.sha256(repr(subject).encode()).hexdigest()


def _lesson(
    network: keras.Model, optimizer: keras.optimizers.Optimizer, computing: Computing, loss: Loss, feed: Feed
) -> Lesson:
    """What learns for the network, with its optimizer ready."""
    learner = twin(network, computing.precision, computing.replicas)
    optimizer = scaled(optimizer, computing.precision)
    optimizer.build(learner.trainable_variables)
    return Lesson(learner, optimizer, loss, feed)


def _start(architecture: Architecture, recipe: Recipe, weights: Path | None) -> tuple[keras.Model, Origin | None]:
    """The network as a training finds it, in float32, and where its weights come from.

    It is never compiled itself: its file would ask for our loss when it is loaded.
    """
    network = architecture.build(recipe.image, len(recipe.labels))
    target_layer_of(network, recipe)  # told before the training, not after it
    origin = architecture.load_weights(network, weights)
    if note := architecture.note_on(origin):
        _log.warning(note)
    return network, origin


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
