"""The effect of thresholds: counted image by image, never added up from single labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dashboard.models.threshold_effects import MOST_SHOWN, effect_of, unknown_effect
from shared.contracts.scores import ScoredSplit
from shared.messages import Verdict
from shared.recipe import Recipe, parse_recipe
from shared.verdict import judge

RECIPE = parse_recipe("""
name: seam
task: multi-label
labels:
  good: {key: g, colour: white, role: quality}
  break: {key: b, colour: green, role: defect}
  twill: {key: t, colour: blue, role: attribute}
  short: {key: l, colour: red, role: attribute, expected: false}
costs: {escape: 10, overkill: 1}
""")
GOOD, BROKEN = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)


def part(*rows: tuple[tuple[float, ...], tuple[float, ...]]) -> ScoredSplit:
    """Images, each with what is true of it and its scores."""
    names = tuple(map(str, range(len(rows))))
    return ScoredSplit(
        names=names,
        groups=names,
        truth=tuple(truth for truth, _ in rows),
        scores=tuple(scores for _, scores in rows),
    )


TWO_CATCH_ONE = part((BROKEN, (0.3, 0.7, 0.1, 0.1)), (GOOD, (0.9, 0.2, 0.9, 0.1)))
"""The broken part is caught by both labels: it is not good, and it has a break."""


def escapes(thresholds: dict[str, float]) -> float:
    found = effect_of(RECIPE, TWO_CATCH_ONE, thresholds).escapes
    assert found
    return found.value


def test_a_part_with_two_faults_escapes_only_if_both_are_missed() -> None:
    assert escapes({}) == 0
    assert escapes({"break": 0.8}) == 0
    assert escapes({"good": 0.2}) == 0
    assert escapes({"break": 0.8, "good": 0.2}) == 1


def test_a_part_that_two_labels_call_ng_is_overkill_once() -> None:
    found = effect_of(RECIPE, TWO_CATCH_ONE, {"break": 0.1, "good": 0.95})
    assert found.overkill
    assert (found.overkill.value, found.cost) == (1, 0.5)
    assert [(label.misses, label.false_alarms) for label in found.labels[:2]] == [(1, 0), (0, 1)]


def test_the_scores_of_a_label_are_counted_with_and_without_it() -> None:
    found = effect_of(RECIPE, TWO_CATCH_ONE, {})
    for label in found.labels:
        assert label.scores
        assert (sum(label.scores.positives), sum(label.scores.negatives)) == (label.positives, label.negatives)


def test_an_attribute_without_an_expected_value_changes_no_verdict() -> None:
    assert effect_of(RECIPE, TWO_CATCH_ONE, {"twill": 0.99}).overkill == effect_of(RECIPE, TWO_CATCH_ONE, {}).overkill


def test_the_cost_uses_the_defect_rate_of_the_recipe() -> None:
    rare = RECIPE.model_copy(update={"defect_rate": 0.02})
    assert effect_of(rare, TWO_CATCH_ONE, {"break": 0.8, "good": 0.2}).cost == pytest.approx(0.2)


@given(
    scores=st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), min_size=1, max_size=8),
    thresholds=st.fixed_dictionaries({name: st.floats(0.01, 0.99) for name in RECIPE.label_names}),
)
def test_the_effect_equals_the_verdicts_of_the_line(
    scores: list[tuple[float, ...]], thresholds: dict[str, float]
) -> None:
    labels = tuple(label.model_copy(update={"threshold": thresholds[label.name]}) for label in RECIPE.labels)
    moved: Recipe = RECIPE.model_copy(update={"labels": labels})
    verdicts = [judge(moved, np.array(row, np.float32)).verdict for row in scores]
    found = effect_of(RECIPE, part(*((BROKEN, row) for row in scores)), thresholds)
    assert found.escapes
    assert found.escapes.value == pytest.approx(verdicts.count(Verdict.OK) / len(verdicts))
    assert found.overkill is None


def test_images_that_change_sides_are_counted_and_the_first_are_named() -> None:
    scored = part(*[(BROKEN, (0.3, 0.7, 0.1, 0.1))] * (MOST_SHOWN + 2), (GOOD, (0.6, 0.2, 0.9, 0.1)))

    def changed(thresholds: dict[str, float]) -> dict[str, int]:
        found = effect_of(RECIPE, scored, thresholds).changed
        assert found
        return {name: each.count for name, each in found if each.count}

    assert changed({}) == {}
    assert changed({"break": 0.8}) == {}, "the label good still finds them"
    assert changed({"break": 0.8, "good": 0.2}) == {"new_escapes": MOST_SHOWN + 2}
    assert changed({"good": 0.7}) == {"new_overkill": 1}
    missed = effect_of(RECIPE, scored, {"break": 0.8, "good": 0.2}).changed
    assert missed
    assert [(each.place, each.name) for each in missed.new_escapes.first] == [(n, str(n)) for n in range(MOST_SHOWN)]
    blind = RECIPE.with_thresholds({"break": 0.8, "good": 0.2})
    back = effect_of(blind, scored, {"good": 0.5}).changed
    assert back
    assert (back.found_escapes.count, back.avoided_overkill.count) == (MOST_SHOWN + 2, 0)
    strict = effect_of(RECIPE.with_thresholds({"good": 0.7}), scored, {"good": 0.5}).changed
    assert strict
    assert (strict.avoided_overkill.count, strict.new_escapes.count) == (1, 0)


def test_without_scores_the_effect_is_unknown() -> None:
    found = unknown_effect(RECIPE, {"break": 0.8})
    assert (found.known, found.escapes, found.overkill) == (False, None, None)
    assert "unknown until they are saved" in found.note
    assert {label.label: label.threshold for label in found.labels}["break"] == 0.8
