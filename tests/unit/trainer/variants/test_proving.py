import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

import keras
import numpy as np
import pytest

from services.trainer.architectures.registry import architecture_of
from services.trainer.datasets.pixels import PixelStore, decode_images
from services.trainer.evaluation.evaluate import evaluate
from services.trainer.evaluation.logits import engine_logits
from services.trainer.variants.proof import Proof
from services.trainer.variants.proving import (
    CALIBRATION_IMAGES,
    Reference,
    UnequalVariant,
    Variants,
    calibration_rows,
    make_variants,
)
from services.trainer.variants.quantise import CONVOLUTIONS, DEPTHWISE, quantisation_options, quantise
from shared.contracts.bundle import OPENVINO, OPENVINO_INT8, OPENVINO_INT8_WEIGHTS, OPENVINO_WEIGHTS, Variant
from shared.datasets.reading import read_dataset
from shared.engines.compile import CompiledVariant, compile_for_openvino
from shared.engines.openvino import OpenVinoEngine, openvino
from shared.recipe import ImageSpec, Recipe
from shared.verdict import scores_of
from tests.strokes import strokes_recipe

ROWS = np.arange(100)


@pytest.fixture(scope="module")
def store(strokes: Path, tmp_path_factory: pytest.TempPathFactory) -> PixelStore:
    return decode_images(read_dataset(strokes), strokes_recipe().image, tmp_path_factory.mktemp("pixels"))[1]


@pytest.fixture(scope="module")
def fp32() -> CompiledVariant:
    keras.utils.set_random_seed(0)  # not every random network bears int8 alike
    return compile_for_openvino(architecture_of("compact").build(strokes_recipe().image, 3))


def reference(
    variant: CompiledVariant, store: PixelStore, recipe: Recipe | None = None, noise: float = 0.0
) -> Reference:
    """A trained network whose logits are those of a variant, and noise."""
    recipe = recipe or strokes_recipe()
    logits = engine_logits(OpenVinoEngine(variant.xml, variant.weights), store, ROWS)
    logits += np.random.default_rng(0).normal(0, noise, logits.shape).astype(np.float32)
    groups = [str(row) for row in ROWS]
    found = evaluate(recipe, store.labels[ROWS], scores_of(logits, recipe.task), groups)
    return Reference(recipe, store, ROWS, logits, found)


def sure(variant: CompiledVariant, store: PixelStore) -> Reference:
    """A network that whose thresholds are far from every score."""
    recipe = strokes_recipe()
    labels = tuple(label.model_copy(update={"threshold": 0.999}) for label in recipe.labels)
    return reference(variant, store, recipe.model_copy(update={"labels": labels}))


def test_an_int8_form_that_judges_alike_is_offered_with_its_proof(fp32: CompiledVariant, store: PixelStore) -> None:
    variants = make_variants(fp32, sure(fp32, store), (Variant.FP32, Variant.INT8), ROWS)
    assert set(variants.files) == {OPENVINO, OPENVINO_WEIGHTS, OPENVINO_INT8, OPENVINO_INT8_WEIGHTS}
    proof = variants.proofs[Variant.INT8]
    assert (proof.images, proof.changed_verdicts) == (100, 0)
    assert 0 < proof.largest_score_difference < 0.2
    assert not variants.left_out
    assert len(variants.files[OPENVINO_INT8_WEIGHTS]) < 0.35 * len(variants.files[OPENVINO_WEIGHTS])


def test_an_int8_variant_that_changes_verdicts_is_left_out_with_the_reason(
    store: PixelStore, fp32: CompiledVariant
) -> None:
    held = reference(fp32, store)
    middles = np.median(scores_of(held.logits, held.recipe.task), axis=0)
    labels = tuple(
        label.model_copy(update={"threshold": float(middle)})
        for label, middle in zip(held.recipe.labels, middles, strict=True)
    )
    narrow = Reference(held.recipe.model_copy(update={"labels": labels}), store, ROWS, held.logits, held.evaluation)
    variants = make_variants(fp32, narrow, (Variant.FP32, Variant.INT8), ROWS)
    assert set(variants.files) == {OPENVINO, OPENVINO_WEIGHTS}
    assert Variant.INT8 not in variants.proofs
    left = variants.left_out[Variant.INT8]
    assert left.proof.changed_verdicts > 1
    assert f"it changes {left.proof.changed_verdicts} of 100 verdicts" in left.reason


def test_a_variant_whose_metric_falls_below_the_networks_interval_is_refused(
    fp32: CompiledVariant, store: PixelStore
) -> None:
    held = sure(fp32, store)
    low, _ = held.evaluation.intervals["macro_average_precision"]
    alike = Proof(images=100, largest_score_difference=0.1, changed_verdicts=0, macro_average_precision=low)
    assert held.objection(alike) is None
    rounded = alike.model_copy(update={"macro_average_precision": low - 1e-7})
    assert held.objection(rounded) is None, "the interval of a perfect network is a single point"
    unsteady = alike.model_copy(update={"moved_by_neighbours": 0.3})
    assert "0.300 from that of the image alone" in str(held.objection(unsteady))
    worse = alike.model_copy(update={"macro_average_precision": low - 0.01})
    assert "its macro average precision is" in str(held.objection(worse))


def test_a_network_that_can_not_be_compiled_alike_is_no_model(fp32: CompiledVariant, store: PixelStore) -> None:
    with pytest.raises(UnequalVariant, match="not usable for inference: it changes"):
        make_variants(fp32, reference(fp32, store, noise=5.0), (Variant.FP32,), ROWS)


def test_a_variant_that_is_not_requested_is_not_made(fp32: CompiledVariant, store: PixelStore) -> None:
    variants = make_variants(fp32, sure(fp32, store), (Variant.FP32,), ROWS)
    assert variants == Variants({Variant.FP32: fp32}, {Variant.FP32: variants.proofs[Variant.FP32]})


def test_the_same_images_give_the_same_int8_variant(fp32: CompiledVariant, store: PixelStore) -> None:
    first, second = (quantise(fp32, store, ROWS[:30]) for _ in range(2))
    assert first.weights == second.weights
    one, other = (
        engine_logits(OpenVinoEngine(variant.xml, variant.weights), store, ROWS) for variant in (first, second)
    )
    assert np.array_equal(one, other)


def test_weights_leave_a_bit_free_so_that_every_processor_gives_the_same_scores(
    fp32: CompiledVariant, store: PixelStore
) -> None:
    variant = quantise(fp32, store, ROWS[:20])
    network = openvino.Core().read_model(variant.xml, variant.weights)
    eight_bits = [
        operation.data
        for operation in network.get_ops()
        if operation.get_type_name() == "Constant" and operation.get_element_type() == openvino.Type.i8
    ]
    assert eight_bits
    assert max(int(np.abs(values.astype(int)).max()) for values in eight_bits) <= 64


def test_each_attempt_spares_more_and_depthwise_convolutions_first(fp32: CompiledVariant) -> None:
    lite0 = architecture_of("efficientnet-lite0").build(ImageSpec(height=32, width=32), 2)
    spared = [each.operations for each in quantisation_options(compile_for_openvino(lite0))]
    assert len(spared) == 3
    assert spared[0] < spared[1] < spared[2]
    assert all(name.startswith(DEPTHWISE) for name in spared[1])
    assert len(list(quantisation_options(fp32))) == 2


def test_spared_layers_stay_in_full_precision(fp32: CompiledVariant, store: PixelStore) -> None:
    last = list(quantisation_options(fp32))[-1]
    everything = _in_int8(quantise(fp32, store, ROWS[:30]))
    the_rest = _in_int8(quantise(fp32, store, ROWS[:30], last.operations))
    assert last.operations
    assert last.operations <= everything
    assert the_rest == everything - last.operations


def _in_int8(variant: CompiledVariant) -> set[str]:
    """Names of the convolutions whose weights are integers."""
    network = openvino.Core().read_model(variant.xml, variant.weights)
    convolutions = [each for each in network.get_ordered_ops() if each.get_type_name() in CONVOLUTIONS]
    return {each.get_friendly_name() for each in convolutions if _weights_of(each).get_element_type().size == 1}


def _weights_of(operation: openvino.Node) -> openvino.Node:
    node = operation.input_value(1).get_node()
    while node.get_input_size():
        node = node.input_value(0).get_node()
    return node


def test_the_ranges_come_from_validation_images_and_from_training_ones_if_these_are_few() -> None:
    rows = {"train": np.arange(1000, 3000), "valid": np.arange(500), "test": np.arange(5000, 5100)}
    many = calibration_rows(rows, seed=1)
    assert len(many) == CALIBRATION_IMAGES
    assert many.max() < 500
    assert np.array_equal(many, calibration_rows(rows, seed=1))
    few = calibration_rows({**rows, "valid": np.arange(20)}, seed=1)
    assert len(set(few.tolist())) == CALIBRATION_IMAGES
    assert set(range(20)) <= set(few.tolist())
    assert few.max() < 3000


def test_quantising_prints_nothing_and_sends_no_usage_data(fp32: CompiledVariant, store: PixelStore) -> None:
    printed = io.StringIO()
    with redirect_stdout(printed):
        quantise(fp32, store, ROWS[:5])
    assert printed.getvalue() == ""
    assert not any(name.startswith("openvino_telemetry.") for name in sys.modules)
