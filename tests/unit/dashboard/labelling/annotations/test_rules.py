"""Which labels go together."""

from __future__ import annotations

import pytest

from services.dashboard.labelling.annotations.rules import complaint
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
def test_a_part_is_good_or_has_a_fault(true: tuple[str, ...], says: str) -> None:
    assert complaint(SEAM, labels(*true)).startswith(says)
    assert bool(complaint(SEAM, labels(*true))) is bool(says)


def test_an_exclusive_recipe_takes_exactly_one_label() -> None:
    assert complaint(FRUIT, {"apple": True, "bad": False}) == ""
    assert "exactly one" in complaint(FRUIT, {"apple": True, "bad": True})
    assert complaint(FRUIT, {"apple": False, "bad": False}).startswith("no label")


def test_each_label_of_the_recipe_is_said_and_no_other() -> None:
    assert "good, error, break, length" in complaint(SEAM, {"good": True})
    assert "of no other" in complaint(SEAM, {**labels("good"), "scratch": False})
