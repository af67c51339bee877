"""A training starts from a model of the same architecture, and says why another one does not fit."""

from pathlib import Path

import numpy as np
import pytest

from services.trainer.architectures.pretraining import WeightsError
from services.trainer.architectures.registry import architecture_of
from services.trainer.training.own_model import load_initial_weights
from shared.contracts.bundle import KERAS, read_bundle_folder
from shared.engines.keras import load_network
from shared.recipe import ImageSpec

pytestmark = pytest.mark.xdist_group("tensorflow")
SAMPLE_MODEL = Path("samples/model")
SMALL = ImageSpec(height=48, width=32)


def test_a_training_can_continue_from_an_own_model() -> None:
    bundle = read_bundle_folder(SAMPLE_MODEL)
    trained = load_network(bundle.file(KERAS))
    architecture = architecture_of(bundle.manifest.architecture)
    network = architecture.build(bundle.recipe.image, len(bundle.recipe.labels))
    origin = load_initial_weights(architecture, network, SAMPLE_MODEL)
    assert origin
    assert bundle.manifest.version in origin.source
    images = np.random.default_rng(0).normal(size=(2, *bundle.recipe.image.shape)).astype(np.float32)
    assert np.asarray(network(images, training=False)) == pytest.approx(
        np.asarray(trained(images, training=False)), abs=1e-4
    )


def test_the_last_layer_for_other_labels_is_not_taken_from_an_own_model() -> None:
    bundle = read_bundle_folder(SAMPLE_MODEL)
    architecture = architecture_of(bundle.manifest.architecture)
    network = architecture.build(bundle.recipe.image, len(bundle.recipe.labels) + 1)
    before = network.get_layer("logits").get_weights()
    load_initial_weights(architecture, network, SAMPLE_MODEL)
    assert all(map(np.array_equal, network.get_layer("logits").get_weights(), before))


@pytest.mark.parametrize(
    ("name", "folder", "reason"),
    [
        ("compact", SAMPLE_MODEL, "a model of lite0-texture, and its layers are not those of compact"),
        ("lite0-texture", Path("samples"), "samples is no model"),
    ],
)
def test_a_folder_that_does_not_fit_is_no_start(name: str, folder: Path, reason: str) -> None:
    network = architecture_of(name).build(SMALL, 4)
    with pytest.raises(WeightsError, match=reason):
        load_initial_weights(architecture_of(name), network, folder)
