"""What the last layer sees of the features is chosen by the data, and the default holds where nothing is better."""

from time import monotonic

import keras
import numpy as np
import pytest
from keras import layers

from services.trainer.architectures.kernel_layers import with_kernel
from services.trainer.architectures.registry import architecture_of
from services.trainer.evaluation.logits import logits_of
from services.trainer.training.heads import (
    Head,
    choose_head,
    fit_head,
    heads_of,
    is_better,
    pooled_sizes,
    weights_of,
)
from services.trainer.training.last_layer import LOGITS, Space, learned_features
from services.trainer.training.time_limit import TimeLimit
from shared.engines.compile import compile_for_openvino
from shared.engines.openvino import OpenVinoEngine
from shared.explain.cam import GradientProbe
from shared.recipe import Augmentation, ImageSpec, ReferenceSpec, Task
from tests.unit.trainer.training.test_last_layer import IMAGE, ROWS, network_of, store_of

pytestmark = pytest.mark.xdist_group("tensorflow")
LINEAR = Head("linear")
KERNEL = Head("kernel", is_kernel=True)
FOLDS = np.arange(120) % 5
GROUPS = [str(row) for row in range(120)]


def images(*, between: bool) -> tuple[np.ndarray, np.ndarray]:
    """Features that are alike, and a label that is likelier the larger they are, or true between their extremes."""
    rng = np.random.default_rng(0)
    value = rng.normal(size=120)
    features = value[np.newaxis, :, np.newaxis] + 0.1 * rng.normal(size=(1, 120, 30))
    truth = np.abs(value) < 0.7 if between else rng.uniform(size=120) < 1 / (1 + np.exp(-3 * value))
    return np.asarray(features, np.float32), np.asarray(truth[:, np.newaxis], np.float32)


@pytest.mark.parametrize(("between", "name"), [(True, "kernel"), (False, "linear")])
def test_a_kernel_is_taken_only_where_it_is_better_than_a_linear_layer(*, between: bool, name: str) -> None:
    features, truth = images(between=between)
    best, tried = choose_head([LINEAR, KERNEL], features, truth, FOLDS, GROUPS, task=Task.MULTI_LABEL, limit=None)
    assert best.head.name == name
    assert {each.head: each.chosen for each in tried} == {"linear": name == "linear", "kernel": name == "kernel"}
    right = (best.fitted.out_of_fold > 0) == (truth > 0)
    assert right.mean() > 0.75
    assert all(each.log_loss and each.average_precision and each.seconds is not None for each in tried)


def test_without_time_the_default_alone_is_fitted_and_the_others_are_named() -> None:
    features, truth = images(between=True)
    over = TimeLimit(monotonic() - 1)
    best, tried = choose_head([LINEAR, KERNEL], features, truth, FOLDS, GROUPS, task=Task.MULTI_LABEL, limit=over)
    assert best.head is LINEAR
    assert [each.log_loss is None for each in tried] == [False, True]
    assert [each.remark for each in tried] == ["", "not tried: no time was left"]


def test_many_images_of_few_groups_prove_little() -> None:
    truth, before = np.ones((120, 1), np.float32), np.zeros((120, 1), np.float32)
    logits = np.repeat(np.array([[1.0], [-0.4]], np.float32), 60, axis=0)  # better in one half, and worse in the other
    of_two_parts = ["one"] * 60 + ["other"] * 60
    assert is_better(logits, before, truth, GROUPS, Task.MULTI_LABEL)
    assert not is_better(logits, before, truth, of_two_parts, Task.MULTI_LABEL)
    assert not is_better(before, before, truth, GROUPS, Task.MULTI_LABEL)


@pytest.mark.parametrize("task", Task)
def test_a_network_with_a_kernel_is_one_network_that_compiles_and_explains(task: Task) -> None:
    store = store_of(task, 2)
    network = network_of(IMAGE, 2)
    copies = learned_features(network, store, ROWS, Augmentation())
    fitted = fit_head(KERNEL, copies, store.labels, ROWS % 5, task)
    assert fitted.kernel
    changed = with_kernel(network, fitted.kernel)
    changed.get_layer(LOGITS).set_weights([fitted.fitted.layer.kernel, fitted.fitted.layer.bias])
    logits = logits_of(changed, store, ROWS)
    assert logits == pytest.approx(fitted.logits(copies[0]), abs=1e-3)
    compiled = compile_for_openvino(changed)
    found = OpenVinoEngine(compiled.xml, compiled.weights).logits(store.prepared(ROWS))
    assert found == pytest.approx(logits, abs=1e-3)
    probe = GradientProbe(changed, ("features",), "layer-cam")
    asked = [(row, label, is_for) for row in range(4) for label in range(2) for is_for in (True, False)]
    maps = probe.maps(store.prepared(ROWS[:4]), asked)
    assert np.isfinite(maps).all()
    assert maps.max() > 0


def test_by_default_a_depth_with_many_features_counts_as_much_as_one_with_few() -> None:
    inputs = layers.Input((8, 8, 3))
    depths = [layers.Conv2D(filters, 1)(inputs) for filters in (2, 6)]
    pooled = layers.Concatenate()([layers.GlobalAveragePooling2D()(each) for each in depths])
    network = keras.Model(inputs, layers.Dense(2, name="logits")(layers.Dropout(0.1)(pooled)))
    assert pooled_sizes(network) == [2, 6]
    default, *_ = heads_of(network)
    evenly = default.weights
    assert evenly is not None
    assert np.square(evenly)[:2].sum() == pytest.approx(np.square(evenly)[2:].sum())
    assert np.square(evenly).sum() == pytest.approx(8)


def test_a_feature_without_weight_is_not_seen() -> None:
    features = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    space = Space.of(features, weights_of([1, 3], [0, 1]))
    layer = space.layer(np.ones((space.basis.shape[1], 1)), np.zeros(1))
    assert layer.kernel[0] == 0
    moved = features + np.array([5, 0, 0, 0], np.float32)
    assert np.array_equal(space.project(moved), space.project(features))


def test_beside_a_reference_the_largest_differences_alone_are_tried() -> None:
    alone = ImageSpec(height=32, width=32)
    image = alone.model_copy(update={"reference": ReferenceSpec(images=("golden.png",))})
    network = architecture_of("lite0-depths").build(image, 2)
    head = next(each for each in heads_of(network) if "differences" in each.name)
    assert head.weights is not None
    start = 0
    for number, size in enumerate(pooled_sizes(network)):
        seen, more, less = np.split(head.weights[start : start + size], 3)
        is_maximum = number % 2 == 1
        assert not seen.any()
        assert more.all() == less.all() == is_maximum
        assert more.any() == less.any() == is_maximum
        start += size
    assert not any("differences" in each.name for each in heads_of(architecture_of("lite0-depths").build(alone, 2)))
