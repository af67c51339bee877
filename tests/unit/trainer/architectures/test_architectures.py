import numpy as np
import pytest

from services.trainer.architectures.architecture import UnfitArchitecture
from services.trainer.architectures.cost import cost_of
from services.trainer.architectures.registry import ARCHITECTURES, FEATURES, architecture_of
from shared.recipe import ImageSpec

SMALL = ImageSpec(height=48, width=32)


def test_the_first_network_has_the_size_it_always_had() -> None:
    cost = cost_of(architecture_of("seam-resnet").build(ImageSpec(height=100, width=100), 4))
    assert cost.parameters == 3_409_552
    assert cost.macs == pytest.approx(5.59e9, rel=1e-3)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_network_gives_a_logit_per_label_and_names_its_features(name: str) -> None:
    network = architecture_of(name).build(SMALL, 3)
    assert network.input_shape == (None, 48, 32, 3)
    assert network.output_shape == (None, 3)
    assert len(network.get_layer(FEATURES).output.shape) == 4


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_output_is_not_squashed(name: str) -> None:
    network = architecture_of(name).build(SMALL, 3)
    network.get_layer("logits").bias.assign([-5.0, 0.0, 5.0])
    logits = np.asarray(network(np.zeros((1, 48, 32, 3), np.float32), training=False))
    assert logits.min() < -1
    assert logits.max() > 1


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameters_are_counted_as_keras_counts_them(name: str) -> None:
    network = architecture_of(name).build(SMALL, 3)
    assert cost_of(network).parameters == network.count_params()


def test_the_small_network_is_small() -> None:
    cost = cost_of(architecture_of("compact").build(ImageSpec(), 4))
    assert cost.parameters < 350_000
    assert cost.macs < 0.1e9


def test_an_unknown_name_is_refused_with_the_known_names() -> None:
    with pytest.raises(
        UnfitArchitecture, match="'resnet': use lite0-depths, efficientnet-lite0, lite0-texture, compact, seam-resnet"
    ):
        architecture_of("resnet")


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(UnfitArchitecture, match="at least 32 x 32, and the recipe's are 16 x 64"):
        architecture_of("fruit-convnet").build(ImageSpec(height=16, width=64), 3)


@pytest.mark.parametrize(("name", "macs"), [("MobileNetV2", 0.30e9), ("ConvNeXtTiny", 4.46e9)])
def test_multiply_accumulates_of_published_networks_are_those_published(name: str, macs: float) -> None:
    cost = cost_of(architecture_of(name).build(ImageSpec(height=224, width=224), 1000))
    assert cost.macs == pytest.approx(macs, rel=0.03)
