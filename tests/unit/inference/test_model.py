"""Which variant of a network a worker runs."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from services.inference.model import load_model
from shared.contracts.bundle import (
    OPENVINO,
    OPENVINO_INT8,
    OPENVINO_INT8_WEIGHTS,
    OPENVINO_WEIGHTS,
    Bundle,
    BundleError,
)
from shared.engines.port import EngineError
from shared.imaging.preprocessing import prepare
from tests.models import BIAS, pack, paint_bundle, paint_recipe, painted

IN_FULL = -2.0
ROUNDED = -3.0
"""The scores of the first label of a black image, which differ between the two variants."""


def bundle_of(*, int8: bool) -> Bundle:
    full, rounded = (paint_bundle("v1", bias=np.full_like(BIAS, value)) for value in (IN_FULL, ROUNDED))
    files = dict(full.files)
    if int8:
        files |= {OPENVINO_INT8: rounded.file(OPENVINO), OPENVINO_INT8_WEIGHTS: rounded.file(OPENVINO_WEIGHTS)}
    return pack(files, paint_recipe(), "v1", target_layer="features")


@pytest.mark.parametrize(
    ("int8", "wanted", "expected"),
    [
        (True, "auto", ROUNDED),
        (False, "auto", IN_FULL),
        (True, "fp32", IN_FULL),
        (True, "int8", ROUNDED),
    ],
)
def test_a_worker_runs_the_variant_it_is_set_to_and_by_itself_the_fastest(
    int8: bool, wanted: Literal["auto", "fp32", "int8"], expected: float
) -> None:
    bundle = bundle_of(int8=int8)
    model = load_model(bundle, "openvino", threads=1, largest_batch=2, variant=wanted)
    black = prepare(painted("black"), bundle.recipe.image)
    assert model.engine.logits(black[np.newaxis])[0, 0] == pytest.approx(expected)
    assert model.variant == ("int8" if expected == ROUNDED else "fp32")


def test_an_int8_variant_that_judges_an_image_by_its_neighbours_gives_way_to_fp32() -> None:
    full, unfit = paint_bundle("v1"), paint_bundle("v1", by_the_batch=True)
    files = {**full.files, OPENVINO_INT8: unfit.file(OPENVINO), OPENVINO_INT8_WEIGHTS: unfit.file(OPENVINO_WEIGHTS)}
    bundle = pack(files, paint_recipe(), "v1", target_layer="features")
    assert load_model(bundle, "openvino", threads=1, largest_batch=4).variant == "fp32"
    with pytest.raises(EngineError, match="depends on the other images"):
        load_model(bundle, "openvino", threads=1, largest_batch=4, variant="int8")


def test_a_model_without_the_requested_variant_is_refused_with_a_remedy() -> None:
    with pytest.raises(BundleError, match="has no int8 variant: set INFERENCE_VARIANT=auto"):
        load_model(bundle_of(int8=False), "openvino", threads=1, largest_batch=2, variant="int8")
