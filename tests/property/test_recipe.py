"""Any recipe is read as it was written, and any text is a recipe or refused with a line."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.datasets.good_only import recipe_with_anomaly
from shared.messages import Name
from shared.recipe import RESERVED_KEYS, GoodBy, Label, LabelRole, Parts, Recipe, RecipeError, Task, parse_recipe
from tests.property.mutation import mutations
from tests.property.strategies import values_of
from tests.unit.shared.test_recipe import SEAM

REPOSITORY = Path(__file__).parents[2]
KEYS = sorted(set("abcdefghijklmnopqrstuvwxyz0123456789") - set(RESERVED_KEYS))
COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: tuple(number.to_bytes(3, "big")))
APART = ("labels", "task", "parts", "good_by")
FIELDS = {name: field for name, field in Recipe.model_fields.items() if name not in APART}
PARTS = st.sampled_from(
    [
        None,
        Parts(),
        Parts(of="frames", frames=5, rule="row", at_least=2, not_inspected="stop"),
        Parts(of="identity", cameras=("front", "back"), rule="worst", deadline_ms=500),
    ]
)


@st.composite
def labels(draw: st.DrawFn) -> list[Label]:
    names = draw(st.lists(values_of(Name), min_size=2, max_size=4, unique=True))
    keys = KEYS[draw(st.integers(0, len(KEYS) - 4)) :]
    colours = draw(st.lists(COLOURS, min_size=4, max_size=4, unique=True))
    made = []
    for name, key, colour in zip(names, keys, colours, strict=False):
        role = draw(st.sampled_from([LabelRole.QUALITY, LabelRole.DEFECT, LabelRole.ATTRIBUTE]))
        expected = draw(st.none() | st.booleans()) if role is LabelRole.ATTRIBUTE else None
        threshold = draw(st.floats(0, 1, exclude_min=True, exclude_max=True))
        made.append(Label(name=name, key=key, colour=colour, role=role, threshold=threshold, expected=expected))
    return made


RECIPES = st.builds(
    lambda task, labels, fields: Recipe.model_validate({"task": task, "labels": labels, **fields}),
    st.sampled_from(Task),
    labels(),
    st.fixed_dictionaries(
        {"name": values_of(Name)},
        optional={
            name: values_of(field.annotation, tuple(field.metadata)) for name, field in FIELDS.items() if name != "name"
        }
        | {"parts": PARTS},
    ),
)


GOOD_ONLY = st.builds(
    lambda good_by: Recipe(
        name="seam",
        task=Task.MULTI_LABEL,
        labels=(Label(name="anomaly", key="a", colour=(255, 0, 0), role=LabelRole.DEFECT),),
        good_by=good_by,
    ),
    st.builds(lambda task, labels: GoodBy(task=task, labels=tuple(labels)), st.sampled_from(Task), labels()),
)


@settings(max_examples=25)
@given(recipe=RECIPES | GOOD_ONLY | RECIPES.map(recipe_with_anomaly))
def test_any_recipe_is_read_as_it_was_written(recipe: Recipe) -> None:
    assert parse_recipe(recipe.to_yaml()) == recipe


def read_or_refuse(text: str) -> bool:
    try:
        recipe = parse_recipe(text)
    except RecipeError as error:
        reason = str(error)
        assert ", line " in reason
        assert len(reason) < 1_000
        return False
    assert parse_recipe(recipe.to_yaml()) == recipe
    return True


def test_mutated_recipes_are_read_or_refused_with_a_line() -> None:
    files = [*REPOSITORY.glob("samples/recipes/*.yaml"), *REPOSITORY.glob("benchmarks/recipes/*.yaml")]
    samples = [SEAM.encode(), *(path.read_bytes()[:1_500] for path in files)]
    read = sum(read_or_refuse(content.decode(errors="surrogateescape")) for content in mutations(samples, 400))
    assert 10 < read < 390, "some of both"
