"""The int8 variant of a network: at most half the time of the fp32 variant, and a quarter of its size.

Post-training quantisation (Jacob et al. 2018, doi 10.1109/CVPR.2018.00286) by NNCF: what each layer gives on some
images sets the range that its 256 steps cover.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Final

import numpy as np

from services.trainer.datasets.pixels import PixelStore, Rows
from shared.engines.compile import CompiledVariant
from shared.engines.openvino import openvino  # before nncf, which otherwise reports to its maker as well

import nncf  # isort: skip
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix  # isort: skip
from nncf.quantization.range_estimator import RangeEstimatorParametersSet  # isort: skip

HEAD: Final = ("ReduceMean", "ReduceMax", "MatMul")
"""What follows the last features stays in full precision: it costs next to nothing, and it is where a rounded number
becomes a rounded score."""
DEPTHWISE: Final = "GroupConvolution"
"""A kernel for each channel: their ranges differ too much for one scale of what goes in (Sheng et al. 2018,
doi 10.1109/EMC2.2018.00011)."""
CONVOLUTIONS: Final = ("Convolution", DEPTHWISE)
PARAMETERS: Final = AdvancedQuantizationParameters(
    # Weights of 7 bits: without VNNI a processor adds pairs of products in 16 bits, which 8 bits overflow. So every
    # processor gives the same scores, and what was proven here holds on the line.
    overflow_fix=OverflowFix.ENABLE,
    # The extremes of all images, and not of the mean image: a defect is an extreme.
    activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
)


@dataclass(frozen=True)
class Spared:
    """What stays in full precision besides the head."""

    description: str
    operations: frozenset[str] = frozenset()
    """Their names in OpenVINO's variant."""


def quantise(
    variant: CompiledVariant, store: PixelStore, rows: Rows, spared: frozenset[str] = frozenset()
) -> CompiledVariant:
    """Make the int8 variant of a network. The same variant and images give the same numbers again.

    Args:
        variant: in full precision.
        store: images.
        rows: some hundred of them that are like those of the line.
        spared: names of OpenVINO's operations that stay in full precision, besides the head.
    """
    network = openvino.Core().read_model(variant.xml, variant.weights)
    samples = nncf.Dataset(rows, lambda row: store.prepared(np.array([row])))
    nncf.set_log_level(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):  # it draws bars there
        quantised = nncf.quantize(
            network,
            samples,
            subset_size=len(rows),
            ignored_scope=nncf.IgnoredScope(names=sorted(spared), types=list(HEAD), validate=False),
            advanced_parameters=PARAMETERS,
        )
        path = Path(folder, "quantised.xml")
        openvino.serialize(quantised, path)
        return CompiledVariant(path.read_bytes(), path.with_suffix(".bin").read_bytes())


def attempts(variant: CompiledVariant) -> Iterator[Spared]:
    """What to spare, from the fastest variant to the most careful one."""
    network = openvino.Core().read_model(variant.xml, variant.weights)
    convolutions = [each for each in network.get_ordered_ops() if each.get_type_name() in CONVOLUTIONS]
    depthwise = _names(each for each in convolutions if each.get_type_name() == DEPTHWISE)
    first_half = _names(convolutions[: len(convolutions) // 2])
    yield Spared("nothing")
    if depthwise:
        yield Spared("depthwise convolutions", depthwise)
    yield Spared("depthwise convolutions and the first half of the others", first_half | depthwise)


def _names(operations: Iterable[openvino.Node]) -> frozenset[str]:
    return frozenset(operation.get_friendly_name() for operation in operations)
