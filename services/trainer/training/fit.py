"""Fit a network to labelled images, and choose the epoch that is best on the validation split."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Final

import keras
import numpy as np
import structlog

from services.trainer.architectures.architecture import Architecture
from services.trainer.architectures.kernel_layers import with_kernel
from services.trainer.architectures.pretraining import freeze_statistics
from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.evaluation.epoch_validation import Validator
from services.trainer.heatmaps.held_out_layers import HeldOutRows
from services.trainer.training.checkpoint import CheckpointCallback, CheckpointStore
from services.trainer.training.feeding import Feed
from services.trainer.training.heads import choose_head, heads_of
from services.trainer.training.last_layer import LOGITS, fit_last_layer, fit_without, learned_features
from services.trainer.training.learning_curve import learning_curve
from services.trainer.training.listener import TrainingListener
from services.trainer.training.loss import loss_of
from services.trainer.training.options import WrongOption
from services.trainer.training.out_of_fold import OutOfFold
from services.trainer.training.own_model import load_initial_weights
from services.trainer.training.precision import (
    FLOAT32,
    clone_in_precision,
    compute_config,
    copy_weights,
    record_run,
    with_loss_scaling,
)
from services.trainer.training.split_images import Folds
from services.trainer.training.time_limit import TimeLimit
from services.trainer.training.trained import Trained
from services.trainer.training.tried import Tried, image_in_words
from services.trainer.training.workers import Learner, Workers, agree
from shared.contracts.training import TrainingOptions
from shared.explain.network import target_layer_of
from shared.recipe import Recipe

ONE_WORKER: Final = Workers()
EPOCHS: Final = 30
"""Epochs of a network that starts from random weights, by default."""
WARM_UP: Final = 0.05
"""Share of the steps in which the learning rate rises."""

_log = structlog.stdlib.get_logger("training")


def fit(
    architecture: Architecture,
    recipe: Recipe,
    store: PixelStore,
    train: Rows,
    valid: Rows,
    *,
    folds: Folds | None = None,
    options: TrainingOptions,
    listener: TrainingListener,
    checkpoints: CheckpointStore | None = None,
    weights: Path | None = None,
    workers: Workers = ONE_WORKER,
    limit: TimeLimit | None = None,
) -> Trained:
    """Train a network, or continue from a checkpoint.

    If the network starts from pretrained weights, its last layer is fitted first. Then all layers are fine-tuned, if
    epochs are requested. If they are not, or if no epoch was better than the last layer alone, the last layer is fitted
    again, to the training and the validation split by folds.

    Args:
        architecture: what to train.
        recipe: the task, the image and the augmentation.
        store: the images of all splits.
        train: the rows of the training split.
        valid: the rows of the validation split.
        folds: the folds of both splits; None to learn from the training split alone.
        options: epochs, seed and the like.
        listener: receives the progress.
        checkpoints: where a checkpoint is saved after each epoch; None to save none.
        weights: a file of initial weights, or the folder of a model; by default, the ones that are installed for this
            architecture.
        workers: the processes that train together. The chief alone loads and saves checkpoints, validates, and reports.
        limit: until when the last layer may be tried on other features, see `heads_of`; None: the default alone is
            fitted, as several workers do.

    Raises:
        UnfitArchitecture: the network can't take such images.
        WeightsError: the file of weights can't be read or does not fit.
        WrongOption: this machine is not made for the requested precision, or no epochs are requested and the network
            has no pretrained weights.
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
    origin = load_initial_weights(architecture, network, weights)
    if note := architecture.note_on(origin):
        _log.warning(note)
    tuning = origin is not None and architecture.tuning_rate is not None
    if tuning:
        freeze_statistics(network)
    epochs = options.epochs if options.epochs is not None else 0 if tuning else EPOCHS
    if epochs and recipe.image.reference:
        raise WrongOption(
            "option epochs: with reference images the last layer alone is trained, from pretrained weights: leave it "
            "out, and install the dependency group 'pretrained' or give a file of weights"
        )
    if not epochs and not tuning:
        raise WrongOption(f"option epochs: {architecture.name} starts from random weights: give 1 or more")
    options = options.model_copy(update={"epochs": epochs})
    fixed = options.model_dump_json(exclude={"precision"}, exclude_defaults=True)
    trained_from = (architecture.name, recipe.to_yaml(), store.digest, train.tolist(), fixed, origin)
    digest = hashlib.sha256(repr(trained_from).encode()).hexdigest()
    config = agree(workers, digest, compute_config(options.precision, architecture))
    if not epochs and folds:
        runs: list[dict[str, int | str]] = []
        record_run(runs, replace(config, precision=FLOAT32), 1)
        network, found, tried = _fit_last_layer_by_folds(
            network, recipe, store, folds, listener=listener, workers=workers, limit=limit
        )
        return Trained(network, origin, 0, [], runs, found, tried=tried)
    feed = Feed(store, train, recipe.augmentation, batch=options.batch_size, seed=options.seed, rank=workers.rank)
    loss = loss_of(recipe.task, store.labels[train])
    with workers.scope():
        adam = make_optimizer(architecture, options, len(feed.batch_sizes) * epochs, tuning=tuning)
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
    if first < epochs and not callback.is_exhausted():
        workers.broadcast_variables(network.variables)
        copy_weights(network, model)
        workers.train(Learner(model, optimizer, loss, feed), callback, first, epochs)
    callback.restore_best()
    state = callback.state
    found, tried = None, ()
    if tuning and folds and not workers.broadcast(state.best_epoch):
        network, found, tried = _fit_last_layer_by_folds(
            network, recipe, store, folds, listener=listener, workers=workers, limit=limit
        )
    return Trained(network, origin, state.best_epoch, state.history, state.runs, found, tried=tried)


def _fit_last_layer_by_folds(
    network: keras.Model,
    recipe: Recipe,
    store: PixelStore,
    folds: Folds,
    *,
    listener: TrainingListener,
    workers: Workers,
    limit: TimeLimit | None,
) -> tuple[keras.Model, OutOfFold | None, tuple[Tried, ...]]:
    """Choose and fit the last layer in the chief, and give it to all ranks; return no scores in the others."""
    found: OutOfFold | None = None
    tried: tuple[Tried, ...] = ()
    if workers.rank.is_chief:
        listener.on_stage(f"computing the features of {len(folds.rows)} images")
        began = monotonic()
        copies = learned_features(network, store, folds.rows, recipe.augmentation, listener.on_share)
        seconds = monotonic() - began
        listener.on_stage(f"fitting the last layer, in {len(np.unique(folds.fold_of))} folds")
        truth, is_alone = store.labels[folds.rows], workers.rank.size == 1
        head, rows = choose_head(
            islice(heads_of(network), None if limit and is_alone else 1),
            copies,
            truth,
            folds.fold_of,
            folds.groups,
            task=recipe.task,
            limit=limit.after(seconds) if limit else None,
        )
        fitted, image = head.fitted, image_in_words(recipe.image)
        first = replace(rows[0], seconds=round(seconds + (rows[0].seconds or 0.0), 1))
        tried = tuple(replace(each, image=image) for each in (first, *rows[1:]))
        if head.kernel is not None:
            network = with_kernel(network, head.kernel)
        network.get_layer(LOGITS).set_weights([fitted.layer.kernel, fitted.layer.bias])
        listener.on_stage("fitting the last layer to parts of the images, to see what more images would bring")
        curve = learning_curve(recipe.label_names, truth, folds.fold_of, folds.groups, fitted=fitted, task=recipe.task)
        even = folds.fold_of % 2 == 0
        first_half, second_half = (fit_without(fitted, truth, half, recipe.task) for half in (even, ~even))
        halves = (
            HeldOutRows(folds.rows[even], (first_half.kernel, first_half.bias)),
            HeldOutRows(folds.rows[~even], (second_half.kernel, second_half.bias)),
        )
        found = OutOfFold(folds.rows, fitted.out_of_fold, curve, halves)
    workers.broadcast_variables(network.variables)
    return network, found, tried


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
