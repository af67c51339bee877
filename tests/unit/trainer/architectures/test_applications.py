"""Backbones of ``keras.applications`` see what they see where Keras itself prepares images and loads weights."""

from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest

from services.trainer.architectures.applications import APPLICATIONS, scale_of
from services.trainer.architectures.architecture import UnfitArchitecture
from services.trainer.architectures.pretraining import WeightsError, rescale, weights_in
from services.trainer.architectures.registry import FEATURES, architecture_of
from services.trainer.training.packing import keras_file
from shared.engines.compile import compile_for_openvino
from shared.engines.openvino import OpenVinoEngine
from shared.imaging.preprocessing import IMAGENET_DEVIATION, IMAGENET_MEAN, normalise
from shared.recipe import ImageSpec

SPEC = ImageSpec(height=48, width=32, normalisation="imagenet")
PIXELS = np.random.default_rng(1).integers(0, 256, (48, 32, 3), np.uint8)
PLAIN = [name for name in APPLICATIONS if not name.startswith("EfficientNetB")]
"""All whose whole preparation is a function of Keras; EfficientNet's first one is partly within the network."""


def module_of(name: str) -> ModuleType:
    """Where Keras has the function that prepares images for a network."""
    modules = [module for module in vars(keras.applications).values() if isinstance(module, ModuleType)]
    return next((module for module in modules if hasattr(module, name)), keras.applications.mobilenet_v3)


@pytest.fixture
def weights(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Weights as Keras publishes them, but random."""
    network = getattr(keras.applications, request.param)(include_top=False, weights=None, input_shape=SPEC.shape)
    rng = np.random.default_rng(2)
    of_imagenet = {"mean": IMAGENET_MEAN, "variance": IMAGENET_DEVIATION**2}
    for weight in network.weights:
        if len(weight.shape) == 1:
            weight.assign(of_imagenet.get(weight.name, rng.uniform(0.5, 1.5, weight.shape)))
    network.save_weights(tmp_path / "theirs.weights.h5")
    return tmp_path / "theirs.weights.h5"


@pytest.mark.parametrize("normalisation", ["imagenet", "unit"])
@pytest.mark.parametrize("name", PLAIN)
def test_images_are_prepared_as_keras_prepares_them(name: str, normalisation: str) -> None:
    spec = ImageSpec.model_validate({"height": 48, "width": 32, "normalisation": normalisation})
    inputs = keras.Input(spec.shape)
    prepare = keras.Model(inputs, rescale(inputs, spec, scale_of(name)))
    expected = module_of(name).preprocess_input(PIXELS[np.newaxis].astype(np.float32))
    assert np.abs(np.asarray(prepare(normalise(PIXELS, spec)[np.newaxis])) - expected).max() < 1e-3


@pytest.mark.parametrize("weights", ["MobileNet", "EfficientNetB0"], indirect=True)
def test_features_are_those_of_keras_with_the_same_weights(
    weights: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.params["weights"]
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(weights))
    theirs = getattr(keras.applications, name)(include_top=False, weights="imagenet", input_shape=SPEC.shape)
    expected = np.asarray(theirs(module_of(name).preprocess_input(PIXELS[np.newaxis].astype(np.float32))))

    architecture = architecture_of(name)
    network = architecture.build(SPEC, 2)
    origin = architecture.load_weights(network, weights)
    ours = keras.Model(network.input, network.get_layer(FEATURES).output)
    found = np.asarray(ours(normalise(PIXELS, SPEC)[np.newaxis], training=False))
    assert 0 < expected.std() < np.inf
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert origin is not None
    assert origin.source == "theirs.weights.h5"


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(tmp_path / "theirs.weights.h5")
    architecture = architecture_of("VGG16")
    with pytest.raises(WeightsError, match=r"theirs\.weights\.h5: .*: give weights of VGG16 without its top"):
        architecture.load_weights(architecture.build(SPEC, 2), tmp_path / "theirs.weights.h5")


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    architecture = architecture_of("VGG16")
    network = architecture.build(SPEC, 2)
    for name in ("text.h5", "text.weights.h5", "text.keras", "text.pth"):
        with pytest.raises(WeightsError, match="can't be read"):
            architecture.load_weights(network, tmp_path / name)
        (tmp_path / name).write_text("no weights")
        with pytest.raises(WeightsError, match=f"{name}: .*: give weights of VGG16 without its top"):
            architecture.load_weights(network, tmp_path / name)


def test_without_a_file_nothing_is_loaded() -> None:
    architecture = architecture_of("VGG16")
    assert architecture.load_weights(architecture.build(SPEC, 2)) is None


def test_a_network_that_swaps_colours_is_kept_and_compiled(tmp_path: Path) -> None:
    network = architecture_of("VGG16").build(SPEC, 2)
    (tmp_path / "model.keras").write_bytes(keras_file(network))
    images = normalise(PIXELS, SPEC)[np.newaxis]
    expected = np.asarray(network(images, training=False))
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert np.asarray(again(images, training=False)) == pytest.approx(expected, abs=1e-4)
    compiled = compile_for_openvino(network)
    assert np.abs(OpenVinoEngine(compiled.xml, compiled.weights).logits(images) - expected).max() < 1e-3


def test_the_least_size_is_reported() -> None:
    with pytest.raises(UnfitArchitecture, match="InceptionV3 needs images of at least 75 x 75"):
        architecture_of("InceptionV3").build(SPEC, 2)


def test_weights_of_a_folder_are_found_by_the_name_of_the_architecture(tmp_path: Path) -> None:
    for name in ("ResNet50.weights.h5", "ResNet50V2.weights.h5", "efficientnet-lite0.bin"):
        (tmp_path / name).touch()
    assert weights_in(tmp_path, "ResNet50") == tmp_path / "ResNet50.weights.h5"
    assert weights_in(tmp_path, "efficientnet-lite0") == tmp_path / "efficientnet-lite0.bin"
    assert weights_in(tmp_path, "ResNet") is None
    assert weights_in(None, "ResNet50") is None


def test_a_folder_with_two_files_for_an_architecture_or_none_at_all_is_refused(tmp_path: Path) -> None:
    for name in ("ResNet50.weights.h5", "ResNet50.old.h5"):
        (tmp_path / name).touch()
    with pytest.raises(WeightsError, match="leave only one of them there"):
        weights_in(tmp_path, "ResNet50")
    with pytest.raises(WeightsError, match="TRAINER_WEIGHTS_FOLDER"):
        weights_in(tmp_path / "absent", "ResNet50")
