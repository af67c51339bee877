"""Which labels a recipe allows together."""

from __future__ import annotations

import pytest

from services.dashboard.labelling.annotations.rules import label_error
from shared.recipe import parse_recipe
from tests.labelling import labels
from tests.verdicts import RECIPE

SEAM = parse_recipe(RECIPE)
FRUIT = parse_recipe(
    "{name: fruit, task: exclusive, labels: {apple: {key: a, colour: red, role: attribute}, "
    "bad: {key: b, colour: blue, role: defect}}}"
)


@pytest.mark.parametrize(
    ("true", "says"),
    [
        (("good",), ""),
        (("good", "length"), ""),
        (("error", "break"), ""),
        ((), ""),
        (("good", "break"), "good together with break"),
    ],
)
def test_a_part_is_good_or_has_a_defect(true: tuple[str, ...], says: str) -> None:
    assert label_error(SEAM, labels(*true)).startswith(says)
    assert bool(label_error(SEAM, labels(*true))) is bool(says)


def test_an_exclusive_recipe_requires_exactly_one_label() -> None:
    assert label_error(FRUIT, {"apple": True, "bad": False}) == ""
    assert "exactly one" in label_error(FRUIT, {"apple": True, "bad": True})
    assert label_error(FRUIT, {"apple": False, "bad": False}).startswith("no label")


def test_every_label_of_the_recipe_is_given_and_no_other() -> None:
    assert "good, error, break, length" in label_error(SEAM, {"good": True})
    assert "for no other label" in label_error(SEAM, {**labels("good"), "scratch": False})
