"""Grad-CAM, Grad-CAM++ and LayerCAM by the numbers of their papers, and where in a network they look."""

from __future__ import annotations

import tempfile
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from structlog.testing import capture_logs

from services.trainer.architectures.registry import architecture_of
from shared.contracts.bundle import BundleError
from shared.explain.cam import METHODS, GradientProbe
from shared.explain.network import by_openvino, target_layer_of
from shared.recipe import ExplanationMethod, ImageSpec
from tests.integration.slow_maps import slowly
from tests.models import paint_recipe

pytestmark = pytest.mark.xdist_group("tensorflow")
LABELS = 3
IMAGE = ImageSpec(height=32, width=48)
Numbers = NDArray[np.float64]


def _by_hand(method: str, features: Numbers, gradients: Numbers) -> Numbers:
    """One map as its paper writes it, in loops; features (height, width, channels) of 0 or more."""
    height, width, channels = features.shape
    map_ = np.zeros((height, width))
    for channel in range(channels):
        a, g = features[..., channel], gradients[..., channel]
        if method == "grad-cam":
            weight: Any = g.mean()
        elif method == "grad-cam++":
            # equation 19 for Y = exp(S): the k-th derivative is exp(S) g^k; at a small S, so that nothing overflows
            y = np.exp(0.3)
            alpha = np.divide(y * g**2, 2 * y * g**2 + a.sum() * y * g**3, out=np.zeros_like(g), where=g > 0)
            weight = (alpha * np.maximum(g, 0)).sum()
        else:
            weight = np.maximum(g, 0)
        map_ += weight * a
    return np.maximum(map_, 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_the_one_of_its_paper(method: ExplanationMethod) -> None:
    noise = np.random.default_rng(4)
    features = np.maximum(noise.normal(size=(3, 5, 7, 6)), 0)
    gradients = noise.normal(size=features.shape) * 0.2
    maps = METHODS[method](tf.constant(features), tf.constant(gradients)).numpy()
    expected = np.stack([_by_hand(method, *pair) for pair in zip(features, gradients, strict=True)])
    assert expected.max() > 0.01
    assert np.abs(maps - expected).max() < 1e-9


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("features", "gradients"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (-1.0, 1.0), (1.0, -1.0)])
def test_where_nothing_speaks_for_a_label_a_map_is_empty_and_never_no_number(
    method: ExplanationMethod, features: float, gradients: float
) -> None:
    maps = METHODS[method](tf.fill((1, 4, 4, 2), features), tf.fill((1, 4, 4, 2), gradients)).numpy()
    assert not maps.any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("architecture", "cut"),
    [
        *((name, "features") for name in ("compact", "seam-resnet", "fruit-convnet", "lite0-texture")),
        ("efficientnet-lite0", "features"),
        ("lite0-depths", "block5_expanded"),
    ],
)
def test_of_every_architecture_the_map_equals_one_computed_through_the_whole_network(
    architecture: str, cut: str, method: ExplanationMethod
) -> None:
    network = _network(architecture)
    layer = target_layer_of(network, paint_recipe())
    assert layer == cut
    images = np.random.default_rng(6).normal(size=(2, *IMAGE.shape)).astype(np.float32)
    asked = [(0, 0, True), (0, 2, False), (1, 0, False), (1, 2, True)]
    maps = GradientProbe(network, [layer], method).maps(images, asked)
    for question, (row, label, for_label) in enumerate(asked):
        slow = slowly(network, layer, images[[row]], label, for_label=for_label, method=METHODS[method])[0]
        assert np.abs(maps[question] - slow).max() < 1e-4 * max(1, slow.max())


@cache
def _network(architecture: str) -> keras.Model:
    keras.utils.set_random_seed(5)
    return architecture_of(architecture).build(IMAGE, LABELS)


def _maps_by_openvino(network: keras.Model) -> NDArray[np.float32]:
    """Maps by features of the engine that judges, next to the slow ones."""
    images = np.random.default_rng(6).normal(size=(2, 32, 48, 3)).astype(np.float32)
    maps = GradientProbe(network, ["features"], see=by_openvino).maps(images, [(0, 1, True), (1, 1, True)])
    slow = slowly(network, "features", images, 1, for_label=True, method=METHODS["grad-cam"])
    assert np.abs(maps - slow).max() < 1e-4 * max(1, slow.max())
    return maps


def test_features_of_the_engine_that_judges_give_the_same_map() -> None:
    with capture_logs() as logs:
        assert _maps_by_openvino(_network("compact")).any()
    assert logs == []


def test_features_that_openvino_cant_compute_are_left_to_tensorflow() -> None:
    inputs = keras.Input((32, 48, 3))
    seen = keras.layers.Conv2D(4, 3, activation="sigmoid")(inputs)
    features = keras.layers.Activation(tf.math.digamma, name="features")(seen)
    network = keras.Model(inputs, keras.layers.Dense(LABELS)(keras.layers.GlobalAveragePooling2D()(features)))
    with capture_logs() as logs:
        _maps_by_openvino(network)
    assert [entry["event"] for entry in logs] == ["computing features with TensorFlow"]


def test_features_that_there_is_no_room_to_compile_are_left_to_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with capture_logs() as logs:
        _maps_by_openvino(_network("compact"))
    assert [entry["event"] for entry in logs] == ["computing features with TensorFlow"]


def test_an_earlier_layer_gives_a_finer_map() -> None:
    network = architecture_of("compact").build(IMAGE, LABELS)
    early = next(layer.name for layer in network.layers if isinstance(layer, keras.layers.ReLU))
    recipe = paint_recipe(f"explanation: {{method: layer-cam, layer: {early}}}")
    assert target_layer_of(network, recipe) == early
    probe = GradientProbe(network, [early], "layer-cam")
    assert probe.maps(np.ones((1, *IMAGE.shape), np.float32), [(0, 0, True)]).shape == (1, 16, 24)


def _nested(*head: keras.layers.Layer) -> keras.Model:
    inner = keras.Input((24, 32, 3))
    outputs = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="inner_convolution")(inner)
    backbone = keras.Model(inner, keras.layers.ReLU(name="inner_relu")(outputs), name="backbone")
    return keras.Sequential([keras.Input((24, 32, 3)), backbone, *head, keras.layers.Dense(LABELS)])


def test_the_last_features_are_found_within_a_nested_network_too() -> None:
    network = _nested(keras.layers.GlobalAveragePooling2D())
    assert target_layer_of(network, paint_recipe()) == "inner_relu"


def test_a_pooled_map_is_passed_over_for_the_finer_one_before_it() -> None:
    network = _nested(keras.layers.AveragePooling2D(4), keras.layers.Flatten())
    assert target_layer_of(network, paint_recipe()) == "inner_relu"


def test_a_network_without_a_convolution_is_refused() -> None:
    network = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Rescaling(2.0), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    with pytest.raises(BundleError, match="has no convolution"):
        target_layer_of(network, paint_recipe())


def test_a_layer_that_the_recipe_names_wrongly_is_refused() -> None:
    with pytest.raises(BundleError, match="has no layer nowhere: name another"):
        target_layer_of(_nested(keras.layers.Flatten()), paint_recipe("explanation: {layer: nowhere}"))
