"""Quantise a network to int8: it then needs a third to three quarters of the time of fp32, and a quarter of the space.

NNCF does post-training quantisation (Jacob et al. 2018, doi 10.1109/CVPR.2018.00286): the outputs of each layer on
some images set the range that its 256 steps cover.
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
from shared.engines.openvino import openvino  # before nncf, which otherwise sends usage data to its maker

import nncf  # isort: skip
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix  # isort: skip
from nncf.quantization.range_estimator import RangeEstimatorParametersSet  # isort: skip

HEAD: Final = ("ReduceMean", "ReduceMax", "MatMul")
"""Types of the operations after the last features. They stay in full precision wherever they are: they take almost no
time, and their rounding errors would go straight into the scores."""
DEPTHWISE: Final = "GroupConvolution"
"""A depthwise convolution. It has a kernel for each channel, whose ranges differ too much for one input scale (Sheng
et al. 2018, doi 10.1109/EMC2.2018.00011)."""
CONVOLUTIONS: Final = ("Convolution", DEPTHWISE)
PARAMETERS: Final = AdvancedQuantizationParameters(
    # Weights of 7 bits: a processor without VNNI adds pairs of products in 16 bits, which 8-bit weights overflow. So
    # every processor gives the same scores, and what is proven here holds on the line.
    overflow_fix=OverflowFix.ENABLE,
    # The range covers the smallest and the largest value over all images, not their averages: a defect is an extreme.
    activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
)


@dataclass(frozen=True)
class Spared:
    """The operations that stay in full precision besides the head."""

    description: str
    """The operations in words; a proof names them after "the head, "."""
    operations: frozenset[str] = frozenset()
    """Their names in OpenVINO."""


def quantise(
    fp32: CompiledVariant, store: PixelStore, rows: Rows, spared: frozenset[str] = frozenset()
) -> CompiledVariant:
    """Return the int8 variant of a network. The same network and images always give the same variant.

    Args:
        fp32: the network in full precision.
        store: the images of a dataset.
        rows: the rows of some hundreds of images that are typical of the line.
        spared: names of the operations that stay in full precision, besides the head.
    """
    network = openvino.Core().read_model(fp32.xml, fp32.weights)
    samples = nncf.Dataset(rows, lambda row: store.prepared(np.array([row])))
    nncf.set_log_level(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):  # NNCF prints progress bars
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


def quantisation_options(fp32: CompiledVariant) -> Iterator[Spared]:
    """Yield which operations to spare, from the fastest variant to the most precise one."""
    network = openvino.Core().read_model(fp32.xml, fp32.weights)
    convolutions = [each for each in network.get_ordered_ops() if each.get_type_name() in CONVOLUTIONS]
    depthwise = _names(each for each in convolutions if each.get_type_name() == DEPTHWISE)
    first_half = _names(convolutions[: len(convolutions) // 2])
    yield Spared("nothing")
    if depthwise:
        yield Spared("depthwise convolutions", depthwise)
    yield Spared("the depthwise and the first half of all convolutions", first_half | depthwise)


def anomaly_operations(fp32: CompiledVariant) -> frozenset[str]:
    """Return the names of the operations that only the anomaly needs, the last output beside those of the labels.

    They stay in full precision: distances are small differences of large numbers.
    """
    network = openvino.Core().read_model(fp32.xml, fp32.weights)
    joined = network.get_results()[0]
    while joined.get_type_name() != "Concat":
        joined = joined.input_value(0).get_node()
    of_labels, of_anomaly = (_names(_needed_by(each.get_node())) for each in joined.input_values()[:2])
    return of_anomaly - of_labels


def _needed_by(last: openvino.Node) -> list[openvino.Node]:
    """Return an operation, and all that its result is computed from."""
    found, waiting = {last.get_friendly_name(): last}, [last]
    while waiting:
        for value in waiting.pop().input_values():
            node = value.get_node()
            if node.get_friendly_name() not in found:
                found[node.get_friendly_name()] = node
                waiting.append(node)
    return [*found.values()]


def _names(operations: Iterable[openvino.Node]) -> frozenset[str]:
    return frozenset(operation.get_friendly_name() for operation in operations)
