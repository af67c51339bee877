"""How heatmaps are made is chosen by known defects: marked ones, or pasted ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from services.trainer.architectures.registry import architecture_of
from services.trainer.datasets.pixels import PixelStore, decode_images
from services.trainer.evaluation.evaluation_run import EvaluationRun
from services.trainer.heatmaps.choice import pasted_defects
from services.trainer.heatmaps.evaluation import HeatmapEvaluation, make_heatmaps
from services.trainer.heatmaps.held_out_layers import HeldOutRows
from services.trainer.heatmaps.options import HeatmapOption, MapComputer, heatmap_options
from shared.contracts.bundle import ChosenBy
from shared.datasets.labelled_images import Dataset
from shared.datasets.reading import read_dataset
from shared.explain.cam import GradientProbe
from shared.recipe import ImageSpec
from shared.verdict import scores_of
from tests.boards import boards_recipe, draw_boards
from tests.models import BIAS, WEIGHTS, paint_recipe, painted

pytestmark = pytest.mark.xdist_group("tensorflow")
IMAGES = 88
DECIDING = 48
"""The first images decide, the others measure."""


Images = tuple[Dataset, PixelStore]


def draw(folder: Path, spot: int) -> Images:
    """Draw dark images, every other one with a blue, masked square of `spot` x `spot` pixels."""
    rng, rows = np.random.default_rng(0), ["name,good,error,break,length"]
    for name in ("images", "masks", "pixels"):
        (folder / name).mkdir()
    for number in range(IMAGES):
        good = number % 2 == 0
        image = rng.integers(0, 12, (32, 32, 3), np.uint8)
        if not good:
            x, y = rng.integers(1, 32 - spot, 2)
            image[y : y + spot, x : x + spot] = painted("blue", spot, spot)
            mask = np.zeros((32, 32), np.uint8)
            mask[y : y + spot, x : x + spot] = 255
            cv2.imwrite(str(folder / "masks" / f"{number}.png"), mask)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
        rows.append(f"{number}.png,{good},{not good},False,False")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return decode_images(read_dataset(folder, paint_recipe().label_names), paint_recipe().image, folder / "pixels")


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Images with small spots, which are marked."""
    return draw(tmp_path_factory.mktemp("marked"), 6)


@pytest.fixture(scope="module")
def unmarked(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Images with large spots, of which the images that decide have no masks."""
    dataset, store = draw(tmp_path_factory.mktemp("unmarked"), 22)
    examples = [
        replace(example, masks=()) if place < DECIDING else example for place, example in enumerate(dataset.examples)
    ]
    return replace(dataset, examples=tuple(examples)), store


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """A network with fine features, and coarse ones behind them: cells of eight pixels, larger than a spot."""
    images = keras.Input((32, 32, 3))
    fine = keras.layers.Conv2D(3, 1, use_bias=False, activation="relu", name="fine")
    coarse = keras.layers.Conv2D(3, 1, use_bias=False, activation="relu", name="coarse")
    head = keras.layers.Dense(4, name="logits")
    features = coarse(keras.layers.AveragePooling2D(16)(fine(images)))
    network = keras.Model(images, head(keras.layers.GlobalAveragePooling2D()(features)))
    for layer in (fine, coarse):
        layer.set_weights([np.eye(3, dtype=np.float32)[np.newaxis, np.newaxis]])
    head.set_weights([WEIGHTS, BIAS])
    return network


def made(network: keras.Model, images: Images, explanation: str = "{}") -> HeatmapEvaluation:
    """Choose, scale and measure heatmaps."""
    (dataset, store), recipe = images, paint_recipe(f"explanation: {explanation}")
    measured, examples = np.arange(DECIDING, IMAGES), dataset.examples[DECIDING:]
    scores = scores_of(np.asarray(network(store.prepared(measured))), recipe.task)
    names, groups = [each.name for each in examples], [each.group for each in examples]
    return make_heatmaps(
        network,
        store,
        dataset.examples,
        selection_images=HeldOutRows(np.arange(DECIDING)),
        evaluation_images=HeldOutRows(measured),
        runs=[EvaluationRun(recipe, names, groups, store.labels[measured], scores)],
    )


@pytest.mark.parametrize(("images", "by"), [("marked", ChosenBy.MASKS), ("unmarked", ChosenBy.PASTED)])
def test_the_layer_is_chosen_that_points_at_defects_marked_or_pasted(
    network: keras.Model, images: str, by: ChosenBy, request: pytest.FixtureRequest
) -> None:
    heatmaps = made(network, request.getfixturevalue(images))
    assert heatmaps.spec.layers == ("fine",)
    assert heatmaps.spec.chosen_by is by
    tried = heatmaps.choice.tried
    assert tried[HeatmapOption("layer-cam", ("fine",))] > tried[HeatmapOption("layer-cam", ("coarse",))] + 0.2
    assert heatmaps.choice.defect_count >= 10


def test_the_scale_leaves_good_images_empty_and_is_measured(network: keras.Model, marked: Images) -> None:
    heatmaps = made(network, marked)
    assert set(heatmaps.spec.for_label) == {"good", "error", "break", "length"}
    assert set(heatmaps.spec.against_label) == {"good"}, "no image has a length, so nothing is known of its absence"
    assert heatmaps.spec.for_label["error"].images == 20, "the good images that were held out"
    scores = heatmaps.scores
    assert scores.false_heat
    assert scores.false_heat.share.value <= 0.12
    assert scores.labels["error"].images == 20, "the marked images that did not decide"
    assert scores.labels["error"].empty.value == 0
    assert scores.labels["error"].pointing.value > 0.9
    document: dict[str, Any] = heatmaps.document()
    assert document["layers"] == ["fine"]
    ways = {(each["method"], *each["layers"]): each["pointing"] for each in document["tried"]}
    assert ways["layer-cam", "fine"] == pytest.approx(1)


def test_a_network_looks_at_images_with_the_last_layer_that_did_not_learn_from_them(network: keras.Model) -> None:
    images = np.ones((1, 32, 32, 3), np.float32)
    before = np.asarray(network(images))
    held_out = HeldOutRows(np.arange(3), (np.zeros((3, 4), np.float32), np.arange(4, dtype=np.float32)))
    with held_out.last_layer_in(network):
        assert np.asarray(network(images)).tolist() == [[0, 1, 2, 3]]
    assert np.array_equal(np.asarray(network(images)), before)


def test_the_recipe_decides_where_it_names_a_method_or_a_layer(network: keras.Model, marked: Images) -> None:
    whole = made(network, marked, "{method: grad-cam, layer: coarse}").spec
    assert (whole.method, whole.layers, whole.chosen_by) == ("grad-cam", ("coarse",), ChosenBy.RECIPE)
    half = heatmap_options(network, paint_recipe("explanation: {method: grad-cam++}"))
    assert half == [HeatmapOption("grad-cam++", ("coarse",)), HeatmapOption("grad-cam++", ("fine",))]


@pytest.mark.parametrize(("architecture", "alone"), [("efficientnet-lite0", 7), ("lite0-depths", 4)])
def test_layers_between_the_blocks_are_tried_and_all_of_them_together(architecture: str, alone: int) -> None:
    network = architecture_of(architecture).build(ImageSpec(height=64, width=64), 2)
    together, *others = heatmap_options(network, paint_recipe())
    assert {"block10_sum", "block4_sum", "block2_sum"} < set(together.layers)
    assert len(together.layers) == 6
    early = [each for each in others if each.method == "layer-cam"]
    assert {"block4_sum", "block2_sum"} < {layer for each in early for layer in each.layers}
    assert len(early) >= alone


class Differing:
    """A network that finds a hole where image and reference differ."""

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        difference = np.abs(np.subtract(*np.split(images, 2, axis=3))).mean(axis=(1, 2, 3))
        return np.stack([-difference, difference], axis=1)


def test_a_defect_is_pasted_on_the_image_and_not_on_its_reference(tmp_path: Path) -> None:
    recipe = boards_recipe()
    dataset = read_dataset(draw_boards(tmp_path, 8), recipe.label_names)
    store, rows = decode_images(dataset, recipe.image, tmp_path)[1], np.arange(8)
    before = store.prepared(rows)[..., 3:]
    found = pasted_defects(cast("MapComputer", Differing()), recipe, store, rows)
    assert found
    for defect in found:
        assert any(np.array_equal(defect.image[..., 3:], reference) for reference in before)


def test_all_maps_at_once_are_those_of_each_way_alone() -> None:
    keras.utils.set_random_seed(5)
    spec = ImageSpec(height=32, width=48)
    network = architecture_of("compact").build(spec, 3)
    candidates = heatmap_options(network, paint_recipe())
    images = np.random.default_rng(6).normal(size=(2, *spec.shape)).astype(np.float32)
    every_map = MapComputer(network, candidates).maps(images, [(0, True), (2, False)])
    assert max(len(candidate.layers) for candidate in candidates) >= 3, "several layers together are tried as well"
    for (method, layers), maps in zip(candidates, every_map, strict=True):
        alone = GradientProbe(network, layers, method).maps(images, [(0, 0, True), (1, 2, False)])
        assert np.abs(maps - alone).max() < 1e-4 * max(1, alone.max())
