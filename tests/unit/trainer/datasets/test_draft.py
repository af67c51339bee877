from pathlib import Path

import numpy as np
import pytest

from services.trainer.datasets.draft import draft_recipe, side_of
from shared.datasets.labelled_images import Dataset, Example
from shared.datasets.tables import Place
from shared.imaging.codec import encode
from shared.recipe import NAMED_COLOURS, LabelRole, RecipeError, Task, parse_recipe


def dataset_of(names: tuple[str, ...], *rows: tuple[bool, ...]) -> Dataset:
    examples = tuple(Example(f"{n}", Path(), row, f"{n}", Place("labels.csv", n)) for n, row in enumerate(rows))
    return Dataset(names, examples)


def test_roles_follow_from_the_labels_of_good_images() -> None:
    seams = dataset_of(
        ("good", "error", "break", "length"),
        (True, False, False, True),
        (True, False, False, False),
        (False, True, True, True),
    )
    recipe = draft_recipe("seam", seams, Task.MULTI_LABEL, 96)
    assert [label.role for label in recipe.labels] == [
        LabelRole.QUALITY,
        LabelRole.DEFECT,
        LabelRole.DEFECT,
        LabelRole.ATTRIBUTE,
    ]
    assert [label.key for label in recipe.labels] == ["g", "e", "b", "l"]
    assert (recipe.image.height, recipe.image.width) == (96, 96)


def test_without_a_quality_label_defects_are_defects_and_classes_are_attributes() -> None:
    fruit = dataset_of(("apple", "orange"), (True, False), (False, True))
    assert {label.role for label in draft_recipe("x", fruit, Task.EXCLUSIVE, 64).labels} == {LabelRole.ATTRIBUTE}
    assert {label.role for label in draft_recipe("x", fruit, Task.MULTI_LABEL, 64).labels} == {LabelRole.DEFECT}


def test_keys_and_colours_never_repeat_and_the_recipe_can_be_read_again() -> None:
    names = ("spur", "short", "scratch", "sun", "n", "p", "s", *(f"label-{number}" for number in range(12)))
    recipe = draft_recipe("a b/c", dataset_of(names, tuple([True] * len(names))), Task.MULTI_LABEL, 64)
    assert parse_recipe(recipe.to_yaml()) == recipe
    assert recipe.name == "a-b-c"


def test_good_is_green_and_defects_are_warm_and_no_attribute_looks_like_either() -> None:
    rows = (True, False, False, True), (True, False, False, False), (False, True, True, True)
    names = ("length", "good", "stain", "cut")
    recipe = draft_recipe("seam", dataset_of(names, *((row[3], *row[:3]) for row in rows)), Task.MULTI_LABEL, 64)
    named = {colour: name for name, colour in NAMED_COLOURS.items()}
    assert [named[label.colour] for label in recipe.labels] == ["blue", "green", "red", "orange"]


@pytest.mark.parametrize(("label", "flips"), [("upset", True), ("left_edge", False), ("upside-down", False)])
def test_images_are_flipped_unless_a_label_is_about_a_direction(label: str, flips: bool) -> None:
    allowed = draft_recipe("x", dataset_of(("good", label), (True, False)), Task.MULTI_LABEL, 64).augmentation
    assert (allowed.flip_horizontal, allowed.flip_vertical) == (flips, flips)


@pytest.mark.parametrize("names", [("good", "cut thread/tief"), tuple(f"label-{number}" for number in range(64))])
def test_labels_of_any_name_are_drafted_and_those_after_the_last_free_key_have_none(names: tuple[str, ...]) -> None:
    recipe = draft_recipe("x", dataset_of(names, tuple([True] * len(names))), Task.MULTI_LABEL, 64)
    assert parse_recipe(recipe.to_yaml()) == recipe
    assert recipe.label_names == names
    keys = [label.key for label in recipe.labels if label.key]
    assert len(keys) == min(len(names), 31) == len(set(keys))


def test_a_table_of_one_label_is_no_exclusive_task_and_the_error_has_a_remedy() -> None:
    with pytest.raises(RecipeError, match=r"^no recipe can be drafted from the table: .*exclusive"):
        draft_recipe("x", dataset_of(("good",), (True,)), Task.EXCLUSIVE, 64)


def test_images_that_cant_be_read_have_no_say_in_the_side(tmp_path: Path) -> None:
    contents = [b"no image", encode(np.zeros((64, 99, 3), np.uint8), "png"), b""]
    examples = []
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.png").write_bytes(content)
        examples.append(Example(f"{number}.png", tmp_path / f"{number}.png", (True,), "a", Place("labels.csv", number)))
    assert side_of(Dataset(("good",), tuple(examples))) == 128
    assert 32 <= side_of(Dataset(("good",), tuple(examples[:1]))) <= 320


@pytest.mark.parametrize(("own", "side"), [(40, 80), (150, 224), (224, 224), (300, 300), (900, 320)])
def test_small_images_are_enlarged_and_large_ones_reduced(tmp_path: Path, own: int, side: int) -> None:
    (tmp_path / "0.png").write_bytes(encode(np.zeros((own, own + 9, 3), np.uint8), "png"))
    example = Example("0.png", tmp_path / "0.png", (True,), "a", Place("labels.csv", 2))
    assert side_of(Dataset(("good",), (example,))) == side
