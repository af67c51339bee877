"""Both engines on one network: trained a little, compiled, and asked the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.inference.model import load_model
from services.inference.tensorflow_engine import TensorFlowEngine
from shared.contracts.bundle import KERAS, OPENVINO, OPENVINO_WEIGHTS, RECIPE, Bundle
from shared.engines.port import EngineError
from shared.recipe import Recipe, parse_recipe
from shared.verdict import scores_of
from tests.models import keras_file, pack

pytestmark = pytest.mark.xdist_group("tensorflow")
LABELS = 4


def _recipe(task: str) -> Recipe:
    labels = "".join(
        f"  {name}: {{key: {name[0]}, colour: {colour}, role: defect}}\n"
        for name, colour in (("apple", "red"), ("brick", "blue"), ("crate", "green"), ("drum", "cyan"))
    )
    return parse_recipe(f"name: things\ntask: {task}\nimage: {{height: 40, width: 56}}\nlabels:\n{labels}")


def _network() -> Any:
    import keras

    keras.utils.set_random_seed(5)
    images = keras.Input((40, 56, 3))
    outputs = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3, strides=2, padding="same")(images))
    shortcut = outputs = keras.layers.ReLU()(outputs)
    outputs = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(outputs)
    outputs = keras.layers.Add(name="features")([outputs, shortcut])
    outputs = keras.layers.Dropout(0.3)(keras.layers.GlobalAveragePooling2D()(outputs))
    network = keras.Model(images, keras.layers.Dense(LABELS)(outputs))
    network.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    noise = np.random.default_rng(6)
    truth = noise.integers(0, 2, (32, LABELS)).astype(np.float32)
    network.fit(noise.normal(size=(32, 40, 56, 3)).astype(np.float32), truth, epochs=3, verbose=0)
    return network


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    from shared.engines.compile import compile_for_openvino

    network = _network()
    compiled = compile_for_openvino(network)
    return {KERAS: keras_file(network), OPENVINO: compiled.xml, OPENVINO_WEIGHTS: compiled.weights}


def _bundle(files: dict[str, bytes], task: str) -> Bundle:
    recipe = _recipe(task)
    return pack({**files, RECIPE: recipe.to_yaml().encode()}, recipe, "v1", target_layer="features")


@pytest.mark.parametrize("task", ["multi-label", "exclusive"])
def test_openvino_and_tensorflow_agree(files: dict[str, bytes], task: str) -> None:
    bundle = _bundle(files, task)
    openvino = load_model(bundle, "openvino", threads=2, largest_batch=16)
    tensorflow = load_model(bundle, "tensorflow", threads=2, largest_batch=16)
    images = np.random.default_rng(7).normal(size=(16, 40, 56, 3)).astype(np.float32)
    logits = openvino.engine.logits(images)
    assert np.abs(logits - tensorflow.engine.logits(images)).max() < 1e-3
    assert np.ptp(scores_of(logits, bundle.recipe.task)) > 0.01
    for size in (1, 3, 16):
        assert np.abs(openvino.engine.logits(images[:size]) - logits[:size]).max() < 1e-3
    assert openvino.engine.name.startswith("openvino 20")
    assert tensorflow.engine.name.startswith("tensorflow 2")


def test_a_network_that_would_run_code_of_its_own_is_refused() -> None:
    import keras

    images = keras.Input((8, 8, 3))
    network = keras.Model(images, keras.layers.Lambda(lambda values: values * 2)(images))
    with pytest.raises(EngineError, match=r"model\.keras names 'Lambda'"):
        TensorFlowEngine(keras_file(network))


def test_images_of_another_size_are_refused_in_words(files: dict[str, bytes]) -> None:
    for kind in ("openvino", "tensorflow"):
        model = load_model(_bundle(files, "exclusive"), kind, threads=1, largest_batch=2)
        with pytest.raises(EngineError, match="can't run the network"):
            model.engine.logits(np.zeros((1, 20, 20, 3), np.float32))


def test_importing_the_engine_sends_no_telemetry() -> None:
    import subprocess
    import sys

    code = "import sys, shared.engines.openvino as engine; print(engine.openvino.__version__); " + (
        "sys.exit(any(name.startswith('openvino_telemetry.') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
