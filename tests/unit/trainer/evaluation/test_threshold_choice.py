"""Thresholds are chosen for all labels together, by the escapes and the overkill of the verdicts."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.trainer.evaluation.costs import is_ng
from services.trainer.evaluation.doubtful_labels import doubtful_labels
from services.trainer.evaluation.probabilities import SMALLEST_SLOPE, calibrate
from services.trainer.evaluation.threshold_choice import BOUNDS, choose_thresholds, good_bound, point_of
from shared.contracts.operating_points import OperatingPoint, OperatingPointName, OperatingPoints
from shared.datasets.good_only import recipe_with_anomaly
from shared.recipe import Recipe, parse_recipe
from shared.verdict import judge
from tests.unit.trainer.recipes import FRUIT, SEAM

FEW_ESCAPES, BALANCED, FEW_FALSE_REJECTS, LEAST_COST, ALLOWED_OVERKILL = OperatingPointName
BOARD = parse_recipe("""
name: board
task: multi-label
labels:
  good: {key: g, colour: green, role: quality}
  open: {key: o, colour: red, role: defect}
  short: {key: h, colour: orange, role: defect}
  spur: {key: r, colour: magenta, role: defect}
""")
GOOD_ONLY = parse_recipe("""
name: board
task: multi-label
labels:
  anomaly: {colour: red, role: defect}
good_by: {task: multi-label, labels: {good: {colour: green, role: quality}}}
""")
EXCLUSIVE = parse_recipe("""
name: tile
task: exclusive
labels:
  good: {key: g, colour: green, role: quality}
  crack: {key: c, colour: red, role: defect}
  hole: {key: h, colour: orange, role: defect}
""")

Table = NDArray[np.float32]


def images(
    recipe: Recipe, count: int = 400, ng: float = 0.4, noise: float = 1.0, seed: int = 0
) -> tuple[Table, Table, list[str]]:
    """Truth, scores and groups of parts that have one fault at most; each label is lifted by a number of its own."""
    rng = np.random.default_rng(seed)
    labels = len(recipe.labels)
    shown = np.where(rng.random(count) < ng, rng.integers(1, labels, count), 0)
    truth = np.eye(labels, dtype=np.float32)[shown]
    logits = 4 * truth - 2 + rng.normal(0, noise, truth.shape) + np.linspace(-1.5, 2, labels)
    powers = np.exp(logits)
    scores = powers / powers.sum(axis=1, keepdims=True) if recipe is EXCLUSIVE else powers / (1 + powers)
    return truth, scores.astype(np.float32), [f"part-{number // 2}" for number in range(count)]


def chosen(
    recipe: Recipe, of: tuple[Table, Table, list[str]], requested: OperatingPointName | None = None
) -> tuple[Recipe, OperatingPoints, OperatingPoint]:
    judging, points = choose_thresholds(recipe, *of, requested)
    assert points
    assert points.of_model
    return judging, points, points.of_model


@pytest.mark.parametrize("recipe", [BOARD, EXCLUSIVE], ids=["multi-label", "exclusive"])
@pytest.mark.parametrize("noise", [0.3, 1.5, 2.5])
def test_verdicts_are_better_than_without_a_model_and_overkill_is_bounded(recipe: Recipe, noise: float) -> None:
    judging, points, _ = chosen(recipe, images(recipe, noise=noise))
    truth, scores, _ = images(recipe, noise=noise, seed=1)  # of other parts
    ng, judged_ng = is_ng(judging, truth), is_ng(judging, scores)
    assert (ng == judged_ng).mean() > max(points.all_ok_right, points.all_ng_right) + 0.05
    assert judged_ng[~ng].mean() < 0.26
    assert not points.advice


@pytest.mark.parametrize("recipe", [BOARD, EXCLUSIVE], ids=["multi-label", "exclusive"])
def test_the_figures_are_those_of_other_parts(recipe: Recipe) -> None:
    """They are counted on parts that nothing was chosen by, so they hold on new ones, within their intervals."""
    for requested in (FEW_ESCAPES, BALANCED, FEW_FALSE_REJECTS):
        judging, _, point = chosen(recipe, images(recipe, 600), requested)
        truth, scores, _ = images(recipe, 4000, seed=2)
        ng, judged_ng = is_ng(judging, truth), is_ng(judging, scores)
        for name, rate in (("escape_rate", (~judged_ng)[ng].mean()), ("overkill_rate", judged_ng[~ng].mean())):
            low, high = point.intervals[name]
            assert low - 0.02 <= rate <= high + 0.02, (requested, name)


def test_operating_points_are_ordered_by_their_escapes() -> None:
    _, points, _ = chosen(BOARD, images(BOARD, noise=1.5))
    three = [points.points[name] for name in (FEW_ESCAPES, BALANCED, FEW_FALSE_REJECTS)]
    assert [each.escapes for each in three] == sorted(each.escapes for each in three)
    assert [each.overkills for each in three] == sorted((each.overkills for each in three), reverse=True)
    assert three[0].escapes / three[0].ng < 0.06
    assert three[2].overkills / three[2].ok < 0.06
    assert LEAST_COST not in points.points


@pytest.mark.parametrize("recipe", [BOARD, EXCLUSIVE], ids=["multi-label", "exclusive"])
def test_what_is_unlike_anything_good_counts_where_it_is_ng(recipe: Recipe) -> None:
    truth, scores, groups = images(recipe)
    unlike = np.arange(len(truth)) % 10 == 0
    _, without = choose_thresholds(recipe, truth, scores, groups)
    judging, points = choose_thresholds(recipe, truth, scores, groups, unlike=unlike)
    assert points
    assert without
    for name, point in points.points.items():
        assert point.overkills > without.points[name].overkills
        assert point.escapes <= without.points[name].escapes
    beside = recipe_with_anomaly(judging)
    assert point_of(beside, points) == points.chosen
    assert point_of(beside.with_thresholds({"anomaly": 0.7}), points) == points.chosen


def test_labels_that_share_a_fault_do_not_add_up_their_overkill() -> None:
    """Thresholds of single labels, each with 15 % false alarms, would call far more than 20 % of ok parts NG."""
    truth, scores, groups = images(BOARD, noise=1.8)
    judging, _, _ = chosen(BOARD, (truth, scores, groups))
    ok = ~is_ng(BOARD, truth)
    assert is_ng(judging, scores)[ok].mean() <= 0.2
    alone = BOARD.with_thresholds(
        {label.name: float(np.quantile(scores[ok, column], 0.85)) for column, label in enumerate(BOARD.labels[1:], 1)}
        | {"good": float(np.quantile(scores[ok, 0], 0.15))}
    )
    assert is_ng(alone, scores)[ok].mean() > 0.3


def test_the_thresholds_cut_all_labels_at_one_probability() -> None:
    truth, scores, groups = images(BOARD, 2000)
    judging, points, point = chosen(BOARD, (truth, scores, groups))
    for column, label in enumerate(judging.labels):
        found = calibrate(scores[:, column], truth[:, column] > 0).probabilities(np.array([label.threshold]))[0]
        expected = 1 - point.probability if label.name == "good" else point.probability
        assert found == pytest.approx(expected, abs=0.01)
    assert point_of(judging, points) is BALANCED
    assert point_of(BOARD, points) is None


def test_with_a_defect_rate_the_least_cost_is_chosen() -> None:
    of = images(BOARD, 2000, noise=1.5)
    cuts = []
    for rate in (0.5, 0.05, 0.005):
        _, points, point = chosen(BOARD.model_copy(update={"defect_rate": rate}), of)
        assert points.chosen is LEAST_COST
        assert point.cost <= min(each.cost for each in points.points.values()) * 1.1 + 0.002
        assert point.cost == pytest.approx(
            rate * 10 * (point.escape_rate or 0) + (1 - rate) * (point.overkill_rate or 0)
        )
        cuts.append(point.probability)
    assert cuts == sorted(cuts), "the rarer a defect on the line, the surer its finding must be"


def test_scores_that_say_nothing_are_told_with_what_would_help() -> None:
    truth, scores, groups = images(BOARD, ng=0.3)
    shuffled = np.random.default_rng(3).permutation(scores)
    _, points, point = chosen(BOARD, (truth, shuffled, groups))
    (advice,) = points.advice
    assert f"no more right than calling every part ok ({points.all_ok_right:.1%} right" in advice
    assert "label more NG parts" in advice
    assert point.verdict_accuracy > points.all_ok_right - 0.05


def test_without_ng_parts_nothing_is_said_of_escapes() -> None:
    truth, scores, groups = images(BOARD, ng=0)
    _, points, point = chosen(BOARD, (truth, scores, groups))
    assert point.escape_rate is None
    assert "escape_rate" not in point.intervals
    assert "label images of NG parts" in points.advice[0]


def test_labels_that_decide_nothing_have_no_operating_points_and_are_cut_where_they_are_as_likely_as_not() -> None:
    truth = np.eye(2, dtype=np.float32)[np.arange(60) % 2]
    assert choose_thresholds(parse_recipe(FRUIT), truth, truth, list(map(str, range(60)))) == (
        parse_recipe(FRUIT),
        None,
    )
    seam = parse_recipe(SEAM)
    truth = np.tile(np.array([[1, 0, 1, 0], [0, 1, 1, 1]], np.float32), (100, 1))
    scores = np.clip(truth * 0.3 + 0.5 + np.random.default_rng(0).normal(0, 0.1, truth.shape), 0, 1)
    judging, _, _ = chosen(seam, (truth, scores.astype(np.float32), list(map(str, range(200)))))
    assert judging.label("twill").threshold == pytest.approx(0.65, abs=0.03)
    assert all(BOUNDS[0] <= label.threshold <= BOUNDS[1] for label in judging.labels)


def test_a_label_with_few_images_is_calibrated_by_its_share_alone() -> None:
    rng = np.random.default_rng(0)
    scores = np.clip(rng.beta(4, 4, 100), 0.05, 0.95)  # lifted, as by weights of a loss
    rare = calibrate(scores, np.arange(100) < 3)
    assert rare.slope == 1
    assert rare.probabilities(scores).mean() == pytest.approx(3.5 / 101)
    assert calibrate(scores, np.zeros(100, bool)).probabilities(scores).mean() < 0.01


def test_a_higher_score_is_always_a_higher_probability() -> None:
    scores = np.linspace(0.1, 0.9, 100)
    inverse = calibrate(scores, scores < 0.5)
    assert inverse.slope == SMALLEST_SLOPE
    assert inverse.score_of(float(inverse.probabilities(scores)[30])) == pytest.approx(scores[30])


def test_a_calibrated_score_is_a_probability() -> None:
    rng = np.random.default_rng(1)
    probabilities = rng.random(5000)
    true = rng.random(5000) < probabilities
    shifted = 1 / (1 + np.exp(-(2 * np.log(probabilities / (1 - probabilities)) + 1.5)))
    assert np.abs(calibrate(shifted, true).probabilities(shifted) - probabilities).mean() < 0.02


def test_exclusive_labels_are_compared_by_score_over_threshold() -> None:
    recipe = EXCLUSIVE.with_thresholds({"good": 0.9, "crack": 0.1, "hole": 0.1})
    for scores, present in (([0.8, 0.15, 0.05], "crack"), ([0.92, 0.05, 0.03], "good"), ([0.3, 0.3, 0.4], "hole")):
        judged = judge(recipe, scores)
        assert [name for name, each in judged.findings.items() if each.present] == [present]
        assert judged.verdict == ("ok" if present == "good" else "ng")
        for finding in judged.findings.values():
            assert finding.present == (finding.score >= finding.threshold)


def test_labels_that_are_probably_wrong_are_found() -> None:
    truth, scores, _ = images(BOARD, noise=0.5)
    names = [f"{number}.png" for number in range(len(truth))]
    mislabelled = truth.copy()
    mislabelled[7] = 1 - mislabelled[7]
    found = doubtful_labels(BOARD, names, mislabelled, scores, limit=20)
    assert {(doubt.label, doubt.labelled) for doubt in found if doubt.name == "7.png"} == {
        (label.name, bool(mislabelled[7, column])) for column, label in enumerate(BOARD.labels)
    }
    assert [doubt.probability for doubt in found] == sorted(doubt.probability for doubt in found)
    assert len(found) < 20


@pytest.mark.parametrize("count", [12, 40, 400])
@pytest.mark.parametrize("overkill", [0.02, 0.1])
def test_good_parts_exceed_their_bound_as_often_as_is_allowed(count: int, overkill: float) -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(2000, count + 1))
    exceeded = [row[-1] > good_bound(row[:-1], overkill) for row in drawn]
    assert 0.3 * overkill <= np.mean(exceeded) <= 1.3 * overkill


def test_a_model_of_good_images_alone_is_cut_by_the_overkill_that_is_allowed() -> None:
    rng = np.random.default_rng(0)
    scores = (1 / (1 + np.exp(-rng.normal(size=(300, 1))))).astype(np.float32)
    groups = [str(number) for number in range(300)]
    judging, points = choose_thresholds(GOOD_ONLY, np.zeros((300, 1), np.float32), scores, groups, overkill=0.1)
    assert points
    assert points.chosen is ALLOWED_OVERKILL
    assert set(points.points) == {ALLOWED_OVERKILL, FEW_FALSE_REJECTS}
    assert 0.05 < (points.points[ALLOWED_OVERKILL].overkill_rate or 0) < 0.15
    assert (points.points[FEW_FALSE_REJECTS].overkill_rate or 0) < 0.04
    assert points.points[ALLOWED_OVERKILL].escape_rate is None
    assert is_ng(judging, scores).mean() == pytest.approx(0.1, abs=0.02)
    assert "nothing can be said about escapes" in points.advice[0]


def test_with_images_of_ng_parts_all_operating_points_are_offered_beside_the_allowed_overkill() -> None:
    rng = np.random.default_rng(0)
    truth = (np.arange(200) < 40).astype(np.float32)[:, np.newaxis]
    scores = (1 / (1 + np.exp(-rng.normal(size=(200, 1)) - 3 * truth))).astype(np.float32)
    _, points = choose_thresholds(GOOD_ONLY, truth, scores, [str(number) for number in range(200)])
    assert points
    assert points.chosen is ALLOWED_OVERKILL
    assert set(points.points) == {FEW_ESCAPES, BALANCED, FEW_FALSE_REJECTS, ALLOWED_OVERKILL}
    assert (points.points[ALLOWED_OVERKILL].escape_rate or 0) < 0.2
