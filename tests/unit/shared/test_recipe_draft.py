"""A recipe is drafted from labels: roles, keys, colours and the size of images."""

import pytest

from shared.recipe import NAMED_COLOURS, LabelRole, Recipe, RecipeError, Task, parse_recipe
from shared.recipe_draft import draft_recipe, side_for


def drafted(names: tuple[str, ...], *rows: tuple[bool, ...], task: Task = Task.MULTI_LABEL) -> Recipe:
    return draft_recipe("a b/c", names, rows, task, side=64)


def colours_of(recipe: Recipe) -> list[str]:
    named = {colour: name for name, colour in NAMED_COLOURS.items()}
    return [named[label.colour] for label in recipe.labels]


def test_roles_follow_from_the_labels_of_good_images() -> None:
    recipe = drafted(
        ("good", "error", "break", "length"),
        (True, False, False, True),
        (True, False, False, False),
        (False, True, True, True),
    )
    roles = [LabelRole.QUALITY, LabelRole.DEFECT, LabelRole.DEFECT, LabelRole.ATTRIBUTE]
    assert [label.role for label in recipe.labels] == roles
    assert [label.key for label in recipe.labels] == ["g", "e", "b", "l"]
    assert (recipe.name, recipe.image.height, recipe.image.width) == ("a-b-c", 64, 64)


@pytest.mark.parametrize("good", ["good", "OK", "Gut"])
def test_names_alone_are_enough_for_a_product_without_images(good: str) -> None:
    recipe = drafted(("scratch", good))
    assert [label.role for label in recipe.labels] == [LabelRole.DEFECT, LabelRole.QUALITY]


def test_without_a_quality_label_defects_are_defects_and_classes_are_attributes() -> None:
    fruit, rows = ("apple", "orange"), ((True, False), (False, True))
    assert {label.role for label in drafted(fruit, *rows, task=Task.EXCLUSIVE).labels} == {LabelRole.ATTRIBUTE}
    assert {label.role for label in drafted(fruit, *rows).labels} == {LabelRole.DEFECT}


def test_keys_and_colours_never_repeat_and_the_recipe_can_be_read_again() -> None:
    names = ("spur", "short", "scratch", "sun", "n", "p", "s", *(f"label-{number}" for number in range(12)))
    recipe = drafted(names, tuple([True] * len(names)))
    assert parse_recipe(recipe.to_yaml()) == recipe


def test_good_is_white_and_defects_are_warm_and_no_attribute_looks_like_either() -> None:
    rows = (True, False, False, True), (True, False, False, False), (False, True, True, True)
    names = ("length", "good", "stain", "cut")
    recipe = drafted(names, *((row[3], *row[:3]) for row in rows))
    assert colours_of(recipe) == ["blue", "white", "red", "orange"]


def test_kinds_of_fruit_have_the_colours_of_the_sample_recipe() -> None:
    assert colours_of(drafted(("apple", "orange", "tomato"), task=Task.EXCLUSIVE)) == ["green", "blue", "red"]


@pytest.mark.parametrize(
    ("label", "flips"), [("upset", True), ("left_edge", False), ("upside-down", False), ("Kante links", False)]
)
def test_images_are_flipped_unless_a_label_is_about_a_direction(label: str, flips: bool) -> None:
    allowed = drafted(("good", label), (True, False)).augmentation
    assert (allowed.flip_horizontal, allowed.flip_vertical) == (flips, flips)


@pytest.mark.parametrize("names", [("good", "cut thread/tief"), tuple(f"label-{number}" for number in range(64))])
def test_labels_of_any_name_are_drafted_and_those_after_the_last_free_key_have_none(names: tuple[str, ...]) -> None:
    recipe = drafted(names, tuple([True] * len(names)))
    assert parse_recipe(recipe.to_yaml()) == recipe
    assert recipe.label_names == names
    keys = [label.key for label in recipe.labels if label.key]
    assert len(keys) == min(len(names), 31) == len(set(keys))


def test_one_label_is_no_exclusive_task_and_the_error_has_a_remedy() -> None:
    with pytest.raises(RecipeError, match=r"^no recipe can be drafted from these labels: .*exclusive"):
        drafted(("good",), (True,), task=Task.EXCLUSIVE)


@pytest.mark.parametrize(("own", "side"), [(40, 80), (150, 224), (224, 224), (300, 300), (900, 320), (3, 32)])
def test_small_images_are_enlarged_and_large_ones_reduced(own: int, side: int) -> None:
    assert side_for([own]) == side


def test_without_images_the_side_is_within_its_limits() -> None:
    assert 32 <= side_for([]) <= 320


@pytest.mark.parametrize("count", [65, 600])
def test_more_labels_than_a_recipe_may_have_are_refused(count: int) -> None:
    names = tuple(f"label-{number}" for number in range(count))
    with pytest.raises(RecipeError, match=rf"^no recipe can be drafted from {count} labels: a recipe has at most 64"):
        drafted(names)
