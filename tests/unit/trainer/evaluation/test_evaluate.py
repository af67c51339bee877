import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from services.trainer.evaluation.calibration import BINS, expected_error, reliability
from services.trainer.evaluation.costs import label_costs, line_weights
from services.trainer.evaluation.evaluate import evaluate, ranking, table_of
from services.trainer.evaluation.written import share_with_counts
from shared.intervals import draws, proportion, spread
from shared.recipe import Recipe, parse_recipe
from tests.unit.trainer.recipes import FRUIT, SEAM


@pytest.fixture
def seam() -> Recipe:
    return parse_recipe(SEAM)


def apart(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_each_figure_of_a_label_equals_the_counts(seam: Recipe) -> None:
    truth = np.array([[1, 0, 1, 0]] * 6 + [[0, 1, 1, 0]] * 4, np.float32)
    scores = truth * 0.8 + 0.1
    scores[0, 1] = 0.9  # a false alarm
    scores[6:8, 1] = 0.2  # two misses
    label = evaluate(seam, truth, scores, apart(10)).labels["break"]
    assert (label.n, label.positives) == (10, 4)
    assert label.confusion.model_dump() == {
        "true_positive": 2,
        "false_positive": 1,
        "false_negative": 2,
        "true_negative": 5,
    }
    assert label.accuracy == pytest.approx(0.7)
    assert label.precision == pytest.approx(2 / 3)
    assert label.recall == pytest.approx(0.5)
    assert label.f1 == pytest.approx(4 / 7)
    assert label.roc_auc == pytest.approx((2 * 6 + 2 * 5) / 24)
    assert set(label.intervals) == {"accuracy", "precision", "recall", "f1", "roc_auc", "average_precision", "brier"}
    for name, (low, high) in label.intervals.items():
        assert 0 <= low <= getattr(label, name) <= high <= 1


def test_escapes_and_overkill_are_counted_against_the_true_state_of_the_part(seam: Recipe) -> None:
    good, broken = [1, 0, 1, 0], [0, 1, 1, 0]
    truth = np.array([good] * 6 + [broken] * 4, np.float32)
    said = np.array([good] * 5 + [broken] + [broken] * 3 + [good], np.float32)
    found = evaluate(seam, truth, said, apart(10))
    assert found.verdict_accuracy == pytest.approx(0.8)
    assert found.escape_rate == pytest.approx(1 / 4)
    assert found.overkill_rate == pytest.approx(1 / 6)
    assert found.cost == pytest.approx((10 + 1) / 10)


def test_the_numbers_of_the_whole_have_intervals_too(seam: Recipe) -> None:
    rng = np.random.default_rng(4)
    truth = np.tile(np.array([[1, 0, 1, 0], [0, 1, 1, 1]], np.float32), (60, 1))
    scores = np.clip(truth * 0.3 + 0.35 + rng.normal(0, 0.2, truth.shape), 0, 1).astype(np.float32)
    found = evaluate(seam, truth, scores, apart(120))
    names = {"verdict_accuracy", "escape_rate", "overkill_rate", "macro_average_precision", "cost"}
    assert set(found.intervals) == names
    for name, (low, high) in found.intervals.items():
        assert low < getattr(found, name) < high


def test_a_score_that_is_a_probability_is_calibrated(seam: Recipe) -> None:
    rng = np.random.default_rng(5)
    scores = rng.random(20_000).astype(np.float32)
    honest = reliability(rng.random(20_000) < scores, scores)
    assert len(honest) == BINS
    assert all(abs(each.score - each.share) < 0.05 for each in honest)
    assert expected_error(honest) < 0.02
    boastful = reliability(rng.random(20_000) < 0.5 + (scores - 0.5) / 2, scores)
    assert expected_error(boastful) == pytest.approx(0.125, abs=0.02)


def test_the_ends_of_the_scale_are_in_its_first_and_last_bin() -> None:
    bins = reliability(np.array([False, True, True]), np.array([0, 0.99, 1], np.float32))
    assert [(each.n, each.share) for each in bins] == [(1, 0), (2, 1)]
    assert expected_error(bins) == pytest.approx(2 / 3 * 0.005, abs=1e-6)


def test_an_attribute_that_the_product_wants_otherwise_is_an_escape(seam: Recipe) -> None:
    truth = np.array([[1, 0, 0, 0], [1, 0, 1, 0]], np.float32)
    said = np.array([[1, 0, 1, 0], [1, 0, 1, 0]], np.float32)
    assert evaluate(seam, truth, said, apart(2)).escape_rate == 1


def test_an_undefined_figure_is_none_and_not_zero(seam: Recipe) -> None:
    truth = np.array([[1, 0, 1, 0]] * 3, np.float32)
    found = evaluate(seam, truth, truth, apart(3))
    nothing = found.labels["break"]
    assert (nothing.precision, nothing.recall, nothing.roc_auc, nothing.average_precision) == (None,) * 4
    assert found.escape_rate is None
    assert found.macro_average_precision is None
    everywhere = found.labels["good"]
    assert (everywhere.accuracy, everywhere.average_precision, everywhere.positives) == (None, None, 3)


def test_a_mean_is_of_the_labels_that_some_images_have_and_others_lack(seam: Recipe) -> None:
    truth = np.array([[1, 0, 0, 1], [1, 1, 0, 0], [1, 0, 0, 1]], np.float32)
    found = evaluate(seam, truth, truth * 0.8 + 0.1, apart(3))
    assert (found.macro_average_precision, found.macro_labels) == (1, ("break", "twill"))
    worse = np.array([[0.9, 0.1, 0.9, 0.9], [0.9, 0.9, 0.9, 0.1], [0.9, 0.1, 0.9, 0.1]], np.float32)
    found = evaluate(seam, truth, worse, apart(3))
    measured = [found.labels[name].average_precision for name in found.macro_labels]
    assert found.macro_average_precision == pytest.approx(np.mean([each for each in measured if each is not None]))


def test_exclusive_labels_are_decided_by_the_highest_score() -> None:
    recipe = parse_recipe(FRUIT)
    truth = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], np.float32)
    found = evaluate(recipe, truth, scores, apart(3))
    assert found.labels["apple"].accuracy == pytest.approx(2 / 3)
    assert found.labels["apple"].recall == pytest.approx(1 / 2)
    assert found.verdict_accuracy == pytest.approx(2 / 3)
    assert found.overkill_rate is None, "no class makes a part NG"


def test_the_table_names_each_label_with_its_share_of_right_answers(seam: Recipe) -> None:
    truth = np.array([[1, 0, 1, 0]] * 30 + [[0, 1, 1, 0]] * 10, np.float32)
    said = np.array([[1, 0, 1, 0]] * 40, np.float32)
    names, shares, images = table_of(evaluate(seam, truth, said, apart(40))).splitlines()
    assert names.split() == ["label", "good", "break", "short", "twill"]
    assert shares.split() == ["correct", "75.0", "%", "75.0", "%", "n/a", "n/a"]
    assert images.split("  ")[-1].strip() == "0 of 40"
    assert images.startswith("have it")


def test_few_images_give_counts_and_no_figure(seam: Recipe) -> None:
    truth = np.array([[1, 0, 1, 0]] * 3 + [[0, 1, 1, 0]], np.float32)
    found = evaluate(seam, truth, truth, apart(4))
    assert table_of(found).splitlines()[1].split() == ["correct", "too", "few", "too", "few", "n/a", "n/a"]
    assert (found.labels["good"].is_telling, found.mean_is_telling, found.ng) == (False, False, 1)
    assert [share_with_counts(*share) for share in found.rates.values()] == [("4 of 4",), ("0 of 1",), ("0 of 3",)]
    assert share_with_counts(None, 0) == ("n/a",)
    assert share_with_counts(0.9375, 96, (0.87, 0.971)) == ("93.8 % (87.0 to 97.1)", "90 of 96")


def test_a_share_has_wilsons_interval() -> None:
    assert proportion(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert proportion(0, 0) is None


def test_images_of_one_group_are_drawn_together() -> None:
    counts = draws([f"group-{number // 4}" for number in range(40)]).reshape(-1, 10, 4)
    assert (counts == counts[:, :, :1]).all()
    assert (counts[:, :, 0].sum(axis=1) == 10).all()


def test_images_of_a_handful_of_groups_are_drawn_one_by_one() -> None:
    counts = draws(["a"] * 20 + ["b"] * 20)
    assert (counts.sum(axis=1) == 40).all()
    assert not (counts[:, :20] == counts[:, :1]).all()


def test_groups_that_are_alike_make_an_interval_wider() -> None:
    values = np.repeat(np.random.default_rng(0).random(20), 10)
    by_group, by_image = (
        spread(weights @ values / weights.sum(axis=1))
        for weights in (draws([str(value) for value in values]), draws(apart(200)))
    )
    assert by_group
    assert by_image
    assert by_group[1] - by_group[0] > 1.5 * (by_image[1] - by_image[0])


def test_numbers_of_samples_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    true = rng.random(80) < 0.3
    scores = np.round(np.clip(true * 0.2 + rng.random(80), 0, 1), 1).astype(np.float32)  # many are equal
    weights = draws(apart(80))
    areas, precisions = ranking(true, scores, weights)
    for sample, area, precision in zip(weights[:20], areas, precisions, strict=False):
        assert area == pytest.approx(roc_auc_score(true, scores, sample_weight=sample))
        assert precision == pytest.approx(average_precision_score(true, scores, sample_weight=sample))


def test_an_undefined_figure_has_no_interval() -> None:
    area, precision = ranking(np.zeros(9, bool), np.linspace(0, 1, 9, dtype=np.float32), draws(apart(9)))
    assert spread(area) is None
    assert spread(precision) is None


def test_images_count_as_they_are_met_on_the_line(seam: Recipe) -> None:
    rare, ng = seam.model_copy(update={"defect_rate": 0.05}), np.array([False] * 3 + [True] * 5)
    weights = line_weights(rare, ng)
    assert weights.mean() == pytest.approx(1)
    assert weights[3:].sum() / weights.sum() == pytest.approx(0.05)
    assert line_weights(seam, ng).tolist() == [1] * 8
    assert line_weights(rare, ng[:3]).tolist() == [1] * 3


def test_the_cost_is_that_of_a_part_on_the_line(seam: Recipe) -> None:
    truth = np.array([[1, 0, 1, 0]] * 4 + [[0, 1, 1, 0]] * 4, np.float32)
    scores = np.array([[1, 0, 1, 0]] * 3 + [[0, 1, 1, 0]] * 4 + [[1, 0, 1, 0]], np.float32)
    assert evaluate(seam, truth, scores, apart(8)).cost == pytest.approx((10 * 1 + 1 * 1) / 8)
    rare = seam.model_copy(update={"defect_rate": 0.04})
    assert evaluate(rare, truth, scores, apart(8)).cost == pytest.approx(0.04 * 10 / 4 + 0.96 * 1 / 4)


def test_roles_say_which_mistake_is_an_escape(seam: Recipe) -> None:
    costs = {label.name: label_costs(label, seam.costs) for label in seam.labels}
    assert costs == {"good": (1, 10), "break": (10, 1), "short": (1, 10), "twill": (1, 1)}
