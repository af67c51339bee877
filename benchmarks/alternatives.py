"""Measure what a user could take instead of the trainer's defaults, on the same folds of the same packs.

    python -m benchmarks.alternatives [--pack bsdata_pitting]… [--method scikit-learn]… [--folds 5]

Every method starts from the same weights of EfficientNet-Lite0, learns from four fifths of the groups, and judges the
last fifth. `Seamline` is what `train` does with no option. `scikit-learn` is a logistic regression per label on the
pooled output of the last convolution. `Keras` is the fine-tuning of Keras's guide to EfficientNet: a new last layer on
the frozen network for 25 epochs, then the last 20 layers for 4 epochs, with random flips, turns, shifts and contrast.
Both read images of 224 x 224 pixels, and call a label present from a score of 0.5. Anomalib and AutoKeras are not
measured: their weights are not in their packages and must be downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from itertools import islice
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Final

import cv2
import keras
import numpy as np
import typer
from keras import layers
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.packs import (
    DATA,
    FIRST,
    PACKS,
    Data,
    FirstModel,
    Packs,
    grouped_folds,
    measure_first,
    with_divided_groups,
)
from services.trainer.architectures.registry import architecture_of
from services.trainer.cli.train_and_evaluate import read_images
from services.trainer.datasets.pixels import decode_images
from services.trainer.evaluation.evaluate import macro_average_precision
from shared.contracts.training import ARCHITECTURES
from shared.recipe import ImageSpec, Task, read_recipe

SIDE: Final = 224
BATCH: Final = 64
NEW_LAYER_EPOCHS: Final = 25
TUNING_EPOCHS: Final = 4
TUNED_LAYERS: Final = 20
COLUMNS: Final = ("pack", "method", "folds", "macro average precision", "right", "escapes", "overkill", "minutes")

Pixels = NDArray[np.float32]
"""(images, 224, 224, 3), 0 to 255."""
Truth = NDArray[np.float32]
"""(images, labels), 0 or 1."""
Scores = NDArray[np.float32]
"""(images, labels), 0 to 1."""


class Method(StrEnum):
    """A way to a first model."""

    SEAMLINE = "Seamline"
    SCIKIT_LEARN = "scikit-learn"
    KERAS = "Keras"


Methods = Annotated[list[Method] | None, typer.Option(help="Methods; by default all.")]


def main(
    *,
    data: Data = DATA,
    pack: Packs = None,
    method: Methods = None,
    folds: Annotated[int, typer.Option(min=1, max=5, help="Number of folds that the other methods judge.")] = 5,
) -> None:
    """Print a line for each pack and method."""
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for name in pack or FIRST:
        for each in method or Method:
            if each is Method.SEAMLINE:
                found = measure_first(data / name, next(iter(ARCHITECTURES)))
            else:
                found = measure_other(data / name, FITS[each], folds)
            print(row(name, each, found), flush=True)


def row(pack: str, method: Method, found: FirstModel) -> str:
    """Return a line of the table; minutes are those of one model."""
    if found.ng:
        ok = found.images - found.ng
        right = f"{1 - (found.escapes + found.overkills) / found.images:.1%}"
        rates = f"{found.escapes / found.ng:.1%}", f"{found.overkills / ok:.1%}"
    else:
        right, rates = f"{found.right_labels / found.images:.1%} of labels", ("", "")
    precisions, minutes = found.precisions, f"{found.seconds / 60:.1f}"
    return f"| {' | '.join((pack, method, str(len(precisions)), f'{mean(precisions):.3f}', right, *rates, minutes))} |"


def measure_other(pack: Path, fit: Callable[[Pixels, Truth, Task, Pixels], Scores], folds: int) -> FirstModel:
    """Learn from four folds and judge the fifth, as often as asked."""
    task = read_recipe(PACKS[pack.name]).task
    images, recipe = read_images(pack, None, task, None)
    with TemporaryDirectory() as scratch:
        dataset, store = decode_images(images, recipe.image, Path(scratch))
        pixels = np.stack([cv2.resize(as_rgb(each), (SIDE, SIDE)) for each in store.pixels]).astype(np.float32)
    found = FirstModel(0, 0.0)
    for learned, test in islice(grouped_folds(with_divided_groups(dataset.examples)), folds):
        keras.utils.set_random_seed(0)
        began = perf_counter()
        scores, truth = fit(pixels[learned], store.labels[learned], task, pixels[test]), store.labels[test]
        found.seconds += (perf_counter() - began) / folds
        found.images += len(test)
        found.precisions.append(macro_average_precision(truth, scores))
        if task is Task.EXCLUSIVE:
            found.right_labels += int((scores.argmax(axis=1) == truth.argmax(axis=1)).sum())
        else:
            found.add_verdicts(recipe, truth, scores)
    return found


def as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image of one or three channels with three."""
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def network_without_last_layer() -> keras.Model:
    """Return EfficientNet-Lite0 with ImageNet's weights, up to the last convolution."""
    lite0 = architecture_of("efficientnet-lite0")
    whole = lite0.build(ImageSpec(height=SIDE, width=SIDE, normalisation="unit"), 1)
    lite0.load_weights(whole)
    return keras.Model(whole.input, whole.get_layer("features").output)


def fit_scikit_learn(learned: Pixels, truth: Truth, task: Task, test: Pixels) -> Scores:
    """Fit a logistic regression on pooled features."""
    network = network_without_last_layer()
    pooled = keras.Model(network.input, layers.GlobalAveragePooling2D()(network.output))
    of_learned, of_test = (pooled.predict(each / 255, batch_size=BATCH, verbose=0) for each in (learned, test))
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    if task is Task.EXCLUSIVE:
        return np.asarray(regression.fit(of_learned, truth.argmax(axis=1)).predict_proba(of_test), np.float32)
    scores = [regression.fit(of_learned, label).predict_proba(of_test)[:, 1] for label in truth.T]
    return np.stack(scores, axis=1).astype(np.float32)


def fit_keras(learned: Pixels, truth: Truth, task: Task, test: Pixels) -> Scores:
    """Fine-tune the network in two steps, by Keras's guide (Yixing Fu 2020, "Image classification via fine-tuning")."""
    network, inputs = network_without_last_layer(), keras.Input((SIDE, SIDE, 3))
    changed = inputs
    for change in (
        layers.RandomRotation(0.15),
        layers.RandomTranslation(0.1, 0.1),
        layers.RandomFlip(),
        layers.RandomContrast(0.1),
    ):
        changed = change(changed)
    network.trainable = False
    pooled = layers.GlobalAveragePooling2D()(network(changed / 255, training=False))
    pooled = layers.Dropout(0.2)(layers.BatchNormalization()(pooled))
    exclusive = task is Task.EXCLUSIVE
    outputs = layers.Dense(truth.shape[1], activation="softmax" if exclusive else "sigmoid")(pooled)
    model = keras.Model(inputs, outputs)
    loss = "categorical_crossentropy" if exclusive else "binary_crossentropy"
    model.compile(keras.optimizers.Adam(1e-2), loss)
    model.fit(learned, truth, batch_size=BATCH, epochs=NEW_LAYER_EPOCHS, verbose=0)
    for layer in network.layers[-TUNED_LAYERS:]:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    model.compile(keras.optimizers.Adam(1e-5), loss)
    model.fit(learned, truth, batch_size=BATCH, epochs=TUNING_EPOCHS, verbose=0)
    return np.asarray(model.predict(test, batch_size=BATCH, verbose=0), np.float32)


FITS: Final = {Method.SCIKIT_LEARN: fit_scikit_learn, Method.KERAS: fit_keras}

if __name__ == "__main__":
    typer.run(main)
