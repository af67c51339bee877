"""A model that no heatmap can be made of is refused before it comes to a line."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from services.trainer.gate import Measuring
from services.trainer.registry import Registry
from shared.heatmaps.explainable import refuse_unexplainable
from shared.messages import PromotionRefused
from shared.storage.filesystem import FilesystemStore
from shared.vision.bundle import EVALUATION, KERAS, Bundle, BundleError, production_version, write_bundle
from tests.models import pack, paint_bundle
from tests.unit.trainer.requests import promotion


def _layer(kind: str, name: str, *within: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **({"layers": list(within)} if within else {})}}


def _described(*layers: dict[str, Any]) -> bytes:
    """As much of a ``.keras`` file as is looked at."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", json.dumps(_layer("Functional", "network", *layers)))
    return file.getvalue()


def _bundle(network: bytes, target_layer: str = "features") -> Bundle:
    equality = {"pictures": 100, "largest_score_difference": 1e-6, "changed_verdicts": 0}
    evaluation = json.dumps({"compiled": {"openvino_fp32": equality}}).encode()
    paint = paint_bundle("v1")
    return pack({**paint.files, KERAS: network, EVALUATION: evaluation}, paint.recipe, "v1", target_layer)


DENSE = _described(_layer("Flatten", "flatten"), _layer("Dense", "features"))
NESTED = _described(_layer("Functional", "backbone", _layer("Conv2D", "first"), _layer("ReLU", "features")))


def test_a_model_without_a_convolution_is_refused_at_promotion(tmp_path: Path) -> None:
    store, bundle = FilesystemStore(tmp_path), _bundle(DENSE)
    write_bundle(store, bundle.manifest, bundle.files)
    told = Registry(store, Measuring(store).beside).promote(promotion("v1"))
    assert isinstance(told, PromotionRefused)
    assert told.reason == "model v1 has no convolution: no heatmap can be made of what it sees"
    assert production_version(store, "paint") is None


@pytest.mark.parametrize(
    ("network", "layer", "complaint"),
    [
        (NESTED, "nowhere", "has no layer 'nowhere'"),
        (b"no archive", "features", "is no network of Keras's"),
        (_described(), "features", "has no convolution"),
    ],
    ids=["no such layer", "no archive", "no convolution"],
)
def test_a_model_that_cant_be_looked_into_is_refused(network: bytes, layer: str, complaint: str) -> None:
    with pytest.raises(BundleError, match=complaint):
        refuse_unexplainable(_bundle(network, layer))


def test_features_within_a_nested_network_are_found() -> None:
    refuse_unexplainable(_bundle(NESTED))


def test_a_network_as_keras_writes_it_is_read() -> None:
    refuse_unexplainable(paint_bundle("v1", keras=True))
