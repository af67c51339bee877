"""Which labels of a frame are explained, and in which direction."""

from __future__ import annotations

import pytest

from shared.explain.targets import fault_questions, questions_about
from shared.messages import Verdict
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
        question.label.name: question.for_label for question in questions_about(judge(recipe, scores).findings, recipe)
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
def test_the_questions_are_about_the_labels_that_flagged_a_frame_towards_the_fault(
    scores: list[float], asked: dict[str, bool]
) -> None:
    assert _asked(paint_recipe(), scores) == asked


@pytest.mark.parametrize(("expected", "score", "for_label"), [("true", 0.1, False), ("false", 0.9, True)])
def test_an_attribute_is_explained_towards_the_unexpected_value(expected: str, score: float, for_label: bool) -> None:
    recipe = parse_recipe(
        f"name: seam\ntask: multi-label\nlabels:\n"
        f"  length: {{key: l, colour: red, role: attribute, expected: {expected}}}\n"
    )
    assert _asked(recipe, [score]) == {"length": for_label}


def test_the_questions_about_a_frame_without_faults_are_about_its_present_labels() -> None:
    recipe = paint_recipe("explain: all")
    assert _asked(recipe, [0.99, 0.01, 0.01, 0.99]) == {"good": True, "length": True}
    assert _asked(parse_recipe(FRUIT), [0.1, 0.85, 0.05]) == {"orange": True}


def test_the_question_about_a_frame_without_labels_is_about_its_highest_score() -> None:
    recipe = parse_recipe(
        "name: seam\ntask: multi-label\nexplain: all\nlabels:\n"
        "  error: {key: e, colour: blue, role: defect}\n  break: {key: b, colour: green, role: defect}\n"
    )
    assert _asked(recipe, [0.01, 0.2]) == {"break": True}


def test_the_questions_about_unsure_exclusive_labels_are_about_both_rivals() -> None:
    assert _asked(parse_recipe(FRUIT), [0.48, 0.47, 0.05]) == {"apple": True, "orange": True}
    assert _asked(parse_recipe(FRUIT), [0.05, 0.05, 0.9]) == {"rotten": True}


def test_findings_of_labels_that_the_recipe_does_not_know_are_passed_over() -> None:
    findings = judge(paint_recipe(), [0.1, 0.1, 0.1, 0.1]).findings
    assert questions_about({"unheard-of": findings["good"]}, paint_recipe()) == []


def _wanted(recipe: Recipe, scores: list[float], *labels: str) -> dict[str, bool]:
    questions = questions_about(judge(recipe, scores).findings, recipe, labels)
    return {question.label.name: question.for_label for question in questions}


def test_a_requested_label_has_a_question() -> None:
    recipe = paint_recipe()
    assert _wanted(recipe, [0.1, 0.9, 0.1, 0.9], "good", "break", "length") == {
        "good": False,  # the fault is that it is missing
        "break": True,  # what comes nearest to one
        "length": True,
    }
    assert _wanted(recipe, [0.9, 0.1, 0.1, 0.1], "good", "length") == {"good": True, "length": False}
    assert _wanted(parse_recipe(FRUIT), [0.1, 0.85, 0.05], "apple") == {"apple": True}
    assert _wanted(recipe, [0.9, 0.1, 0.1, 0.1], "unheard-of") == {}


@pytest.mark.parametrize("expected", ["", ", expected: true", ", expected: false"])
def test_the_possible_faults_of_an_exclusive_recipe_are_the_labels_that_make_an_image_ng(expected: str) -> None:
    recipe = parse_recipe(FRUIT.replace("green, role: attribute", f"green, role: attribute{expected}"))
    one_hot = {label: [float(label == each) for each in recipe.label_names] for label in recipe.label_names}
    ng = [label for label, scores in one_hot.items() if judge(recipe, scores).verdict is Verdict.NG]
    assert [question.label.name for question in fault_questions(recipe)] == ng
