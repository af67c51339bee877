"""A model for which no heatmap can be computed is refused before its promotion."""

from __future__ import annotations

import json
import re
from pathlib import Path

import keras
import pytest
from typer.testing import CliRunner

from services.trainer.cli.commands import app
from shared.contracts.bundle import EVALUATION, KERAS, Bundle, BundleError, versions, write_bundle, write_bundle_folder
from shared.contracts.promotion import production_version
from shared.explain.explainable import refuse_unexplainable
from shared.messages import ModelPromoted, PromotionRefused
from shared.storage.filesystem import FilesystemStore
from tests.models import FEATURES, described, layer, pack, paint_bundle, paint_recipe, promote
from tests.trainers import Promoting
from tests.unit.trainer.requests import promotion


def _bundle(network: bytes, target_layer: str = "features") -> Bundle:
    equality = {"images": 100, "largest_score_difference": 1e-6, "changed_verdicts": 0}
    evaluation = json.dumps({"compiled": {"openvino_fp32": equality}}).encode()
    paint = paint_bundle("v1")
    return pack({**paint.files, KERAS: network, EVALUATION: evaluation}, paint.recipe, "v1", target_layer)


DENSE = described(layer("Flatten", "flatten"), layer("Dense", "features"))
NESTED = described(layer("Functional", "backbone", layer("Conv2D", "first"), layer("ReLU", "features")))


def _without(bundle: Bundle, file: str) -> Bundle:
    files = {name: content for name, content in bundle.files.items() if name != file}
    return pack(files, bundle.recipe, bundle.version, bundle.manifest.heatmaps.layers[0])


DENSE_ALONE = "model v1 has no convolution: no heatmap can be computed"
UNEXPLAINABLE = {
    "no convolution": (_bundle(DENSE), DENSE_ALONE),
    "no network": (
        _without(_bundle(NESTED), KERAS),
        "model v1 has no model.keras: train it again, or copy it again whole",
    ),
    "no such layer": (
        _bundle(NESTED, "nowhere"),
        "model v1 has no layer 'nowhere', which its heatmaps need: train it again",
    ),
}
unexplainable = pytest.mark.parametrize(("bundle", "complaint"), UNEXPLAINABLE.values(), ids=UNEXPLAINABLE)


@unexplainable
@pytest.mark.parametrize("force", [False, True], ids=["asked", "forced"])
def test_a_model_that_cant_be_explained_is_refused_at_promotion(
    tmp_path: Path, bundle: Bundle, complaint: str, *, force: bool
) -> None:
    store = FilesystemStore(tmp_path)
    write_bundle(store, bundle.manifest, bundle.files)
    answer = Promoting(store).promote(promotion("v1", force=force, reason="in a hurry"))
    assert isinstance(answer, PromotionRefused)
    assert answer.reason == complaint
    assert production_version(store, "paint") is None


@unexplainable
def test_a_model_that_cant_be_explained_is_refused_as_the_first_of_a_line(
    tmp_path: Path, bundle: Bundle, complaint: str
) -> None:
    store = FilesystemStore(tmp_path / "objects")
    write_bundle_folder(tmp_path / "model", bundle)
    with pytest.raises(BundleError, match=re.escape(complaint)):
        Promoting(store).promote_initial_model(tmp_path / "model")
    assert versions(store, "paint") == []


@unexplainable
def test_a_model_that_cant_be_explained_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Bundle, complaint: str
) -> None:
    monkeypatch.setenv("TRAINER_STORAGE_URL", f"file:///{tmp_path}/objects")
    write_bundle_folder(tmp_path / "model", bundle)
    result = CliRunner().invoke(app, ["import", "--model", str(tmp_path / "model")])
    assert (result.exit_code, result.stderr) == (2, f"{complaint}\n")
    assert versions(FilesystemStore(tmp_path / "objects"), "paint") == []


def test_a_rollback_to_a_model_without_heatmaps_is_possible(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    old, new = _without(_bundle(NESTED), KERAS), pack(_bundle(NESTED).files, paint_recipe(), "v2", "features")
    promote(store, old)
    promote(store, new)
    answer = Promoting(store).promote(promotion("v1", rollback=True))
    assert isinstance(answer, ModelPromoted)
    assert production_version(store, "paint") == "v1"


@pytest.mark.parametrize(
    ("network", "target", "complaint"),
    [
        (b"no archive", "features", "is no network of Keras's"),
        (described(), "features", "has no convolution"),
        (described(FEATURES, layer("Flatten", "flat")), "flat", "layer 'flat', a Flatten, has no maps"),
    ],
    ids=["no archive", "no layers", "no maps"],
)
def test_a_model_that_cant_be_looked_into_is_refused(network: bytes, target: str, complaint: str) -> None:
    with pytest.raises(BundleError, match=complaint):
        refuse_unexplainable(_bundle(network, target))


def test_features_within_a_nested_network_are_found() -> None:
    refuse_unexplainable(_bundle(NESTED))


def test_a_network_as_keras_writes_it_is_read() -> None:
    keras.backend.clear_session()  # it counts the layers that it names
    paint = paint_bundle("v1", keras=True)
    refuse_unexplainable(paint)
    for flat in ("logits", "global_average_pooling2d"):
        with pytest.raises(BundleError, match=f"layer '{flat}.*has no maps"):
            refuse_unexplainable(pack(paint.files, paint.recipe, "v1", flat))
