"""The recipe of the line at the camera: it changes where a part begins, survives a restart, refuses unknown ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.camera.frame_identity import Session
from services.camera.line_recipe import LineRecipe
from services.camera.triggers.trigger import Trigger
from shared.messages import RecipeAnnounced, RecipeChange
from tests.messages import MOMENT

CHANGE_ID = "01JF6Z6TX4W8E1V2M6C3N9Q7RB"


def announced(recipe: str | None, **fields: Any) -> RecipeAnnounced:
    change = recipe and RecipeChange(change_id=CHANGE_ID, recipe=recipe, by="eva", at=MOMENT)
    return RecipeAnnounced(
        **{"line": "line-1", "change": change or None, "recipes": ("bolt", "seam"), "at": MOMENT, **fields}
    )


@pytest.mark.parametrize(
    ("boundary", "parts", "recipes"),
    [
        ({}, [None] * 4, ["seam", "bolt", "bolt", "bolt"]),
        ({"every": 3}, [None] * 8, ["seam"] * 3 + ["bolt"] * 5),
        ({"at_part": True}, ["a", "a", "b", "b"], ["seam", "seam", "bolt", "bolt"]),
        ({"at_part": True}, [None] * 2, ["seam", "bolt"]),
    ],
)
def test_a_change_takes_effect_at_the_first_frame_of_a_part(
    boundary: dict[str, Any], parts: list[str | None], recipes: list[str]
) -> None:
    recipe = LineRecipe()
    recipe.announce(announced("seam", **boundary))
    named = [recipe.of_frame(0, parts[0])]
    recipe.announce(announced("bolt", **boundary))
    named += [recipe.of_frame(number, part) for number, part in enumerate(parts) if number]
    assert named == recipes


def test_a_camera_that_starts_names_the_recipe_that_was_announced_last(tmp_path: Path) -> None:
    file = tmp_path / "line-1.camera-1.recipe.json"
    recipe = LineRecipe(file)
    assert recipe.of_frame(0, None) is None
    recipe.announce(announced("seam", every=5))
    later = LineRecipe(file)
    assert (later.recipe, later.of_frame(1, None)) == ("seam", "seam")
    file.write_text("{")
    assert LineRecipe(file).recipe is None


def test_a_recipe_without_a_model_in_production_is_refused_once_the_others_are_known() -> None:
    recipe = LineRecipe()
    assert recipe.refusal("nut") == ""
    recipe.announce(announced(None))
    assert recipe.refusal("bolt") == ""
    assert recipe.refusal("nut") == (
        "no model of recipe nut is in production: promote one, or name another recipe (bolt, seam)"
    )


def test_the_recipe_of_a_trigger_is_that_of_its_frame_alone() -> None:
    recipe = LineRecipe()
    recipe.announce(announced("seam"))
    session = Session("line-1", "camera-1", recipe=recipe)
    frames = [session.next_identity(MOMENT, trigger) for trigger in (None, Trigger(recipe="bolt"), Trigger())]
    assert [frame.recipe for frame in frames] == ["seam", "bolt", "seam"]
