import json
from pathlib import Path
from typing import Any

import pytest

from services.trainer.registry import Registry
from shared.messages import ModelPromoted, PromotionRefused
from shared.storage.filesystem import FilesystemStore
from shared.vision.bundle import (
    EVALUATION,
    OPENVINO_WEIGHTS,
    Bundle,
    BundleError,
    production_history,
    production_version,
    write_bundle,
    write_bundle_folder,
)
from tests.models import pack, paint_bundle
from tests.unit.trainer.requests import promotion


@pytest.fixture
def registry(store: FilesystemStore) -> Registry:
    return Registry(store)


def proven(version: str, changed: int = 0) -> Bundle:
    """A bundle whose compiled form was measured."""
    bundle = paint_bundle(version)
    equality = {"pictures": 100, "largest_score_difference": 1e-6, "changed_verdicts": changed}
    evaluation = json.dumps({"compiled": {"openvino_fp32": equality}}).encode()
    return pack({**bundle.files, EVALUATION: evaluation}, bundle.recipe, version, "features")


def keep(store: FilesystemStore, *bundles: Bundle) -> None:
    for bundle in bundles:
        write_bundle(store, bundle.manifest, bundle.files)


def test_a_promotion_moves_the_pointer_and_is_told(registry: Registry, store: FilesystemStore) -> None:
    keep(store, proven("v1"), proven("v2"))
    registry.promote(promotion("v1", "first"))
    told = registry.promote(promotion("v2", "second"))
    assert isinstance(told, ModelPromoted)
    assert (told.model_version, told.previous_version, told.promoted_by, told.reason) == ("v2", "v1", "ada", "better")
    assert production_version(store, "paint") == "v2"


def test_rolling_back_is_promoting_an_earlier_model_and_the_history_grows(
    registry: Registry, store: FilesystemStore
) -> None:
    keep(store, proven("v1"), proven("v2"))
    for number, version in enumerate(("v1", "v2", "v1")):
        registry.promote(promotion(version, f"promotion-{number}"))
    assert [move.version for move in production_history(store, "paint")] == ["v1", "v2", "v1"]


def test_a_request_that_comes_twice_is_answered_alike_and_moves_once(
    registry: Registry, store: FilesystemStore
) -> None:
    keep(store, proven("v1"), proven("v2"))
    first = registry.promote(promotion("v1", "first"))
    registry.promote(promotion("v2", "second"))
    assert registry.promote(promotion("v1", "first")) == first
    assert production_version(store, "paint") == "v2"


def test_a_promotion_whose_answer_was_lost_moves_once(registry: Registry, store: FilesystemStore) -> None:
    keep(store, proven("v1"))
    registry.promote(promotion("v1"))
    store.delete("promotions/promotion-1.json")
    assert isinstance(registry.promote(promotion("v1")), ModelPromoted)
    assert len(production_history(store, "paint")) == 1


def reason(registry: Registry, version: str, **changes: Any) -> str:
    told = registry.promote(promotion(version, **changes))
    assert isinstance(told, PromotionRefused)
    return told.reason


def test_a_model_that_is_not_there_is_refused(registry: Registry, store: FilesystemStore) -> None:
    assert reason(registry, "v9") == "recipe 'paint' has no model v9"
    assert production_version(store, "paint") is None


def test_a_changed_model_is_refused(registry: Registry, store: FilesystemStore) -> None:
    keep(store, proven("v1"))
    store.put(f"models/paint/v1/{OPENVINO_WEIGHTS}", b"other")
    assert "has changed since it was made" in reason(registry, "v1")


def test_a_model_of_another_recipe_is_refused(registry: Registry, store: FilesystemStore) -> None:
    bundle = proven("v1")
    for name, content in {**bundle.files, "manifest.json": bundle.manifest.model_dump_json().encode()}.items():
        store.put(f"models/seam/v1/{name}", content)
    assert "paint" in reason(registry, "v1", recipe="seam")


def test_a_model_without_the_proof_of_its_compiled_form_is_refused(registry: Registry, store: FilesystemStore) -> None:
    keep(store, paint_bundle("v1"))
    assert "no evaluation.json" in reason(registry, "v1")
    bundle = paint_bundle("v2")
    keep(store, pack({**bundle.files, EVALUATION: b"{}"}, bundle.recipe, "v2", "features"))
    assert "does not say whether its compiled form judges alike" in reason(registry, "v2", promotion_id="other")


def test_a_compiled_form_that_changes_verdicts_is_refused_even_by_force(
    registry: Registry, store: FilesystemStore
) -> None:
    keep(store, proven("v1", changed=2))
    assert "changes 2 of 100 verdicts" in reason(registry, "v1", force=True)


def test_force_needs_a_reason(registry: Registry, store: FilesystemStore) -> None:
    keep(store, proven("v1"))
    assert "give the reason" in reason(registry, "v1", force=True, reason=" ")


def test_a_line_starts_with_the_first_model_and_keeps_what_was_promoted_since(
    registry: Registry, store: FilesystemStore, tmp_path: Path
) -> None:
    write_bundle_folder(tmp_path / "model", proven("v1"))
    told = registry.start_with(tmp_path / "model")
    assert told
    assert told.model_version == "v1"
    assert registry.start_with(tmp_path / "model") is None
    keep(store, proven("v2"))
    registry.promote(promotion("v2"))
    assert registry.start_with(tmp_path / "model") is None
    assert production_version(store, "paint") == "v2"


def test_a_first_model_that_must_not_be_used_is_named(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no model"):
        registry.start_with(tmp_path)
    write_bundle_folder(tmp_path / "model", proven("v1", changed=5))
    with pytest.raises(BundleError, match=r"model: openvino_fp32 changes 5 of 100"):
        registry.start_with(tmp_path / "model")
