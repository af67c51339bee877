"""Verdicts from scores, by the recipe."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.datasets.good_only import recipe_with_anomaly
from shared.messages import Verdict
from shared.recipe import Recipe, Task, parse_recipe
from shared.verdict import judge, ng_images, present_labels, scores_by, scores_of
from tests.unit.shared.test_recipe import SEAM

RECIPE = parse_recipe(SEAM)
FRUIT = parse_recipe(
    """\
name: fruit
task: exclusive
labels:
  apple: {key: a, colour: green, role: attribute}
  orange: {key: o, colour: blue, role: attribute, expected: true}
  rotten: {key: r, colour: red, role: defect}
"""
)


@pytest.mark.parametrize(
    ("scores", "verdict", "reason", "flagged"),
    [
        ((0.9, 0.1, 0.1, 0.9), Verdict.OK, "no fault", False),
        ((0.9, 0.9, 0.1, 0.9), Verdict.NG, "error", True),
        ((0.1, 0.1, 0.1, 0.9), Verdict.NG, "not good", True),
        ((0.1, 0.9, 0.9, 0.9), Verdict.NG, "not good, error, break", True),
        ((0.9, 0.1, 0.1, 0.1), Verdict.NG, "length is absent and is expected otherwise", True),
        ((0.9, 0.1, 0.35, 0.9), Verdict.OK, "unsure of break", True),
        ((0.9, 0.5, 0.1, 0.9), Verdict.NG, "error; unsure of error", True),
    ],
)
def test_roles_make_the_verdict(scores: tuple[float, ...], verdict: Verdict, reason: str, flagged: bool) -> None:
    judgement = judge(RECIPE, scores)
    assert (judgement.verdict, judgement.reason, judgement.flagged) == (verdict, reason, flagged)


@pytest.mark.parametrize(
    ("scores", "verdict", "reason"),
    [
        ((0.1, 0.8, 0.1), Verdict.OK, "no fault"),
        ((0.8, 0.1, 0.1), Verdict.NG, "apple is present and is expected otherwise"),
        ((0.1, 0.1, 0.8), Verdict.NG, "rotten"),
        ((0.05, 0.5, 0.45), Verdict.OK, "unsure of orange, rotten"),
    ],
)
def test_an_exclusive_recipe_judges_the_winner(scores: tuple[float, ...], verdict: Verdict, reason: str) -> None:
    judgement = judge(FRUIT, scores)
    assert (judgement.verdict, judgement.reason) == (verdict, reason)
    assert sum(finding.present for finding in judgement.findings.values()) == 1


@pytest.mark.parametrize(
    ("recipe", "scores", "unsure", "ng"),
    [
        (RECIPE, (0.9, 0.1, 0.1, 0.9, 0.4), "no fault", "no fault"),
        (RECIPE, (0.9, 0.1, 0.1, 0.9, 0.6), "unlike anything good", "unlike anything good"),
        (
            RECIPE,
            (0.9, 0.1, 0.35, 0.9, 0.6),
            "unlike anything good; unsure of break",
            "unlike anything good; unsure of break",
        ),
        (RECIPE, (0.9, 0.9, 0.1, 0.9, 0.9), "error", "error"),
        (FRUIT, (0.1, 0.8, 0.1, 0.4), "no fault", "no fault"),
        (FRUIT, (0.1, 0.8, 0.1, 0.9), "unlike anything good", "unlike anything good"),
        (FRUIT, (0.1, 0.1, 0.8, 0.9), "rotten", "rotten"),
    ],
)
def test_what_is_unlike_anything_good_does_not_pass_in_silence(
    recipe: Recipe, scores: tuple[float, ...], unsure: str, ng: str
) -> None:
    for mode, reason in (("unsure", unsure), ("ng", ng)):
        judging = recipe_with_anomaly(recipe.model_copy(update={"unlike_good": mode}))
        judgement, finding = judge(judging, scores), judge(judging, scores).findings["anomaly"]
        alone = "unlike" in reason
        assert judgement.reason == reason
        assert judgement.flagged is (reason != "no fault")
        assert finding.present is (scores[-1] >= 0.5)
        assert (finding.unsure, finding.fault) == (alone and mode == "unsure", alone and mode == "ng")
        assert (judgement.verdict is Verdict.NG) is (finding.fault or reason in ("error", "rotten"))
        given = judge(recipe, scores[:-1]).findings
        assert {name: found for name, found in judgement.findings.items() if name != "anomaly"} == given
        table = np.array([scores], np.float32)
        assert ng_images(judging, present_labels(judging, table)).tolist() == [judgement.verdict is Verdict.NG]


def test_a_recipe_may_say_that_what_is_unlike_anything_good_passes() -> None:
    off = recipe_with_anomaly(RECIPE.model_copy(update={"unlike_good": "off"}))
    judgement = judge(off, (0.9, 0.1, 0.1, 0.9, 0.9))
    assert (judgement.verdict, judgement.reason, judgement.flagged) == (Verdict.OK, "no fault", False)
    assert judgement.findings["anomaly"].present


@pytest.mark.parametrize("recipe", [RECIPE, FRUIT])
def test_an_anomaly_changes_the_score_of_no_label(recipe: Recipe) -> None:
    logits = np.random.default_rng(0).normal(size=(5, len(recipe.labels) + 1)).astype(np.float32)
    scores = scores_by(recipe_with_anomaly(recipe), logits)
    assert np.array_equal(scores[:, :-1], scores_of(logits[:, :-1], recipe.task))
    assert scores[:, -1] == pytest.approx(1 / (1 + np.exp(-logits[:, -1])))


@pytest.mark.parametrize("scores", [(0.1,), (0.1, 0.2, 0.3, float("nan")), (0.1, 0.2, 0.3, 1.5)])
def test_scores_that_are_none_are_refused(scores: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="scores"):
        judge(RECIPE, scores)


@given(
    st.lists(st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False), min_size=3, max_size=3),
    st.sampled_from(Task),
)
def test_any_logits_become_probabilities(logits: list[float], task: Task) -> None:
    scores = scores_of(np.array([logits], np.float32), task)
    assert ((scores >= 0) & (scores <= 1)).all()
    if task is Task.EXCLUSIVE:
        assert scores.sum() == pytest.approx(1, abs=1e-5)
