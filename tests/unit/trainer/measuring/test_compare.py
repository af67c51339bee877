from pathlib import Path

import numpy as np
import pytest

from services.trainer.cli.side_by_side import show
from services.trainer.errors import NotComparable
from services.trainer.measuring.compare import baseline_recipe, compare, rule_differences
from services.trainer.promotion.comparison import Comparison, Side
from services.trainer.promotion.gate import describe_images, objections, regressions
from shared.contracts.bundle import VARIANT_FILES, Bundle, Variant
from shared.contracts.dataset import DatasetVersion, image_key
from shared.datasets.good_only import good_only_recipe, recipe_with_anomaly
from shared.datasets.importing import import_dataset
from shared.datasets.reading import read_dataset
from shared.intervals import proportion
from shared.recipe import Recipe, parse_recipe
from shared.storage.filesystem import FilesystemStore
from tests.models import BIAS, PAINT, WEIGHTS, pack, paint_bundle, paint_recipe
from tests.painted import ALARMED, BLIND_TO_BREAKS, LABELS, comparable, painted_version, put
from tests.strokes import write_table


@pytest.fixture
def dataset(store: FilesystemStore, tmp_path: Path) -> DatasetVersion:
    return painted_version(store, tmp_path / "paint")


def with_recipe(bundle: Bundle, recipe: Recipe) -> Bundle:
    changed = pack({**bundle.files, "recipe.yaml": recipe.to_yaml().encode()}, recipe, bundle.version, "features")
    return Bundle(changed.manifest.model_copy(update={"dataset": bundle.manifest.dataset}), changed.files)


def test_two_models_are_measured_on_the_test_part_of_the_second(
    store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, comparable("v1", dataset, BLIND_TO_BREAKS, learned=10), comparable("v2", dataset, learned=5))
    found = compare(store, "paint", "v1", "v2")
    assert (found.images, found.groups, found.dataset) == (60, 60, dataset.reference)
    before, after = found.baseline, found.candidate
    assert (before.evaluation.labels["break"].recall, after.evaluation.labels["break"].recall) == (0, 1)
    assert (before.evaluation.escape_rate, after.evaluation.escape_rate) == (0.5, 0)
    assert (before.learned_from, after.learned_from) == (20, 0)
    assert found.extra_cost == -2.5
    assert found.extra_cost_interval
    assert found.extra_cost_interval[1] < 0
    assert objections(found) == []
    assert describe_images(found).endswith(", 20 of them known to model v1 from its training")


def test_one_recipe_defines_ng_and_costs_for_both_models(store: FilesystemStore, dataset: DatasetVersion) -> None:
    cheap = with_recipe(
        comparable("v1", dataset, ALARMED), paint_recipe("costs: {escape: 1, overkill: 0.001}\nunsure_margin: 0.2\n")
    )
    put(store, cheap, comparable("v2", dataset))
    found = compare(store, "paint", "v1", "v2")
    assert found.baseline.evaluation.cost == 0.5
    assert objections(found) == [
        "its recipe judges by another rule: cost of an escape is 10.0, was 1.0, cost of an overkill is 1.0, was 0.001"
    ]


def test_each_model_judges_by_its_own_thresholds_and_order_of_labels() -> None:
    lines = PAINT.strip().splitlines()
    turned = "\n".join([*lines[:4], *reversed(lines[4:])]).replace("role: quality", "role: quality, threshold: 0.9")
    judging = baseline_recipe(parse_recipe(turned), paint_recipe())
    assert judging.label_names == ("good", "error", "break", "length")
    assert judging.label("good").threshold == 0.9


def test_only_differences_of_recipes_about_ng_are_named() -> None:
    loose = PAINT.replace("colour: green, role: defect", "colour: green, role: attribute")
    expecting = PAINT.replace("role: attribute", "role: attribute, expected: false")
    expecting = expecting.replace("role: quality", "role: quality, threshold: 0.9")
    assert rule_differences(paint_recipe(), parse_recipe(loose)) == ["role of break is attribute, was defect"]
    assert rule_differences(paint_recipe(), parse_recipe(expecting)) == [
        "expected value of length is false, was not given"
    ]
    rare = paint_recipe("defect_rate: 0.02\nunsure_margin: 0.2\ndescription: of another camera\n")
    assert rule_differences(paint_recipe(), rare) == ["defect rate is 0.02, was not given"]
    both, one = (good_only_recipe(parse_recipe(text)) for text in (PAINT, loose))
    assert rule_differences(both, one) == ["role of break is attribute, was defect"]


def test_a_network_whose_labels_come_in_another_order_is_compared_label_by_label(
    store: FilesystemStore, dataset: DatasetVersion
) -> None:
    lines = PAINT.strip().splitlines()
    turned = parse_recipe("\n".join([*lines[:4], *reversed(lines[4:])]))
    bundle = paint_bundle("v1", recipe=turned, bias=BIAS[::-1].copy(), weights=WEIGHTS[:, ::-1].copy())
    put(store, Bundle(bundle.manifest.model_copy(update={"dataset": dataset.reference}), bundle.files))
    put(store, comparable("v2", dataset))
    found = compare(store, "paint", "v1", "v2")
    assert found.baseline.evaluation == found.candidate.evaluation
    assert found.baseline.learned_from is None


def test_the_variant_that_the_line_runs_is_measured(store: FilesystemStore, dataset: DatasetVersion) -> None:
    whole, blind = comparable("v1", dataset), comparable("v1", dataset, BLIND_TO_BREAKS)
    int8 = dict(
        zip(VARIANT_FILES[Variant.INT8], (blind.files[name] for name in VARIANT_FILES[Variant.FP32]), strict=True)
    )
    files = {**whole.files, **int8}
    put(store, Bundle(pack(files, whole.recipe, "v1", "features").manifest, files), comparable("v2", dataset))
    assert compare(store, "paint", "v1", "v2").baseline.evaluation.labels["break"].recall == 0


def test_models_of_other_labels_are_not_compared(store: FilesystemStore, dataset: DatasetVersion) -> None:
    other = parse_recipe(PAINT.replace("  length: {key: l", "  stain: {key: l"))
    put(store, with_recipe(comparable("v1", dataset), other), comparable("v2", dataset))
    with pytest.raises(NotComparable, match=r"one judges good, error, break, stain \(multi-label\), the other good"):
        compare(store, "paint", "v1", "v2")


def test_labels_may_follow_a_model_of_good_images_alone_by_their_verdicts(
    store: FilesystemStore, dataset: DatasetVersion
) -> None:
    good = paint_recipe().label_names.index("good")
    first = paint_bundle("v1", recipe=good_only_recipe(paint_recipe()), bias=-BIAS[[good]], weights=-WEIGHTS[:, [good]])
    put(store, Bundle(first.manifest.model_copy(update={"dataset": dataset.reference}), first.files))
    put(store, comparable("v2", dataset, learned=5))
    found = compare(store, "paint", "v1", "v2")
    assert [*found.baseline.evaluation.labels] == ["anomaly"]
    assert found.baseline.evaluation.labels["anomaly"].positives == found.ng
    assert found.baseline.evaluation.escape_rate == 0
    assert objections(found) == []
    show(found)
    put(store, comparable("v3", dataset, BLIND_TO_BREAKS, learned=5))
    assert any("escape rate is 0.500, was 0.000" in each for each in objections(compare(store, "paint", "v1", "v3")))


def test_an_anomaly_beside_the_labels_is_no_label_of_a_comparison(
    store: FilesystemStore, dataset: DatasetVersion
) -> None:
    recipe, alarm = recipe_with_anomaly(paint_recipe()), np.full((1,), 9.0, BIAS.dtype)
    bias, weights = np.concatenate([BIAS, alarm]), np.column_stack([WEIGHTS, np.zeros(len(WEIGHTS), WEIGHTS.dtype)])
    beside = paint_bundle("v2", recipe=recipe, bias=bias, weights=weights)
    tables = {name: content for name, content in comparable("v2", dataset).files.items() if name.endswith(".csv")}
    changed = pack({**beside.files, **tables}, recipe, "v2", "features")
    put(store, comparable("v1", dataset), comparable("v3", dataset))
    put(store, Bundle(changed.manifest.model_copy(update={"dataset": dataset.reference}), changed.files))
    there, back = compare(store, "paint", "v1", "v2"), compare(store, "paint", "v2", "v3")
    assert there.candidate.evaluation.labels["anomaly"].positives == there.ng
    assert there.candidate.evaluation.macro_labels == there.baseline.evaluation.macro_labels
    assert there.extra_cost == back.extra_cost == 0
    assert not regressions(there)
    assert not regressions(back)


def test_a_model_that_was_trained_from_a_folder_finds_the_version_that_was_imported_since_beside_damaged_ones(
    store: FilesystemStore, dataset: DatasetVersion
) -> None:
    bundle = comparable("v2", dataset)
    of_folder = Bundle(bundle.manifest.model_copy(update={"dataset": dataset.digest}), bundle.files)
    put(store, comparable("v1", dataset), of_folder)
    store.put("datasets/another/versions/0001-00000000.json", b"damaged")
    assert compare(store, "paint", "v1", "v2").dataset == dataset.reference


def test_a_comparison_is_not_measured_again(store: FilesystemStore, dataset: DatasetVersion) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset))
    first = compare(store, "paint", "v1", "v2")
    for key in list(store.keys("datasets/")):
        store.delete(key)
    assert compare(store, "paint", "v1", "v2") == first


def test_a_test_image_that_has_changed_is_not_measured_on(store: FilesystemStore, dataset: DatasetVersion) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset))
    store.put(image_key(dataset.images[-1].digest), b"another")
    with pytest.raises(NotComparable, match=r"red-19.png has changed since it was stored"):
        compare(store, "paint", "v1", "v2")


def test_few_test_images_of_a_deciding_label_prove_nothing(store: FilesystemStore, dataset: DatasetVersion) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset, learned=11))
    (told,) = objections(compare(store, "paint", "v1", "v2"))
    assert told == (
        "too few test images of error (9 with, 27 without), break (9 with, 27 without), where 10 with and 10 without "
        "prove something: train it with a larger test share (option shares; the warnings of its evaluation say which), "
        "or label more"
    )
    put(store, comparable("v3", dataset, learned=10))
    assert objections(compare(store, "paint", "v1", "v3")) == []


def test_an_attribute_decides_only_where_a_value_is_expected(store: FilesystemStore, dataset: DatasetVersion) -> None:
    expecting = parse_recipe(PAINT.replace("role: attribute", "role: attribute, expected: false"))
    put(store, comparable("v1", dataset), comparable("v2", dataset), with_recipe(comparable("v3", dataset), expecting))
    assert compare(store, "paint", "v1", "v2").deciding == ("good", "error", "break")
    assert compare(store, "paint", "v1", "v3").deciding == ("good", "error", "break", "length")


def test_a_few_mistakes_more_are_no_proof_and_many_are(store: FilesystemStore, dataset: DatasetVersion) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset))
    found = compare(store, "paint", "v1", "v2")
    assert objections(found) == []
    assert objections(found.model_copy(update={"extra_cost": 0.1, "extra_cost_interval": (0.0, 0.3)})) == []
    dearer = found.model_copy(update={"extra_cost": 0.2, "extra_cost_interval": (0.05, 0.3)})
    assert objections(dearer) == ["cost per image is 0.000, was 0.000: more by 0.200 (0.050 to 0.300)"]


def missing(found: Comparison, misses: int, of: int, before: int = 0) -> Comparison:
    """A comparison in which the candidate misses a number of the breaks, and production a number of the same."""

    def side(each: Side, missed: int) -> Side:
        label = each.evaluation.labels["break"]
        confusion = label.confusion.model_copy(update={"true_positive": of - missed, "false_negative": missed})
        low, high = proportion(of - missed, of) or (0, 1)
        changes = {"positives": of, "recall": 1 - missed / of, "confusion": confusion}
        changed = label.model_copy(update={**changes, "intervals": {"recall": (low, high)}})
        labels = {**each.evaluation.labels, "break": changed}
        return each.model_copy(update={"evaluation": each.evaluation.model_copy(update={"labels": labels})})

    return found.model_copy(
        update={"baseline": side(found.baseline, before), "candidate": side(found.candidate, misses)}
    )


def test_a_model_that_misses_more_than_an_image_or_a_twentieth_is_refused_however_wide_the_interval(
    store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset, learned=10))
    found = compare(store, "paint", "v1", "v2")
    for passes, of in ((1, 10), (1, 20), (2, 40), (3, 60)):
        assert regressions(missing(found, passes, of)) == []
        assert regressions(missing(found, passes + 1, of))
    assert regressions(missing(found, 2, 10)) == [
        "recall of break is 0.800, was 1.000 (0.722 to 1.000), with 2 more of 10 missed"
    ]
    assert regressions(missing(found, 4, 100)), "beyond the interval"
    assert regressions(missing(found, 5, 40, before=3)) == []
    assert regressions(missing(found, 6, 40, before=3))


def test_a_model_that_lets_more_escape_is_refused_even_if_it_costs_less(
    store: FilesystemStore, dataset: DatasetVersion
) -> None:
    put(store, comparable("v1", dataset), comparable("v2", dataset))
    found = compare(store, "paint", "v1", "v2")
    assert found.ng == 30
    cheaper = {"extra_cost": -0.07, "extra_cost_interval": (-0.1, -0.05)}

    def escaping(escapes: int) -> Comparison:
        evaluation = found.candidate.evaluation.model_copy(update={"escape_rate": escapes / found.ng})
        candidate = found.candidate.model_copy(update={"evaluation": evaluation})
        return found.model_copy(update={**cheaper, "candidate": candidate})

    assert objections(escaping(1)) == []
    assert objections(escaping(2)) == ["escape rate is 0.067, was 0.000 (0.000 to 0.114), with 2 more of 30 escaped"]


def test_images_that_the_model_learned_from_prove_nothing(store: FilesystemStore, dataset: DatasetVersion) -> None:
    made = comparable("v2", dataset)
    files = {**made.files, "valid.csv": made.files["test.csv"]}
    manifest = pack(files, made.recipe, "v2", "features").manifest
    put(store, comparable("v1", dataset), Bundle(manifest.model_copy(update={"dataset": dataset.reference}), files))
    (told,) = objections(compare(store, "paint", "v1", "v2"))
    assert told.startswith("it learned from 60 of these test images itself: train it anew")


def test_neighbours_of_images_that_the_model_learned_from_prove_nothing(
    store: FilesystemStore, dataset: DatasetVersion, tmp_path: Path
) -> None:
    """As where a split has too few groups, and cuts them."""
    videos = [(image.name, f"video-{len(image.name) % 2}") for image in dataset.images]
    write_table(tmp_path / "paint" / "groups.csv", ("name", "group"), videos)
    recorded = import_dataset(
        read_dataset(tmp_path / "paint", LABELS), store, "paint", by="ada", source="a test"
    ).version
    put(store, comparable("v1", recorded), comparable("v2", recorded))
    found = compare(store, "paint", "v1", "v2")
    assert (found.groups, found.known_groups) == (2, 2)
    (told,) = objections(found)
    assert told.startswith("it learned from other images of 2 of the 2 groups that these are of, neighbours in a video")
