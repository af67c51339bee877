"""The form of a recipe holds the whole recipe, and each problem is beside its field."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.dashboard.recipes.form import form_of, read_form
from shared.language import speak
from shared.recipe import parse_recipe

WHOLE = """\
name: seam
task: multi-label
description: A seam
image: {height: 96, width: 128, colour: grey, fixed: true, reference: {images: [golden*.png, other.png], motion: shift}}
unsure_margin: 0.2
unlike_good: ng
explain: all
explanation: {method: layer-cam, layer: features}
stored_images: {every_nth_ok: 10}
augmentation: {brightness: false, flip_horizontal: true, shift: 0.03, rotation: 2.5}
costs: {escape: 20, overkill: 0.5}
defect_rate: 0.007
parts: {of: identity, cameras: [left, right], rule: count, at_least: 2, deadline_ms: 500, not_inspected: stop}
check: {required: shift, early_minutes: 15, valid_hours: 7.5, while_due: reject}
labels:
  good: {key: g, colour: white, role: quality, threshold: 0.4444}
  break: {key: b, colour: red, role: defect}
  label "Öse": {colour: blue, role: attribute, expected: false}
"""
GOOD_ONLY = """\
name: cap
task: multi-label
labels: {anomaly: {key: a, colour: red, role: defect}}
good_by: {task: multi-label, labels: {good: {key: g, colour: white, role: quality}}}
"""


def fields(**changes: str) -> dict[str, str]:
    """Return the fields of a valid recipe with two labels, with some changed; ``labels_0_key`` is ``labels.0.key``."""
    plain = "{name: x, task: multi-label, labels: {good: {key: g, colour: white, role: quality}, "
    sent = dict(form_of(parse_recipe(plain + "dent: {key: d, colour: red, role: defect}}}")).values)
    return sent | {name.replace("__", "."): value for name, value in changes.items()}


@pytest.mark.parametrize("text", [WHOLE, GOOD_ONLY])
def test_a_recipe_goes_through_the_form_unchanged(text: str) -> None:
    recipe = parse_recipe(text)
    assert read_form(form_of(recipe).values).recipe == recipe.annotated


def test_empty_fields_have_their_defaults_and_numbers_may_have_a_decimal_comma() -> None:
    form = read_form(fields(costs__escape="", unsure_margin="0,2", defect_rate="2,5", parts__frames="9"))
    assert form.recipe is not None
    assert (form.recipe.costs.escape, form.recipe.unsure_margin, form.recipe.defect_rate) == (10, 0.2, 0.025)
    assert form.recipe.parts is None


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"labels__1__key": "g"}, "labels.1.key", "the same key as label good: give each its own"),
        ({"labels__1__name": " good "}, "labels.1.name", "the same name as label good"),
        ({"labels__1__colour": "#ffffff"}, "labels.1.colour", "the same colour as label good"),
        ({"labels__1__colour": "#zzzzzz"}, "labels.1.colour", "write one of blue"),
        ({"labels__1__name": ""}, "labels.1.name", "missing"),
        ({"labels__0__key": "n"}, "labels.0.key", "the labelling tool's own key"),
        ({"labels__0__expected": "true"}, "labels.0.expected", "'expected' is for attributes"),
        ({"name": "a b"}, "name", "give letters, digits, _ and -"),
        ({"name": ""}, "name", "missing"),
        ({"image__height": "big"}, "image.height", "give a whole number"),
        ({"image__width": "9"}, "image.width", "give 16 or more"),
        ({"defect_rate": "120"}, "defect_rate", "give less than 100"),
        ({"augmentation__shift": "60"}, "augmentation.shift", "give 50 or less"),
        ({"costs__overkill": "inf"}, "costs.overkill", "give a finite number"),
        ({"parts__of": "frames"}, "parts.of", "add frames"),
        ({"parts__of": "identity", "parts__cameras": "left, a b"}, "parts.cameras", "give letters, digits"),
        ({"task": "exclusive", "labels__1__role": "worst"}, "labels.1.role", "give 'quality'"),
    ],
)
def test_each_problem_is_beside_its_field(changes: dict[str, str], field: str, says: str) -> None:
    form = read_form(fields(**changes))
    assert form.recipe is None
    assert list(form.problems) == [field]
    assert says in form.problems[field]


def test_labels_are_compared_also_while_another_field_is_wrong() -> None:
    form = read_form(fields(labels__1__key="g", image__width="9"))
    assert sorted(form.problems) == ["image.width", "labels.1.key"]


def test_rows_may_have_any_numbers_after_one_was_removed() -> None:
    sent = fields(labels__7__name="dent 2", labels__7__key="g", labels__7__colour="#0000ff", labels__7__role="defect")
    remaining = {name: value for name, value in sent.items() if not name.startswith("labels.1.")}
    assert list(read_form(remaining).problems) == ["labels.7.key"]
    none = {name: value for name, value in sent.items() if not name.startswith("labels.")}
    assert list(read_form(none).problems) == ["labels"]


def test_fields_that_no_recipe_has_are_left_out() -> None:
    assert read_form(fields(labels__0__price="1", opened="y", replaces="3")).recipe is not None


@pytest.fixture
def german() -> Iterator[None]:
    speak("de")
    yield
    speak("en")


@pytest.mark.usefixtures("german")
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels__1__key": "g"}, "dieselbe Taste wie Merkmal good"),
        ({"labels__0__key": "n"}, "Taste"),
        ({"labels__0__expected": "true"}, "Eigenschaft"),
        ({"parts__of": "frames"}, "frames"),
        ({"defect_rate": "120"}, "weniger als 100"),
    ],
)
def test_problems_are_said_in_german(changes: dict[str, str], says: str) -> None:
    english = read_form(fields(**changes)).problems
    assert [says in text for text in english.values()] == [True]


def test_line_breaks_of_the_description_and_commas_in_names_of_images_stay() -> None:
    sent = {"description": "A seam\r\n\r\nof two threads", "image__reference__images": "a, b.png\r\n\r\n golden*.png"}
    recipe = read_form(fields(**sent)).recipe
    assert recipe is not None
    assert recipe.image.reference is not None
    assert recipe.description == "A seam\n\nof two threads"
    assert recipe.image.reference.images == ("a, b.png", "golden*.png")
    assert read_form(form_of(recipe).values).recipe == recipe
