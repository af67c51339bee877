"""Labelled images of any recipe say which of them show a good part, and that is all that good-only needs."""

from pathlib import Path

import pytest

from shared.datasets.good_only import good_only, good_only_recipe, good_values, not_good, recipe_with_anomaly
from shared.datasets.reading import read_dataset, read_for_recipe
from shared.datasets.tables import DatasetError
from shared.recipe import Recipe, RecipeError, Task, parse_recipe
from tests.strokes import draw_strokes, strokes_recipe, write_table

TILE = parse_recipe("""
name: tile
task: exclusive
labels:
  good: {colour: green, role: quality}
  crack: {colour: red, role: defect}
  hole: {colour: orange, role: defect}
""")
SEAM = parse_recipe("""
name: seam
task: multi-label
labels:
  good: {colour: green, role: quality}
  break: {colour: red, role: defect}
  length: {colour: blue, role: attribute, expected: true}
  camera: {colour: grey, role: attribute}
""")


def test_the_value_of_a_good_part_follows_from_the_roles() -> None:
    assert good_values(good_only_recipe(SEAM)) == {"good": True, "break": False, "length": True}
    assert good_values(good_only_recipe(TILE)) == {"crack": False, "hole": False}
    assert good_only_recipe(TILE).task is Task.MULTI_LABEL
    assert good_only_recipe(SEAM).label_names == ("anomaly",)


def test_the_recipe_is_the_same_after_it_was_written_and_read() -> None:
    recipe = good_only_recipe(SEAM)
    assert parse_recipe(recipe.to_yaml()) == recipe


@pytest.mark.parametrize("recipe", [SEAM, TILE])
def test_the_recipe_of_the_labels_is_not_lost(recipe: Recipe) -> None:
    assert good_only_recipe(recipe).annotated == recipe
    assert recipe.annotated is recipe


def test_a_label_that_the_recipe_does_not_know_is_not_taken_for_good(tmp_path: Path) -> None:
    folder, recipe = tmp_path / "strokes", good_only_recipe(SEAM)
    images = draw_strokes(folder, 4) / "images"
    names = sorted(image.name for image in images.iterdir())
    rows = [(names[0], True, False, True, False, False), (names[1], True, False, True, True, False)]
    rows += [(names[2], True, False, True, False, True), (names[3], False, True, True, False, True)]
    write_table(folder / "labels.csv", ("name", "good", "break", "length", "camera", "stain"), rows)
    with pytest.raises(DatasetError, match=f"{names[2]} has the label stain"):
        read_for_recipe(folder, recipe)
    found = read_for_recipe(folder, recipe, "skip")
    assert [(each.name, each.labels) for each in found.examples] == [
        (names[0], (False,)),
        (names[1], (False,)),  # a camera is an attribute that a good part may have
        (names[3], (True,)),
    ]
    assert [problem.cause for problem in found.problems] == ["unknown label"]
    by_labels = read_for_recipe(folder, SEAM, "skip")
    assert good_only(by_labels, recipe, "skip").examples[-1].name == names[3]
    with pytest.raises(DatasetError, match="stain"):
        good_only(by_labels, recipe)


def test_an_error_among_the_labels_of_good_by_names_line_and_label() -> None:
    lines = good_only_recipe(SEAM).to_yaml().splitlines()
    wrong = next(number for number, line in enumerate(lines) if line.strip() == "role: attribute")
    lines[wrong] = lines[wrong].replace("attribute", "blemish")
    with pytest.raises(RecipeError, match=f"line {wrong + 1}: label length, role"):
        parse_recipe("\n".join(lines))
    twice = good_only_recipe(SEAM).to_yaml().replace("#00aa3c", "#e61e28")
    with pytest.raises(RecipeError, match="label break, colour: the same colour as label good"):
        parse_recipe(twice)


def test_an_anomaly_is_beside_the_labels_that_people_give() -> None:
    recipe = recipe_with_anomaly(SEAM)
    assert recipe.label_names == ("good", "break", "length", "camera", "anomaly")
    assert len({label.colour for label in recipe.labels}) == 5
    assert recipe.annotated == recipe.without_anomaly == SEAM
    named = SEAM.model_copy(
        update={"labels": (*SEAM.labels[:3], SEAM.labels[3].model_copy(update={"name": "Anomaly"}))}
    )
    assert recipe_with_anomaly(named).label_names[-1] == "anomaly beside the labels"
    moved = SEAM.model_copy(update={"labels": (recipe.labels[-1], *SEAM.labels)})
    with pytest.raises(RecipeError, match="comes last"):
        parse_recipe(moved.to_yaml())


def test_any_difference_from_a_good_part_counts() -> None:
    rows = [(True, False, True), (True, False, False), (False, False, True), (True, True, True)]
    assert not_good(("good", "break", "length"), rows, good_only_recipe(SEAM)) == [False, True, True, True]
    assert not_good(("Good",), [(True,), (False,)], good_only_recipe(SEAM)) == [False, True]
    assert not_good(("good", "anomaly"), [(True, True)], good_only_recipe(SEAM)) == [True]


def test_images_without_any_of_the_labels_are_refused() -> None:
    with pytest.raises(DatasetError, match="none of the labels good, break, length, anomaly"):
        not_good(("apple",), [(True,)], good_only_recipe(SEAM))


def test_a_recipe_of_good_images_alone_has_one_defect() -> None:
    with pytest.raises(RecipeError, match="one label, a defect"):
        parse_recipe(
            strokes_recipe().to_yaml() + "good_by: {task: multi-label, labels: {fine: {colour: cyan, role: quality}}}\n"
        )


def test_a_folder_is_read_with_the_one_label(tmp_path: Path) -> None:
    folder = draw_strokes(tmp_path / "strokes", 20)
    plain = read_dataset(folder)
    found = read_for_recipe(folder, good_only_recipe(strokes_recipe()))
    assert found.label_names == ("anomaly",)
    assert [example.labels[0] for example in found.examples] == [not example.labels[0] for example in plain.examples]


def test_the_mask_of_the_only_label_is_that_of_the_anomaly(tmp_path: Path) -> None:
    folder = draw_strokes(tmp_path / "strokes", 2)
    names = ("stroke_0000", "stroke_0001")
    write_table(folder / "labels.csv", ("name", "dark", "bright"), [(f"{name}.png", True, True) for name in names])
    masks = folder / "masks_by_label"
    masks.mkdir()
    for mask in ("stroke_0000_dark", "stroke_0001_dark", "stroke_0001_bright"):
        (masks / f"{mask}.png").write_bytes((folder / "images" / "stroke_0000.png").read_bytes())
    one, two = good_only(read_dataset(folder), good_only_recipe(strokes_recipe())).examples
    assert [name for name, _ in one.masks] == ["masks/stroke_0000.png"]
    assert two.masks == ()


@pytest.mark.parametrize("below", ["", "images", "good"])
def test_images_without_labels_are_those_of_good_parts_if_that_is_said(tmp_path: Path, below: str) -> None:
    images = draw_strokes(tmp_path / "strokes", 3) / "images"
    folder = tmp_path / "photos" / below
    folder.mkdir(parents=True)
    for image in images.iterdir():
        image.rename(folder / image.name)
    found = read_dataset(tmp_path / "photos", all_good=True)
    assert found.label_names == ("good",)
    assert [example.labels for example in found.examples] == [(True,)] * 3
    with pytest.raises(DatasetError):
        read_dataset(tmp_path / "photos")
