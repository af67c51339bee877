import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.bundle import (
    EVALUATION,
    OPENVINO_WEIGHTS,
    RECIPE,
    VARIANT_FILES,
    Bundle,
    BundleError,
    Variant,
    write_bundle,
    write_bundle_folder,
)
from shared.contracts.dataset import DatasetVersion
from shared.contracts.promotion import history_of, production_history, production_version, version_before
from shared.messages import ModelPromoted, PromotionRefused
from shared.recipe import parse_recipe
from shared.storage.filesystem import FilesystemStore
from tests.models import PAINT, pack, paint_bundle
from tests.painted import ALARMED, BLIND_TO_BREAKS, comparable, painted_version, put
from tests.trainers import Promoting
from tests.unit.trainer.requests import promotion


@pytest.fixture
def promotions(store: FilesystemStore) -> Promoting:
    return Promoting(store)


@pytest.fixture
def dataset(store: FilesystemStore, tmp_path: Path) -> DatasetVersion:
    return painted_version(store, tmp_path / "paint")


def proven(version: str, changed: int = 0) -> Bundle:
    """A bundle whose compiled variant was measured."""
    bundle = paint_bundle(version)
    equality = {"images": 100, "largest_score_difference": 1e-6, "changed_verdicts": changed}
    evaluation = json.dumps({"compiled": {"openvino_fp32": equality}}).encode()
    return pack({**bundle.files, EVALUATION: evaluation}, bundle.recipe, version, "features")


def test_a_promotion_is_stored_and_published(
    promotions: Promoting, store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset))
    promotions.promote(promotion("v1", "first"))
    told = promotions.promote(promotion("v2", "second"))
    assert isinstance(told, ModelPromoted)
    assert (told.model_version, told.previous_version, told.by, told.reason) == ("v2", "v1", "ada", "better")
    assert told.gate == f"no worse than v1 on 60 test images of {dataset.reference}"
    assert not told.forced
    assert production_version(store, "paint") == "v2"


def test_a_request_that_comes_twice_is_answered_alike_and_moves_once(
    promotions: Promoting, store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset))
    first = promotions.promote(promotion("v1", "first"))
    promotions.promote(promotion("v2", "second"))
    assert promotions.promote(promotion("v1", "first")) == first
    assert production_version(store, "paint") == "v2"


def test_a_promotion_whose_answer_was_lost_moves_once(promotions: Promoting, store: FilesystemStore) -> None:
    put(store, proven("v1"))
    promotions.promote(promotion("v1"))
    store.delete("promotions/paint/promotion-1.json")
    assert isinstance(promotions.promote(promotion("v1")), ModelPromoted)
    assert len(production_history(store, "paint")) == 1


# ── the gate ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_that_misses_a_label_more_often_than_production_is_refused(
    promotions: Promoting, store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset, BLIND_TO_BREAKS))
    promotions.promote(promotion("v1", "first"))
    told = reason(promotions, "v2", promotion_id="second")
    assert "worse than v1 in production, on 60 test images of paint@0001-" in told
    assert "recall of break is 0.000, was 1.000 (0.796 to 1.000)" in told
    assert "cost per image is 2.500, was 0.000: more by 2.500 (" in told
    assert told.endswith("; to promote it all the same, force it with a reason")
    assert production_version(store, "paint") == "v1"


def test_a_model_that_few_images_prove_is_refused_until_it_is_forced(
    promotions: Promoting, store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, comparable("v1", dataset, learned=19), comparable("v2", dataset, learned=19))
    first = promotions.promote(promotion("v1", "first"))
    assert isinstance(first, ModelPromoted), "the first model has nothing before it"
    told = reason(promotions, "v2", promotion_id="second")
    assert told.startswith("not proven to be as good as v1 in production, on 4 test images of paint@0001-")
    assert "too few test images of good (2 with, 2 without), error (1 with, 3 without), break (" in told
    forced = promotions.promote(promotion("v2", "third", force=True, reason="tried on the line for a week"))
    assert isinstance(forced, ModelPromoted)
    assert (forced.forced, "too few test images" in forced.gate) == (True, True)


def test_a_model_that_costs_more_is_refused_even_if_it_finds_everything(
    promotions: Promoting, store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset, ALARMED))
    promotions.promote(promotion("v1", "first"))
    told = reason(promotions, "v2", promotion_id="second")
    assert "recall" not in told
    assert "cost per image is 0.500, was 0.000: more by 0.500" in told


def test_a_model_that_is_better_follows_a_bad_one(
    promotions: Promoting, store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, comparable("v1", dataset, BLIND_TO_BREAKS), comparable("v2", dataset))
    promotions.promote(promotion("v1", "first"))
    assert isinstance(promotions.promote(promotion("v2", "second")), ModelPromoted)


def test_a_model_whose_recipe_lets_a_defect_go_is_refused_until_it_is_forced(
    promotions: Promoting, store: FilesystemStore, dataset: DatasetVersion
) -> None:
    loose = parse_recipe(PAINT.replace("colour: green, role: defect", "colour: green, role: attribute"))
    made = comparable("v2", dataset)
    changed = pack({**made.files, RECIPE: loose.to_yaml().encode()}, loose, "v2", "features")
    put(store, comparable("v1", dataset))
    put(store, Bundle(changed.manifest.model_copy(update={"dataset": dataset.reference}), changed.files))
    promotions.promote(promotion("v1", "first"))
    told = reason(promotions, "v2", promotion_id="second")
    assert "its recipe judges by another rule: role of break is attribute, was defect" in told
    forced = promotions.promote(promotion("v2", "third", force=True, reason="breaks are mended by now"))
    assert isinstance(forced, ModelPromoted)


def test_a_forced_promotion_is_stored_with_the_overruled_reasons(
    promotions: Promoting, store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset, BLIND_TO_BREAKS))
    promotions.promote(promotion("v1", "first"))
    told = promotions.promote(promotion("v2", "second", force=True, reason="breaks are sorted out by hand"))
    assert isinstance(told, ModelPromoted)
    assert told.forced
    last = history_of(store, "paint")[-1]
    assert (last.forced, last.reason, last.by) == (True, "breaks are sorted out by hand", "ada")
    assert "recall of break is 0.000" in last.gate


def test_a_model_that_cant_be_compared_is_refused_until_it_is_forced(
    promotions: Promoting, store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, comparable("v1", dataset), proven("v2"))
    promotions.promote(promotion("v1", "first"))
    told = reason(promotions, "v2", promotion_id="second")
    assert "not comparable with v1 in production: the test images of model v2 are not in object storage" in told
    forced = promotions.promote(promotion("v2", "third", force=True, reason="the first of a new camera"))
    assert isinstance(forced, ModelPromoted)
    assert forced.forced
    assert "not comparable" in forced.gate


@pytest.mark.parametrize("named", ["../secret@1", "my data@0001-3f9a2c1d", "paint@../1"])
def test_a_model_of_an_invalid_dataset_is_refused_as_not_comparable(
    promotions: Promoting, store: FilesystemStore, dataset: DatasetVersion, named: str
) -> None:
    made = comparable("v2", dataset)
    put(store, comparable("v1", dataset), Bundle(made.manifest.model_copy(update={"dataset": named}), made.files))
    promotions.promote(promotion("v1", "first"))
    told = reason(promotions, "v2", promotion_id="second")
    assert f"not comparable with v1 in production: model v2 names {named!r}, which is no" in told
    assert isinstance(
        promotions.promote(promotion("v2", "third", force=True, reason="measured by hand")), ModelPromoted
    )


def test_force_that_was_not_needed_is_not_kept_as_force(
    promotions: Promoting, store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset))
    promotions.promote(promotion("v1", "first", force=True))
    promotions.promote(promotion("v2", "second", force=True))
    assert [move.forced for move in production_history(store, "paint")] == [False, False]


# ── rolling back ─────────────────────────────────────────────────────────────────────────────────────────────────────


def rolled_back(promotions: Promoting, version: str, promotion_id: str) -> ModelPromoted | PromotionRefused:
    return promotions.promote(promotion(version, promotion_id, rollback=True, reason="too many alarms"))


def test_a_rollback_needs_no_measuring_and_the_history_grows(
    promotions: Promoting, store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, comparable("v1", dataset, BLIND_TO_BREAKS), comparable("v2", dataset))
    promotions.promote(promotion("v1", "first"))
    promotions.promote(promotion("v2", "second"))
    told = rolled_back(promotions, "v1", "third")
    assert isinstance(told, ModelPromoted)
    assert (told.rollback, told.previous_version, told.forced) == (True, "v2", False)
    assert [(entry.outcome.value, entry.previous, entry.version) for entry in history_of(store, "paint")] == [
        ("promoted", None, "v1"),
        ("promoted", "v1", "v2"),
        ("rolled back", "v2", "v1"),
    ]


def test_a_rollback_that_is_asked_for_twice_goes_back_once(promotions: Promoting, store: FilesystemStore) -> None:
    put(store, proven("v1"), proven("v2"), proven("v3"))
    for number, version in enumerate(("v1", "v2", "v3")):
        promotions.promote(promotion(version, f"promotion-{number}", force=True))
    rolled_back(promotions, "v2", "click")
    assert isinstance(rolled_back(promotions, "v2", "double-click"), ModelPromoted)
    assert [move.version for move in production_history(store, "paint")] == ["v1", "v2", "v3", "v2"]


def test_a_second_rollback_goes_further_back_and_not_forward_again(
    promotions: Promoting, store: FilesystemStore
) -> None:
    put(store, proven("v1"), proven("v2"), proven("v3"))
    for number, version in enumerate(("v1", "v2", "v3")):
        promotions.promote(promotion(version, f"promotion-{number}", force=True))
    rolled_back(promotions, "v2", "one")
    assert version_before(production_history(store, "paint")) == "v1"
    rolled_back(promotions, "v1", "two")
    assert production_version(store, "paint") == "v1"
    refused = rolled_back(promotions, "v3", "three")
    assert isinstance(refused, PromotionRefused)
    assert refused.reason == "no other model of recipe 'paint' was in production before"


def test_a_rollback_to_another_model_than_the_one_before_is_refused(
    promotions: Promoting, store: FilesystemStore
) -> None:
    put(store, proven("v1"), proven("v2"), proven("v3"))
    for number, version in enumerate(("v1", "v2")):
        promotions.promote(promotion(version, f"promotion-{number}", force=True))
    refused = rolled_back(promotions, "v3", "wrong")
    assert isinstance(refused, PromotionRefused)
    assert refused.reason == "before v2, v1 was in production, and not v3"


def test_a_promotion_that_was_asked_for_before_a_rollback_is_not_done_after_it(
    promotions: Promoting, store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset), comparable("v3", dataset))
    promotions.promote(promotion("v1", "first"))
    promotions.promote(promotion("v2", "second"))
    rolled_back(promotions, "v1", "back")
    late = promotions.promote(promotion("v3", "late"))
    assert isinstance(late, PromotionRefused)
    assert late.reason.startswith("ada rolled back to v1 at ")
    assert late.reason.endswith(" UTC, after this was requested: ask again, or force it with a reason")
    assert isinstance(promotions.promote(promotion("v3", "again", at=datetime.now(UTC))), ModelPromoted)


# ── what no force overrules ──────────────────────────────────────────────────────────────────────────────────────────


def reason(promotions: Promoting, version: str, **changes: Any) -> str:
    told = promotions.promote(promotion(version, **changes))
    assert isinstance(told, PromotionRefused)
    return told.reason


def test_a_model_that_is_not_there_is_refused(promotions: Promoting, store: FilesystemStore) -> None:
    assert reason(promotions, "v9") == "recipe 'paint' has no model v9"
    assert production_version(store, "paint") is None


def test_a_changed_model_is_refused(promotions: Promoting, store: FilesystemStore) -> None:
    put(store, proven("v1"))
    store.put(f"models/paint/v1/{OPENVINO_WEIGHTS}", b"other")
    assert "has changed since it was made" in reason(promotions, "v1")


def test_a_model_with_a_recipe_of_a_newer_build_is_refused(promotions: Promoting, store: FilesystemStore) -> None:
    bundle = proven("v1")
    write_bundle(store, bundle.manifest, {**bundle.files, RECIPE: bundle.files[RECIPE] + b"wonder: 3\n"})
    assert reason(promotions, "v1").startswith("recipe of model v1, line ")


def test_a_model_of_another_recipe_is_refused(promotions: Promoting, store: FilesystemStore) -> None:
    bundle = proven("v1")
    for name, content in {**bundle.files, "manifest.json": bundle.manifest.model_dump_json().encode()}.items():
        store.put(f"models/seam/v1/{name}", content)
    assert "paint" in reason(promotions, "v1", recipe="seam")


def test_a_model_without_the_proof_of_its_compiled_variant_is_refused(
    promotions: Promoting, store: FilesystemStore
) -> None:
    put(store, paint_bundle("v1"))
    assert "no evaluation.json" in reason(promotions, "v1")
    bundle = paint_bundle("v2")
    put(store, pack({**bundle.files, EVALUATION: b"{}"}, bundle.recipe, "v2", "features"))
    assert "does not say whether its compiled variant judges alike" in reason(promotions, "v2", promotion_id="other")


def test_every_variant_of_a_model_must_be_proven(promotions: Promoting, store: FilesystemStore) -> None:
    nothing = proven("v1")
    empty = json.dumps({"compiled": {}}).encode()
    put(store, pack({**nothing.files, EVALUATION: empty}, nothing.recipe, "v1", "features"))
    told = reason(promotions, "v1", force=True, reason="in haste")
    assert told == "model v1 does not say whether its fp32 variant judges alike: train it again"
    half = proven("v2")
    int8 = dict(
        zip(VARIANT_FILES[Variant.INT8], (half.files[name] for name in VARIANT_FILES[Variant.FP32]), strict=True)
    )
    put(store, pack({**half.files, **int8}, half.recipe, "v2", "features"))
    told = reason(promotions, "v2", promotion_id="other", force=True, reason="in haste")
    assert told == "model v2 does not say whether its int8 variant judges alike: train it again"


def test_a_compiled_variant_that_changes_verdicts_is_refused_even_by_force(
    promotions: Promoting, store: FilesystemStore
) -> None:
    put(store, proven("v1", changed=2))
    assert "changes 2 of 100 verdicts" in reason(promotions, "v1", force=True)


def test_force_needs_a_reason(promotions: Promoting, store: FilesystemStore) -> None:
    put(store, proven("v1"))
    assert "give the reason" in reason(promotions, "v1", force=True, reason=" ")


def test_a_line_starts_with_the_first_model_and_keeps_later_promotions(
    promotions: Promoting, store: FilesystemStore, tmp_path: Path
) -> None:
    write_bundle_folder(tmp_path / "model", proven("v1"))
    told = promotions.promote_initial_model(tmp_path / "model")
    assert told
    assert told.model_version == "v1"
    promotions.record_published(told)
    assert promotions.promote_initial_model(tmp_path / "model") is None
    put(store, proven("v2"))
    promotions.promote(promotion("v2", force=True))
    assert promotions.promote_initial_model(tmp_path / "model") is None
    assert production_version(store, "paint") == "v2"


def test_a_first_model_whose_promotion_was_not_published_is_published_at_the_next_start(
    promotions: Promoting, store: FilesystemStore, tmp_path: Path
) -> None:
    write_bundle_folder(tmp_path / "model", proven("v1"))
    told = promotions.promote_initial_model(tmp_path / "model")
    assert told
    assert promotions.promote_initial_model(tmp_path / "model") == told
    assert len(production_history(store, "paint")) == 1
    put(store, proven("v2"))
    promotions.promote(promotion("v2", force=True, reason="better"))
    assert promotions.promote_initial_model(tmp_path / "model") is None, "it is not in production any more"


def test_a_first_model_that_must_not_be_used_is_named(promotions: Promoting, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no model"):
        promotions.promote_initial_model(tmp_path)
    write_bundle_folder(tmp_path / "model", proven("v1", changed=5))
    with pytest.raises(BundleError, match=r"model can't be used: openvino_fp32 changes 5 of 100"):
        promotions.promote_initial_model(tmp_path / "model")
