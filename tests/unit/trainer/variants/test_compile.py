from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from services.trainer.architectures.registry import ARCHITECTURES, FEATURES, architecture_of
from services.trainer.training.packing import Provenance, pack
from services.trainer.variants.proof import Equality, compare
from shared.contracts.bundle import (
    OPENVINO_WEIGHTS,
    Bundle,
    BundleError,
    HeatmapSpec,
    read_bundle_folder,
    version_name,
    write_bundle_folder,
)
from shared.engines.compile import compile_for_openvino
from shared.engines.openvino import OpenVinoEngine
from shared.explain.network import read_network
from shared.recipe import ImageSpec, Recipe, parse_recipe
from shared.verdict import scores_of
from tests.unit.trainer.recipes import FRUIT

RECIPE = """
name: strokes
task: multi-label
image: {height: 48, width: 32}
labels:
  good: {key: g, colour: white, role: quality}
  dark: {key: d, colour: blue, role: defect}
"""


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe(RECIPE)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(40, 48, 32, 3)).astype(np.float32)


def bundle_of(recipe: Recipe) -> Bundle:
    network = architecture_of("compact").build(recipe.image, 2)
    provenance = Provenance("20261123-0850-000000", "compact", "sha256:0", datetime(2026, 11, 23, tzinfo=UTC))
    return pack(
        network,
        compiled=compile_for_openvino(network),
        recipe=recipe,
        evaluation=b"{}",
        provenance=provenance,
        heatmaps=HeatmapSpec(method="grad-cam", layers=(FEATURES,)),
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_compiled_variant_scores_as_the_network_does(name: str, recipe: Recipe, images: np.ndarray) -> None:
    network = architecture_of(name).build(ImageSpec(height=48, width=32), 2)
    compiled = compile_for_openvino(network)
    trained = np.asarray(network(images, training=False))
    equality = compare(
        recipe,
        scores_of(trained, recipe.task),
        scores_of(OpenVinoEngine(compiled.xml, compiled.weights).logits(images), recipe.task),
    )
    assert equality.images == 40
    assert equality.largest_score_difference < 1e-4
    assert equality.changed_verdicts == 0


def test_a_variant_that_changes_verdicts_is_found(recipe: Recipe) -> None:
    trained = np.tile(np.array([4, -4], np.float32), (50, 1))
    changed = trained.copy()
    changed[:2, 1] = 4
    equality = compare(recipe, scores_of(trained, recipe.task), scores_of(changed, recipe.task))
    assert equality.changed_verdicts == 2
    assert not equality.holds


def test_another_label_of_an_exclusive_recipe_is_another_verdict() -> None:
    fruit = parse_recipe(FRUIT)
    apples, oranges = (np.tile(np.array(row, np.float32), (10, 1)) for row in ([2, 0], [0, 2]))
    assert compare(fruit, *(scores_of(each, fruit.task) for each in (apples, oranges))).changed_verdicts == 10
    assert compare(fruit, *(scores_of(each, fruit.task) for each in (apples, apples + 1))).changed_verdicts == 0


@pytest.mark.parametrize(
    ("images", "changed", "holds"), [(50, 1, True), (50, 2, False), (3000, 3, True), (3000, 4, False)]
)
def test_one_verdict_in_a_thousand_may_change(images: int, changed: int, holds: bool) -> None:
    equality = Equality(images=images, largest_score_difference=0.1, changed_verdicts=changed)
    assert equality.holds is holds


def test_a_bundle_is_read_back_as_it_was_packed(recipe: Recipe, tmp_path: Path) -> None:
    bundle = bundle_of(recipe)
    write_bundle_folder(tmp_path, bundle)
    again = read_bundle_folder(tmp_path)
    assert again.manifest == bundle.manifest
    assert again.recipe == recipe
    assert again.manifest.heatmaps.layers == (FEATURES,)
    weights = zip(read_network(bundle).get_weights(), read_network(again).get_weights(), strict=True)
    assert all(np.array_equal(before, after) for before, after in weights)


def test_a_changed_bundle_is_not_read(recipe: Recipe, tmp_path: Path) -> None:
    write_bundle_folder(tmp_path, bundle_of(recipe))
    (tmp_path / OPENVINO_WEIGHTS).write_bytes(b"other weights")
    with pytest.raises(BundleError, match=f"{OPENVINO_WEIGHTS} has changed"):
        read_bundle_folder(tmp_path)


def test_a_version_sorts_by_time_and_is_the_same_for_the_same_training() -> None:
    early = version_name(datetime(2026, 11, 23, 8, 50, tzinfo=UTC), "a")
    late = version_name(datetime(2026, 11, 23, 8, 51, tzinfo=UTC), "a")
    assert early == version_name(datetime(2026, 11, 23, 8, 50, tzinfo=UTC), "a")
    assert early < late
    assert early != version_name(datetime(2026, 11, 23, 8, 50, tzinfo=UTC), "b")
