"""A network with weights of other images learns its last layer, and on request all of it."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from services.trainer.architectures.architecture import Architecture
from services.trainer.architectures.pretraining import WeightsOrigin, freeze_statistics
from services.trainer.datasets.pixels import PixelStore
from services.trainer.evaluation.logits import logits_of
from services.trainer.training import last_layer
from services.trainer.training.fit import fit
from services.trainer.training.last_layer import REGULARISATION, cross_entropy, fit_by_folds, fit_last_layer
from services.trainer.training.options import WrongOption
from services.trainer.training.split_images import Folds
from shared.contracts.training import TrainingOptions
from shared.recipe import ImageSpec, Task, parse_recipe

IMAGE = ImageSpec(height=16, width=16, normalisation="unit")
ROWS = np.arange(60)
ORIGIN = WeightsOrigin("random", "0" * 64)
RECIPE = parse_recipe("""
name: colours
task: multi-label
image: {height: 16, width: 16, normalisation: unit}
labels:
  reddish: {key: r, colour: red, role: defect}
  bluish: {key: b, colour: blue, role: defect}
""")


def store_of(task: Task, labels: int) -> PixelStore:
    """Images of one colour each, brighter in one of the three than in the others, as the labels say."""
    rng = np.random.default_rng(1)
    drawn, chosen = rng.integers(0, 2, (len(ROWS), labels)), rng.integers(0, labels, len(ROWS))
    truth = np.asarray(drawn if task is Task.MULTI_LABEL else np.eye(labels)[chosen], np.float32)
    colours = rng.integers(60, 120, (len(ROWS), 3))
    colours[:, :labels] += (80 * truth[:, :3]).astype(int)
    pixels = np.broadcast_to(colours[:, np.newaxis, np.newaxis], (len(ROWS), 16, 16, 3)).astype(np.uint8)
    return PixelStore(pixels, truth, IMAGE, "sha256:0")


def network_of(image: ImageSpec, labels: int) -> keras.Model:
    keras.utils.set_random_seed(1)  # its features are random, and some are too alike
    inputs = layers.Input(image.shape)
    outputs = layers.BatchNormalization()(layers.Conv2D(5, 1, activation="tanh")(inputs))
    features = layers.Activation("linear", name="features")(outputs)
    pooled = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(inputs, layers.Dense(labels, name="logits")(pooled))


PRETRAINED = Architecture(
    "tiny", "for tests", network_of, 16, 1e-2, 0.0, tuning_rate=1e-3, loader=lambda _network, _file: ORIGIN
)


class Silent:
    def on_stage(self, stage: str) -> None: ...

    def on_share(self, share: float) -> None: ...

    def on_batch(self, epoch: int, share: float, loss: float) -> None: ...

    def on_epoch(self, epoch: int, epochs: int, metrics: dict[str, float]) -> None: ...


@pytest.mark.parametrize(("task", "labels"), [(Task.MULTI_LABEL, 2), (Task.EXCLUSIVE, 2), (Task.EXCLUSIVE, 3)])
def test_the_last_layer_separates_separable_features(task: Task, labels: int) -> None:
    network, store = network_of(IMAGE, labels), store_of(task, labels)
    before = [weight.numpy() for weight in network.weights[:-2]]
    fit_last_layer(network, store, ROWS, task)
    logits = logits_of(network, store, ROWS)
    right = (logits > 0) == (store.labels > 0) if task is Task.MULTI_LABEL else picked(logits) == picked(store.labels)
    assert right.mean() > 0.9
    assert all(np.array_equal(old, new.numpy()) for old, new in zip(before, network.weights[:-2], strict=True))


def picked(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.argmax(axis=1))


def test_the_last_layer_is_a_logistic_regression_on_scaled_features() -> None:
    network, store = network_of(IMAGE, 2), store_of(Task.MULTI_LABEL, 2)
    fit_last_layer(network, store, ROWS, Task.MULTI_LABEL)
    features = logits_of(keras.Model(network.input, network.get_layer("logits").input), store, ROWS)
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISATION))
    expected = regression.fit(features, store.labels[:, 0]).decision_function(features)
    assert logits_of(network, store, ROWS)[:, 0] == pytest.approx(expected, abs=1e-3)


def test_a_feature_that_hardly_varied_among_the_images_does_not_decide_alone_about_another_image() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 8)).astype(np.float32)
    truth = (features[:, :1] > 0).astype(np.float32)
    features[:, 7] = 0.001 * truth[:, 0]
    fitted = fit_by_folds(features[np.newaxis], truth, ROWS % 5, Task.MULTI_LABEL)
    without, with_feature = np.zeros((2, 1, 8), np.float32)
    without[0, 0] = with_feature[0, 0] = -1
    with_feature[0, 7] = 1
    assert fitted.layer.logits(without)[0, 0] < 0
    change = fitted.layer.logits(with_feature)[0, 0] - fitted.layer.logits(without)[0, 0]
    assert change < 5


@pytest.mark.parametrize("task", Task)
def test_a_label_that_no_image_has_is_held_unlikely(task: Task) -> None:
    network, store = network_of(IMAGE, 3), store_of(task, 2)
    store = replace(store, labels=np.pad(store.labels, ((0, 0), (0, 1))))
    fit_last_layer(network, store, ROWS, task)
    logits = logits_of(network, store, ROWS)
    assert logits[:, 2].max() < -4
    assert logits[:, 2].max() < logits[:, :2].max(axis=1).min()


def test_statistics_of_other_images_are_held_while_all_layers_learn() -> None:
    network = network_of(IMAGE, 2)
    freeze_statistics(network)
    network.compile("sgd", "mse")
    kernel, held = (next(layer for layer in network.layers if isinstance(layer, kind)) for kind in KINDS)
    before = kernel.get_weights()[0], held.get_weights()
    network.fit(np.random.default_rng(1).normal(5, 3, (32, 16, 16, 3)), np.ones((32, 2)), verbose=0)
    assert not np.array_equal(kernel.get_weights()[0], before[0])
    assert all(np.array_equal(old, new) for old, new in zip(before[1], held.get_weights(), strict=True))


KINDS = (layers.Conv2D, layers.BatchNormalization)


def test_a_training_from_weights_is_never_worse_than_its_last_layer_alone() -> None:
    store = store_of(Task.MULTI_LABEL, 2)
    options = TrainingOptions(epochs=2, batch_size=8, learning_rate=10.0)
    ruined = fit(PRETRAINED, RECIPE, store, ROWS, ROWS, options=options, listener=Silent())
    assert ruined.best_epoch == 0
    assert ruined.origin == ORIGIN
    logits = logits_of(ruined.network, store, ROWS)
    assert ((logits > 0) == (store.labels > 0)).mean() > 0.9


def test_without_epochs_each_image_is_scored_by_a_layer_that_did_not_learn_from_its_fold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(last_layer, "REGULARISATIONS", (REGULARISATION,))
    store, fold_of = store_of(Task.MULTI_LABEL, 2), np.arange(60) % 5
    options, folds = TrainingOptions(), Folds(ROWS, fold_of, [str(row) for row in ROWS])
    trained = fit(PRETRAINED, RECIPE, store, ROWS[:40], ROWS[40:], folds=folds, options=options, listener=Silent())
    assert trained.best_epoch == 0
    assert trained.history == []
    assert trained.out_of_fold
    assert trained.out_of_fold.rows.tolist() == ROWS.tolist()
    assert ((trained.out_of_fold.logits > 0) == (store.labels > 0)).mean() > 0.85
    wrong = np.where((fold_of == 0)[:, np.newaxis], 1 - store.labels, store.labels)
    misled = fit(
        PRETRAINED,
        RECIPE,
        replace(store, labels=wrong),
        ROWS[:40],
        ROWS[40:],
        folds=folds,
        options=options,
        listener=Silent(),
    )
    assert misled.out_of_fold
    same = np.abs(misled.out_of_fold.logits - trained.out_of_fold.logits).max(axis=1) < 1e-4
    assert same[fold_of == 0].all()
    assert not same[fold_of != 0].any()
    assert np.abs(logits_of(misled.network, store, ROWS) - logits_of(trained.network, store, ROWS)).max() > 0.1


def test_fine_tuning_that_is_no_better_leaves_the_last_layer_of_all_images() -> None:
    store, folds = store_of(Task.MULTI_LABEL, 2), Folds(ROWS, np.arange(60) % 5, [str(row) for row in ROWS])
    options = TrainingOptions(epochs=1, batch_size=8, learning_rate=10.0)
    ruined = fit(PRETRAINED, RECIPE, store, ROWS[:40], ROWS[40:], folds=folds, options=options, listener=Silent())
    assert ruined.best_epoch == 0
    assert ruined.out_of_fold
    assert len(ruined.out_of_fold.rows) == 60


def test_a_network_from_random_weights_must_be_trained() -> None:
    without = replace(PRETRAINED, loader=lambda _network, _file: None)
    with pytest.raises(WrongOption, match="option epochs: tiny starts from random weights: give 1 or more"):
        fit(
            without,
            RECIPE,
            store_of(Task.MULTI_LABEL, 2),
            ROWS,
            ROWS,
            options=TrainingOptions(epochs=0),
            listener=Silent(),
        )


@pytest.mark.parametrize("task", Task)
def test_the_smoothest_layer_is_taken_where_features_say_nothing(task: Task) -> None:
    rng = np.random.default_rng(0)
    truth = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 90)]
    features = rng.normal(size=(90, 40)).astype(np.float32)
    fitted = fit_by_folds(features[np.newaxis], truth, np.arange(90) % 5, task)
    assert fitted.regularisation == min(last_layer.REGULARISATIONS)
    assert cross_entropy(np.zeros((90, 3), np.float32), truth, task) == pytest.approx(
        np.log(3) if task is Task.EXCLUSIVE else np.log(2)
    )


class Kept:
    """A checkpoint in memory; after some epochs, a kill."""

    def __init__(self, killed_after: int | None) -> None:
        self.content: bytes | None = None
        self.left = killed_after

    def load(self) -> bytes | None:
        return self.content

    def save(self, content: bytes) -> None:
        self.content = content
        if self.left is not None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


def test_a_training_from_weights_that_was_killed_ends_as_if_it_had_not_been() -> None:
    store, options = store_of(Task.MULTI_LABEL, 2), TrainingOptions(epochs=3, batch_size=8)
    whole = fit(PRETRAINED, RECIPE, store, ROWS, ROWS, options=options, listener=Silent())
    checkpoint = Kept(killed_after=1)
    with pytest.raises(KeyboardInterrupt):
        fit(PRETRAINED, RECIPE, store, ROWS, ROWS, options=options, listener=Silent(), checkpoints=checkpoint)
    checkpoint.left = None
    resumed = fit(PRETRAINED, RECIPE, store, ROWS, ROWS, options=options, listener=Silent(), checkpoints=checkpoint)
    assert [metrics["val_loss"] for metrics in resumed.history] == pytest.approx(
        [metrics["val_loss"] for metrics in whole.history], abs=1e-3
    )


def test_a_start_from_random_weights_is_noted() -> None:
    without = replace(PRETRAINED, loader=lambda _network, _file: None)
    trained = fit(
        without, RECIPE, store_of(Task.MULTI_LABEL, 2), ROWS, ROWS, options=TrainingOptions(epochs=1), listener=Silent()
    )
    assert trained.origin is None
    assert trained.best_epoch == 1
    assert without.note_on(None) == (
        "tiny starts from random weights: give a file of weights (--weights, or in TRAINER_WEIGHTS_FOLDER), "
        "or install the dependency group 'pretrained'"
    )
    assert without.note_on(ORIGIN) is None
