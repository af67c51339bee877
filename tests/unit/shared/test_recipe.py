"""A recipe is read completely, or refused with the file, the line and the label."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.recipe import RESERVED_KEYS, LabelRole, Recipe, RecipeError, Task, parse_recipe, read_recipe

SEAM = """\
name: seam
task: multi-label
labels:
  good: {key: g, colour: white, role: quality}
  error: {key: e, colour: blue, role: defect}
  break: {key: b, colour: green, role: defect, threshold: 0.4}
  length: {key: l, colour: "#e61e28", role: attribute, expected: true}
"""


def test_a_recipe_is_read_from_yaml() -> None:
    recipe = parse_recipe(SEAM)
    assert recipe.task is Task.MULTI_LABEL
    assert recipe.label_names == ("good", "error", "break", "length")
    assert recipe.label("break").threshold == 0.4
    assert recipe.label("length").role is LabelRole.ATTRIBUTE
    assert recipe.label("length").colour == (0xE6, 0x1E, 0x28)


def test_a_recipe_with_a_reference_image_is_written_as_it_was_read() -> None:
    recipe = parse_recipe(SEAM.replace("labels:", "image: {reference: {images: golden.png}}\nlabels:"))
    assert recipe.image.shape == (128, 128, 6)
    assert recipe.image.alone.shape == (128, 128, 3)
    assert parse_recipe(recipe.to_yaml()) == recipe


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("key: b", "key: e", "seam.yaml, line 6: label break, key: the same key as label error"),
        ("colour: green", "colour: blue", "line 6: label break, colour: the same colour as label error"),
        ("  error:", "  good:", "line 5: 'good' is already on line 4"),
        (
            "role: defect}",
            "role: defekt}",
            "line 5: label error, role: give 'quality', 'defect', 'attribute' or 'anomaly'",
        ),
        ("key: g", "key: n", "line 4: label good, key: 'n' is the labelling tool's own key for 'next'"),
        ("colour: green", "colour: gren", "line 6: label break, colour: write one of blue, green"),
        ("threshold: 0.4", "threshold: 1.4", "line 6: label break, threshold: give less than 1"),
        ("role: quality", "role: quality, expected: true", "line 4: label good, 'expected' is for attributes"),
        ("task: multi-label", "task: multilabel", "line 2: task: give 'multi-label' or 'exclusive'"),
        ("name: seam", "name: ../seam", "line 1: name: give letters, digits, _ and -"),
        ("labels:", "lables:", "line 1: a recipe has a name, a task and labels"),
        ("{key: g", "{key: g}}", "line 4: not YAML"),
        ("name: seam", "nmae: seam", "line 1: name: missing: give a value"),
        (
            "task:",
            "image: &p {}\naugmentation: *p\ntask:",
            "line 3: *p is an alias, which a recipe may not use",
        ),
        ("task:", "image: &p {of: *p}\ntask:", "line 2: *p is an alias, which a recipe may not use"),
        ("task:", "defect_rate: 2026-99-99\ntask:", "not YAML: month must be in 1..12"),
        ("task:", "image: {reference: {}}\ntask:", "line 2: images: missing: give a value"),
        ("task:", "image: {reference: {images: []}}\ntask:", "line 2: images: give 1 or more"),
        (
            "task:",
            "image: {reference: {images: a.png, motion: turn}}\ntask:",
            "motion: give 'none', 'shift', 'rotation'",
        ),
        ("task:", "parts: {of: frames}\ntask:", "needs the number of frames of a part"),
        ("task:", "parts: {frames: 3}\ntask:", "remove frames, or write 'of: frames'"),
        ("task:", "parts: {cameras: [front]}\ntask:", "cameras belong to 'of: identity'"),
        ("task:", "parts: {rule: row}\ntask:", "at_least belongs to the rules count and row"),
        ("task:", "parts: {of: frames, frames: 2, rule: row, at_least: 3}\ntask:", "it would never be NG"),
        ("role: quality", "role: [" + "[" * 3000 + "]" * 3001, "nested too deeply"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_line_and_the_label(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    file = tmp_path / "seam.yaml"
    file.write_text(SEAM.replace(old, new, 1))
    with pytest.raises(RecipeError) as refused:
        read_recipe(file)
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_recipe_with_a_control_character_is_refused_with_its_line() -> None:
    with pytest.raises(RecipeError, match=r"seam\.yaml, line 3: not YAML: special characters are not allowed"):
        parse_recipe(SEAM.replace("labels:", "description: \x00\nlabels:"), source="seam.yaml")


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.yaml: can't be read"):
        read_recipe(tmp_path / "nowhere.yaml")


def test_an_exclusive_recipe_chooses_between_at_least_two() -> None:
    with pytest.raises(RecipeError, match="name at least two"):
        parse_recipe("name: x\ntask: exclusive\nlabels:\n  one: {key: a, colour: red, role: attribute}\n")


KEYS = [key for key in "abcdefghijklmnopqrstuvwxyz0123456789" if key not in RESERVED_KEYS]


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    count = draw(st.integers(2, 6))
    keys = draw(st.permutations(KEYS))
    labels = []
    for index in range(count):
        role = draw(st.sampled_from([LabelRole.QUALITY, LabelRole.DEFECT, LabelRole.ATTRIBUTE]))
        labels.append(
            {
                "name": f"label-{index}",
                "key": keys[index],
                "colour": (index, draw(st.integers(0, 255)), draw(st.integers(0, 255))),
                "role": role,
                "threshold": draw(st.floats(0.01, 0.99)),
                "expected": draw(st.none() | st.booleans()) if role is LabelRole.ATTRIBUTE else None,
            }
        )
    return Recipe.model_validate({"name": "drawn", "task": draw(st.sampled_from(Task)), "labels": labels})


@given(recipes())
def test_a_written_recipe_reads_as_it_was(recipe: Recipe) -> None:
    assert parse_recipe(recipe.to_yaml()) == recipe
