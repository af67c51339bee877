import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.trainer.errors import TrainerError
from services.trainer.jobs.threshold_results import find_result
from services.trainer.measuring.compare import compare, stored_scores
from services.trainer.measuring.threshold_sets import set_thresholds, with_thresholds
from services.trainer.promotion.gate import objections
from shared.contracts.bundle import (
    EVALUATION,
    OPENVINO_WEIGHTS,
    RECIPE,
    REPORTS,
    SCORES,
    VARIANT_FILES,
    Bundle,
    Variant,
    read_bundle,
    read_bundle_folder,
)
from shared.contracts.dataset import DatasetVersion
from shared.contracts.promotion import find_decision, production_version
from shared.contracts.scores import ScoredImages, ScoredSplit, as_table, read_scores
from shared.messages import PromotionRefused, ThresholdsRefused, ThresholdsRequested, ThresholdsStored
from shared.messaging.sqlite import SqliteBroker
from shared.recipe import parse_recipe
from shared.storage.filesystem import FilesystemStore
from tests.dashboards import publish, soon
from tests.models import pack, paint_recipe
from tests.painted import TRUTH, comparable, painted_version, put, scores_of_bundle
from tests.trainers import answering
from tests.unit.trainer.recipes import FRUIT
from tests.unit.trainer.requests import START, promotion

LOW: dict[str, float] = {"break": 0.1}
"""Of images without a break, the painted models say 0.12."""


@pytest.fixture
def dataset(store: FilesystemStore, tmp_path: Path) -> DatasetVersion:
    return painted_version(store, tmp_path / "paint", each=16)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[SqliteBroker]:
    broker = SqliteBroker(tmp_path / "broker")
    yield broker
    broker.close()


def request(thresholds: dict[str, float], **changes: Any) -> ThresholdsRequested:
    fields = {
        "thresholds_id": "thresholds-1",
        "recipe": "paint",
        "model_version": "v1",
        "thresholds": thresholds,
        "reason": "breaks got through",
        "by": "grace",
        "at": START,
    }
    return ThresholdsRequested.model_validate({**fields, **changes})


def with_scores(version: str, dataset: DatasetVersion, store: FilesystemStore) -> Bundle:
    """A bundle with scores; what was tested on was validated on too."""
    made = comparable(version, dataset)
    scores = {SCORES: scores_of_bundle(made, store).model_dump_json().encode()}
    reports = dict.fromkeys(REPORTS.values(), b"of before")
    return with_files(made, {"valid.csv": made.files["test.csv"], **reports, **scores})


def with_files(bundle: Bundle, files: dict[str, bytes]) -> Bundle:
    changed = pack({**bundle.files, **files}, bundle.recipe, bundle.version, "features")
    return Bundle(changed.manifest.model_copy(update={"dataset": bundle.manifest.dataset}), changed.files)


def test_thresholds_of_a_network_pass_the_gate_without_its_test_images(store: FilesystemStore) -> None:
    shipped = read_bundle_folder(Path(__file__).parents[4] / "samples" / "model")
    put(store, shipped)
    moved = set_thresholds(
        request({"break": 0.31}, recipe="seam", model_version=shipped.version, reason="fewer false alarms"), store
    )
    found = compare(store, "seam", shipped.version, moved.model_version)
    assert objections(found) == []
    assert (found.images, found.baseline.learned_from, found.candidate.learned_from) == (277, 0, 0)
    blind = set_thresholds(
        request({"break": 0.999}, recipe="seam", model_version=shipped.version, thresholds_id="thresholds-2"), store
    )
    assert any(
        "recall of break" in each for each in objections(compare(store, "seam", shipped.version, blind.model_version))
    )


def test_scores_of_other_networks_are_not_compared_without_images(
    store: FilesystemStore, dataset: DatasetVersion
) -> None:
    one = with_scores("v1", dataset, store)
    derived = with_files(one, {RECIPE: paint_recipe("unsure_margin: 0.2\n").to_yaml().encode()})
    assert stored_scores(one, derived) is not None
    other = with_files(one, {OPENVINO_WEIGHTS: b"other weights"})
    assert stored_scores(one, other) is None
    assert stored_scores(one, with_files(one, {"test.csv": b"name,good\nanother.png,True\n"})) is None


def derive(store: FilesystemStore, thresholds: dict[str, float]) -> Bundle:
    told = set_thresholds(request(thresholds), store)
    return read_bundle(store, "paint", told.model_version)


def test_other_thresholds_make_a_version_with_the_same_network_and_new_figures(
    store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, with_scores("v1", dataset, store))
    made, base = derive(store, LOW), read_bundle(store, "paint", "v1")
    assert (made.manifest.derived_from, made.manifest.author, made.manifest.reason) == (
        "v1",
        "grace",
        "breaks got through",
    )
    assert made.version.startswith("20241123-0800-")
    assert made.files[OPENVINO_WEIGHTS] == base.files[OPENVINO_WEIGHTS]
    assert {label.name: label.threshold for label in made.recipe.labels} == {
        "good": 0.5,
        "error": 0.5,
        "break": 0.1,
        "length": 0.5,
    }
    told = json.loads(made.files[EVALUATION])
    assert (told["escape_rate"], told["overkill_rate"], told["valid"]["overkill_rate"]) == (0, 1, 1)
    assert told["threshold_curves"]["break"]["chosen"] == 0.1
    proof = told["compiled"]["openvino_fp32"]
    assert (proof["changed_verdicts"], proof["largest_score_difference"]) == (0, 0)
    report, german = (made.files[name].decode() for name in REPORTS.values())
    assert "grace, 23 Nov 2024 08:00 UTC" in report
    assert "grace, 23.11.2024 08:00 UTC" in german
    assert "breaks got through" in report


def test_scores_that_are_kept_need_neither_images_nor_the_network(
    store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, with_scores("v1", dataset, store))
    first = derive(store, LOW)
    for key in list(store.keys("datasets/")):
        store.delete(key)
    asked = request({"break": 0.5}, model_version=first.version, thresholds_id="thresholds-2")
    told = set_thresholds(asked, store)
    again = read_bundle(store, "paint", told.model_version)
    assert again.manifest.derived_from == first.version
    assert json.loads(again.files[EVALUATION])["overkill_rate"] == 0
    assert read_scores(again) == read_scores(first)


def test_a_request_that_comes_twice_makes_one_version(store: FilesystemStore, dataset: DatasetVersion) -> None:
    put(store, with_scores("v1", dataset, store))
    assert derive(store, LOW).manifest == derive(store, LOW).manifest


def test_a_variant_that_judges_otherwise_at_the_new_thresholds_is_left_out(
    store: FilesystemStore, dataset: DatasetVersion
) -> None:
    base = with_scores("v1", dataset, store)
    truth = np.array([TRUTH["black"]] * 20, np.float32)
    scores = np.tile(np.array([0.9, 0.1, 0.3, 0.1], np.float32), (20, 1))
    part = ScoredSplit(
        names=tuple(map(str, range(20))),
        groups=tuple(map(str, range(20))),
        truth=as_table(truth),
        scores=as_table(scores),
    )
    rounded = scores + np.array([0, 0, 0.04, 0], np.float32)
    scored = ScoredImages(
        labels=base.recipe.label_names,
        splits={"valid": part, "test": part},
        variants={Variant.FP32: as_table(scores), Variant.INT8: as_table(rounded)},
    )
    equality = {
        "images": 20,
        "largest_score_difference": 0.04,
        "changed_verdicts": 0,
        "macro_average_precision": 1.0,
    }
    told = {"compiled": {"openvino_fp32": equality, "openvino_int8": equality}}
    files = dict.fromkeys(VARIANT_FILES[Variant.INT8], b"eight bits")
    put(
        store,
        with_files(base, {**files, SCORES: scored.model_dump_json().encode(), EVALUATION: json.dumps(told).encode()}),
    )
    assert VARIANT_FILES[Variant.INT8][0] in derive(store, {"good": 0.6}).files
    asked = request({"break": 0.32}, thresholds_id="thresholds-2")
    made = read_bundle(store, "paint", set_thresholds(asked, store).model_version)
    assert not set(VARIANT_FILES[Variant.INT8]) & set(made.files)
    evaluation = json.loads(made.files[EVALUATION])
    assert set(evaluation["compiled"]) == {"openvino_fp32"}
    assert evaluation["not_offered"]["openvino_int8"]["reason"].startswith("it changes 20 of 20 verdicts")


@pytest.mark.parametrize(
    ("thresholds", "why"),
    [
        ({"brake": 0.3}, "has no label 'brake': there is good, error, break, length"),
        ({"break": 0.5}, "these are the thresholds that the model has"),
    ],
)
def test_thresholds_that_change_nothing_or_nothing_known_are_refused(thresholds: dict[str, float], why: str) -> None:
    with pytest.raises(TrainerError, match=why):
        with_thresholds(paint_recipe(), thresholds)


def test_a_recipe_whose_highest_score_wins_has_no_thresholds() -> None:
    with pytest.raises(TrainerError, match="the one with the highest score wins"):
        with_thresholds(parse_recipe(FRUIT), {"apple": 0.3})


def test_thresholds_that_can_not_be_set_are_refused_with_the_reason(
    store: FilesystemStore, dataset: DatasetVersion, broker: SqliteBroker
) -> None:
    put(store, comparable("v1", dataset))
    reasons = {"v2": "recipe 'paint' has no model v2", "v1": "model v1 has no scores.json: train it again"}
    with answering(store, broker):
        for version, reason in reasons.items():
            publish(broker, request(LOW, model_version=version, thresholds_id=f"of-{version}"))
            key = f"of-{version}"
            soon(lambda key=key: find_result(store, "paint", key) is not None, "the answer")  # type: ignore[misc]
            refused = find_result(store, "paint", key)
            assert isinstance(refused, ThresholdsRefused)
            assert refused.reason.startswith(reason)


def test_thresholds_that_are_asked_for_go_through_the_gate(
    store: FilesystemStore, dataset: DatasetVersion, broker: SqliteBroker
) -> None:
    put(store, with_scores("v1", dataset, store))
    with answering(store, broker):
        publish(broker, promotion("v1", "first"))
        publish(broker, request(LOW, promote=True))
        soon(lambda: find_decision(store, "paint", "thresholds-1"), "the promotion to be decided")
        kept = find_result(store, "paint", "thresholds-1")
        assert isinstance(kept, ThresholdsStored)
        assert kept.thresholds == {"good": 0.5, "error": 0.5, "break": 0.1, "length": 0.5}
        refused = find_decision(store, "paint", "thresholds-1")
        assert refused
        assert "cost per image is 0.500, was 0.000" in refused.reason
        forced = promotion(kept.model_version, "forced", force=True, reason="for a night, to be sure")
        publish(broker, forced)
        soon(lambda: production_version(store, "paint") == kept.model_version, "it to be in production")


def test_measuring_takes_no_tensorflow_which_would_take_its_seconds() -> None:
    modules = "services.trainer.measuring.child_process"
    code = f"import sys, {modules}; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_thresholds_that_were_asked_for_before_a_rollback_are_kept_and_not_promoted_after_it(
    store: FilesystemStore, dataset: DatasetVersion, broker: SqliteBroker
) -> None:
    put(store, with_scores("v1", dataset, store), with_scores("v2", dataset, store))
    with answering(store, broker):
        publish(broker, promotion("v1", "first"), promotion("v2", "second", force=True))
        soon(lambda: production_version(store, "paint") == "v2", "the second to be in production")
        publish(broker, promotion("v1", "back", rollback=True))
        publish(broker, request({"break": 0.4}, model_version="v2", promote=True))
        soon(lambda: find_decision(store, "paint", "thresholds-1"), "the promotion to be decided")
    assert isinstance(find_result(store, "paint", "thresholds-1"), ThresholdsStored)
    refused = find_decision(store, "paint", "thresholds-1")
    assert isinstance(refused, PromotionRefused)
    assert refused.reason.startswith("ada rolled back to v1 at ")
    assert production_version(store, "paint") == "v1"
