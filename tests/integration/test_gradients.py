"""Grad-CAM against the slow way: a gradient tape through the whole network, one image and one label at a time."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.contracts.bundle import BundleError
from shared.explain.cam import GradientProbe
from shared.explain.network import cut
from tests.integration.slow_maps import slowly

pytestmark = pytest.mark.xdist_group("tensorflow")
LABELS = 4


def _backbone(inputs: Any, filters: int = 8) -> Any:
    outputs = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(inputs)
    shortcut = outputs
    outputs = keras.layers.BatchNormalization()(outputs)
    outputs = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(outputs)
    outputs = keras.layers.Add()([outputs, shortcut])
    return keras.layers.Conv2D(filters, 3, padding="same", activation="relu", name="features")(outputs)


def _head(features: Any) -> Any:
    outputs = keras.layers.Conv2D(6, 3, padding="same", activation="tanh")(features)
    outputs = keras.layers.BatchNormalization()(outputs)
    outputs = keras.layers.Flatten()(keras.layers.AveragePooling2D(2)(outputs))
    return keras.layers.Dense(LABELS, name="logits")(keras.layers.Dropout(0.5)(outputs))


def _flat(shape: tuple[int, int, int] = (24, 32, 3)) -> keras.Model:
    inputs = keras.Input(shape)
    return keras.Model(inputs, _head(_backbone(inputs)))


def _nested() -> keras.Model:
    inner = keras.Input((24, 32, 3))
    backbone = keras.Model(inner, _backbone(inner), name="backbone")
    inputs = keras.Input((24, 32, 3))
    return keras.Model(inputs, _head(backbone(keras.layers.Rescaling(2.0)(inputs))))


def _nested_twice() -> keras.Model:
    inner = keras.Input((24, 32, 3))
    backbone = keras.Model(inner, _backbone(inner), name="backbone")
    middle = keras.Input((24, 32, 3))
    trunk = keras.Model(middle, keras.layers.ReLU()(backbone(keras.layers.Rescaling(0.5)(middle))), name="trunk")
    return keras.Sequential(
        [keras.Input((24, 32, 3)), trunk, keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(LABELS)]
    )


def _sequential() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((24, 32, 3)),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(8, 3, activation="relu", name="features"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(LABELS),
        ]
    )


def _as_in_the_paper(features: Any, gradients: Any) -> Any:
    """Equations 1 and 2 of Selvaraju et al. 2017."""
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    return tf.maximum(tf.reduce_sum(weights * features, axis=-1), 0)


def _trained(network: keras.Model, loss: keras.losses.Loss) -> keras.Model:
    """A few steps on noise: weights and batch statistics as no initialiser leaves them."""
    noise = np.random.default_rng(1)
    images = noise.normal(size=(16, *network.input_shape[1:])).astype(np.float32)
    truth = keras.utils.to_categorical(noise.integers(0, LABELS, 16), LABELS)
    network.compile("adam", loss)
    network.fit(images, truth, epochs=3, verbose=0)
    return network


@pytest.mark.parametrize(
    ("build", "loss"),
    [
        (_flat, "sigmoid"),
        (_flat, "softmax"),
        (_nested, "sigmoid"),
        (_nested_twice, "softmax"),
        (_sequential, "sigmoid"),
    ],
)
def test_the_map_equals_one_computed_through_the_whole_network(build: Any, loss: str) -> None:
    keras.utils.set_random_seed(3)
    objective = (
        keras.losses.BinaryCrossentropy(from_logits=True)
        if loss == "sigmoid"
        else keras.losses.CategoricalCrossentropy(from_logits=True)
    )
    network = _trained(build(), objective)
    images = np.random.default_rng(2).normal(size=(2, 24, 32, 3)).astype(np.float32)
    probe = GradientProbe(network, ["features"])
    asked = [(row, label, for_label) for row in range(2) for label in range(LABELS) for for_label in (True, False)]
    maps = probe.maps(images, asked)
    assert maps.max() > 1e-3
    for label in range(LABELS):
        for for_label in (True, False):
            slow = slowly(network, "features", images, label, for_label=for_label, method=_as_in_the_paper)
            rows = [asked.index((row, label, for_label)) for row in range(2)]
            assert np.abs(maps[rows] - slow).max() < 1e-4


def test_each_image_of_a_batch_is_asked_its_own_questions() -> None:
    network = _trained(_flat(), keras.losses.BinaryCrossentropy(from_logits=True))
    images = np.random.default_rng(2).normal(size=(3, 24, 32, 3)).astype(np.float32)
    probe = GradientProbe(network, ["features"])
    asked = [(2, 1, True), (0, 3, False), (2, 0, True), (0, 1, True), (0, 0, False)]
    maps = probe.maps(images, asked)
    assert maps.max() > 1e-3
    for map_, (row, label, for_label) in zip(maps, asked, strict=True):
        (alone,) = probe.maps(images[[row]], [(0, label, for_label)])
        assert map_ == pytest.approx(alone, abs=1e-5)


def test_the_halves_of_a_network_make_the_whole() -> None:
    network = _nested_twice()
    features, head = cut(network, "features")
    images = np.random.default_rng(2).normal(size=(2, 24, 32, 3)).astype(np.float32)
    assert np.allclose(head(features(images)), network(images), atol=1e-5)


def test_a_network_within_can_be_the_target() -> None:
    features, _ = cut(_nested(), "backbone")
    assert features.output_shape[1:] == (12, 16, 8)


def test_batches_of_any_size_share_the_trace_of_as_many_questions_about_an_image() -> None:
    probe = GradientProbe(_flat(), ["features"])
    for images, questions in ((1, 1), (3, 5), (2, 4), (5, LABELS)):
        batch = np.ones((images, 24, 32, 3), np.float32)
        maps = probe.maps(batch, [(number % images, number % LABELS, True) for number in range(questions)])
        assert maps.shape == (questions, 12, 16)
    assert {most: run.experimental_get_tracing_count() for most, run in probe._runs.items()} == {1: 1, 2: 1}


def test_no_question_gets_no_map() -> None:
    assert GradientProbe(_flat(), ["features"]).maps(np.ones((2, 24, 32, 3), np.float32), []).shape == (0, 12, 16)


def test_features_that_are_all_zero_give_an_empty_map() -> None:
    network = _flat()
    target = network.get_layer("features")
    target.set_weights([np.zeros_like(target.get_weights()[0]), np.full(8, -1, np.float32)])
    maps = GradientProbe(network, ["features"]).maps(np.ones((1, 24, 32, 3), np.float32), [(0, 0, True)])
    assert not maps.any()


def test_a_logit_that_no_feature_moves_gives_an_empty_map() -> None:
    network = _flat()
    head = network.get_layer("logits")
    head.set_weights([np.zeros_like(head.get_weights()[0]), np.ones(LABELS, np.float32)])
    maps = GradientProbe(network, ["features"]).maps(np.ones((1, 24, 32, 3), np.float32), [(0, 0, True), (0, 1, False)])
    assert not maps.any()


def test_grey_images_have_maps_too() -> None:
    maps = GradientProbe(_flat((40, 24, 1)), ["features"]).maps(np.ones((2, 40, 24, 1), np.float32), [(1, 0, True)])
    assert maps.shape == (1, 20, 12)


def _with_a_way_around() -> keras.Model:
    inputs = keras.Input((24, 32, 3))
    features = keras.layers.Conv2D(3, 3, padding="same", name="features")(inputs)
    outputs = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([features, inputs]))
    return keras.Model(inputs, keras.layers.Dense(LABELS)(outputs))


@pytest.mark.parametrize(
    ("build", "layer", "complaint"),
    [
        (_flat, "nowhere", "has no layer nowhere"),
        (_flat, "logits", "needs features of a convolution"),
        (_with_a_way_around, "features", "another path leads around it"),
    ],
)
def test_a_network_that_cant_be_cut_there_is_refused(build: Any, layer: str, complaint: str) -> None:
    with pytest.raises(BundleError, match=complaint):
        cut(build(), layer)
