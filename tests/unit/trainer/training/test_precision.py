from collections.abc import Callable

import keras
import numpy as np
import pytest

from services.trainer.architectures.compact import build_compact
from services.trainer.architectures.lite0_texture import build_lite0_texture
from services.trainer.architectures.registry import ARCHITECTURES, architecture_of
from services.trainer.training.options import WrongOption
from services.trainer.training.precision import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    ComputeConfig,
    Hardware,
    clone_in_precision,
    compute_config,
    copy_weights,
    hardware_of_this_machine,
    processor,
    record_run,
    with_loss_scaling,
)
from shared.contracts.training import Precision
from shared.recipe import ImageSpec

OLD = Hardware("an old processor", None)
NEW = Hardware("a processor with bfloat16", BFLOAT16)
GPU = Hardware("a GPU", FLOAT16)
SMALL = ImageSpec(height=32, width=32)


@pytest.mark.parametrize(
    ("requested", "architecture", "hardware", "expected"),
    [
        (Precision.AUTO, "seam-resnet", OLD, FLOAT32),
        (Precision.AUTO, "seam-resnet", NEW, BFLOAT16),
        (Precision.AUTO, "efficientnet-lite0", NEW, FLOAT32),
        (Precision.AUTO, "efficientnet-lite0", GPU, FLOAT16),
        (Precision.MIXED, "efficientnet-lite0", NEW, BFLOAT16),
        (Precision.FLOAT32, "seam-resnet", GPU, FLOAT32),
    ],
)
def test_the_precision_fits_hardware_and_architecture(
    requested: Precision, architecture: str, hardware: Hardware, expected: str
) -> None:
    assert compute_config(requested, ARCHITECTURES[architecture], hardware).precision == expected


def test_mixed_precision_is_refused_where_the_machine_is_not_made_for_it() -> None:
    with pytest.raises(WrongOption, match="an old processor is neither: use auto or float32"):
        compute_config(Precision.MIXED, ARCHITECTURES["seam-resnet"], OLD)


@pytest.mark.parametrize(
    ("flags", "name", "policy"),
    [
        ("fpu avx512f avx512_bf16", "Swift 9 with avx512_bf16", BFLOAT16),
        ("fpu amx_bf16 amx_tile", "Swift 9 with amx_bf16", BFLOAT16),
        ("fpu avx2", "Swift 9", None),
    ],
)
def test_a_processor_is_known_by_its_flags(flags: str, name: str, policy: str | None) -> None:
    assert processor(f"processor\t: 0\nmodel name\t: Swift 9\nflags\t\t: {flags}\n\n") == Hardware(name, policy)


def test_this_machine_has_a_name() -> None:
    assert hardware_of_this_machine().name
    assert processor("").name


def scaled_first(image: ImageSpec, labels: int) -> keras.Model:
    """A network that has its pixels' mean and deviation as weights, like some published ones."""
    inputs = keras.layers.Input(image.shape)
    scale = keras.layers.Normalization(name="scale")
    scale.adapt(np.random.default_rng(1).normal(3, 2, (4, *image.shape)))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(scale(inputs)))
    return keras.Model(inputs, keras.layers.Dense(labels, name="logits")(pooled))


@pytest.mark.parametrize("build", [build_compact, build_lite0_texture, scaled_first])
def test_a_clone_gives_the_outputs_of_its_network_but_for_rounding(
    build: Callable[[ImageSpec, int], keras.Model],
) -> None:
    network = build(SMALL, 3)
    learner = clone_in_precision(network, BFLOAT16)
    images = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)
    ours, theirs = np.asarray(network(images)), np.asarray(learner(images))
    assert ours == pytest.approx(theirs, rel=0.15, abs=0.15 * float(np.abs(ours).max()))
    assert learner.output.dtype == "float32"
    assert {str(variable.dtype) for variable in learner.trainable_variables} == {"float32"}
    assert any(layer.compute_dtype == "bfloat16" for layer in learner.layers)
    assert not any(layer.compute_dtype == "bfloat16" for layer in network.layers)


def test_the_weights_of_a_clone_are_copied_into_its_network() -> None:
    network = architecture_of("compact").build(SMALL, 3)
    learner = clone_in_precision(network, BFLOAT16)
    kernel = learner.get_layer("logits").kernel
    kernel.assign(kernel + 1)
    copy_weights(learner, network)
    assert np.array_equal(network.get_layer("logits").kernel, kernel)


def test_only_float16_scales_its_loss() -> None:
    optimizer = keras.optimizers.AdamW()
    assert with_loss_scaling(optimizer, BFLOAT16) is optimizer
    assert isinstance(with_loss_scaling(optimizer, FLOAT16), keras.optimizers.LossScaleOptimizer)


def test_a_run_is_recorded_when_anything_of_it_changes() -> None:
    runs: list[dict[str, int | str]] = []
    record_run(runs, ComputeConfig(FLOAT32, "a processor"), 1)
    record_run(runs, ComputeConfig(FLOAT32, "a processor"), 3)
    assert len(runs) == 1
    record_run(runs, ComputeConfig(FLOAT32, "a processor", 2), 4)
    assert runs[1:] == [{"precision": FLOAT32, "hardware": "a processor", "replicas": 2, "from_epoch": 4}]
