"""Which labels of a frame are explained, and in which direction."""

from __future__ import annotations

import pytest

from shared.explain.targets import questions_about
from shared.recipe import Recipe, parse_recipe
from shared.verdict import judge
from tests.models import paint_recipe

FRUIT = """
name: fruit
task: exclusive
explain: all
labels:
  apple: {key: a, colour: green, role: attribute}
  orange: {key: o, colour: blue, role: attribute}
  rotten: {key: r, colour: red, role: defect}
"""


def _asked(recipe: Recipe, scores: list[float]) -> dict[str, bool]:
    return {
        question.label.name: question.towards for question in questions_about(judge(recipe, scores).findings, recipe)
    }


@pytest.mark.parametrize(
    ("scores", "asked"),
    [
        ([0.1, 0.9, 0.1, 0.1], {"good": False, "error": True}),
        ([0.1, 0.9, 0.9, 0.1], {"good": False, "error": True, "break": True}),
        ([0.9, 0.45, 0.1, 0.1], {"error": True}),
        ([0.55, 0.1, 0.1, 0.1], {"good": False}),
        ([0.9, 0.1, 0.1, 0.52], {"length": True}),
    ],
)
def test_the_labels_that_flagged_a_frame_are_asked_about_towards_the_fault(
    scores: list[float], asked: dict[str, bool]
) -> None:
    assert _asked(paint_recipe(), scores) == asked


@pytest.mark.parametrize(("expected", "score", "towards"), [("true", 0.1, False), ("false", 0.9, True)])
def test_an_attribute_is_asked_about_towards_what_is_not_expected(expected: str, score: float, towards: bool) -> None:
    recipe = parse_recipe(
        f"name: seam\ntask: multi-label\nlabels:\n"
        f"  length: {{key: l, colour: red, role: attribute, expected: {expected}}}\n"
    )
    assert _asked(recipe, [score]) == {"length": towards}


def test_where_all_frames_are_explained_a_good_one_is_asked_about_what_it_shows() -> None:
    recipe = paint_recipe("explain: all")
    assert _asked(recipe, [0.99, 0.01, 0.01, 0.99]) == {"good": True, "length": True}
    assert _asked(parse_recipe(FRUIT), [0.1, 0.85, 0.05]) == {"orange": True}


def test_a_frame_that_shows_nothing_is_asked_about_its_nearest_label() -> None:
    recipe = parse_recipe(
        "name: seam\ntask: multi-label\nexplain: all\nlabels:\n"
        "  error: {key: e, colour: blue, role: defect}\n  break: {key: b, colour: green, role: defect}\n"
    )
    assert _asked(recipe, [0.01, 0.2]) == {"break": True}


def test_of_labels_that_exclude_each_other_the_rivals_are_asked_about_when_unsure() -> None:
    assert _asked(parse_recipe(FRUIT), [0.48, 0.47, 0.05]) == {"apple": True, "orange": True}
    assert _asked(parse_recipe(FRUIT), [0.05, 0.05, 0.9]) == {"rotten": True}


def test_findings_of_labels_that_the_recipe_does_not_know_are_passed_over() -> None:
    findings = judge(paint_recipe(), [0.1, 0.1, 0.1, 0.1]).findings
    assert questions_about({"unheard-of": findings["good"]}, paint_recipe()) == []


def _wanted(recipe: Recipe, scores: list[float], *labels: str) -> dict[str, bool]:
    questions = questions_about(judge(recipe, scores).findings, recipe, labels)
    return {question.label.name: question.towards for question in questions}


def test_any_label_is_asked_about_when_someone_wants_to_know() -> None:
    recipe = paint_recipe()
    assert _wanted(recipe, [0.1, 0.9, 0.1, 0.9], "good", "break", "length") == {
        "good": False,  # the fault is that it is missing
        "break": True,  # what comes nearest to one
        "length": True,
    }
    assert _wanted(recipe, [0.9, 0.1, 0.1, 0.1], "good", "length") == {"good": True, "length": False}
    assert _wanted(parse_recipe(FRUIT), [0.1, 0.85, 0.05], "apple") == {"apple": True}
    assert _wanted(recipe, [0.9, 0.1, 0.1, 0.1], "unheard-of") == {}
