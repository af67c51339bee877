"""A new recipe does not silently replace another, and a folder of the trainer is no dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.dashboard.recipes.service import RecipesService
from services.dashboard.web.problems import Problem
from shared.recipe import parse_recipe
from shared.storage.filesystem import FilesystemStore
from tests.dashboards import put_model
from tests.verdicts import RECIPE


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path)


@pytest.mark.parametrize("reference", ["/data/seam", "Nähte 2026", "seam@Öse"])
def test_a_folder_of_the_trainer_is_no_dataset_to_draft_from(store: FilesystemStore, reference: str) -> None:
    with pytest.raises(Problem) as refused:
        RecipesService(store).draft_of_dataset(reference, "")
    assert refused.value.details.status == 404


def test_the_name_of_a_recipe_is_taken_if_it_is_saved_or_has_models(store: FilesystemStore) -> None:
    recipes = RecipesService(store)
    recipes.refuse_taken("seam")
    put_model(store)
    with pytest.raises(Problem, match="there is a recipe 'seam' already"):
        recipes.refuse_taken("seam")
    recipes.save(RECIPE.replace("seam", "hem"), 0, by="eva")
    with pytest.raises(Problem, match="there is a recipe 'hem' already"):
        recipes.refuse_taken("hem")


def test_the_changes_to_a_recipe_are_those_of_its_values(store: FilesystemStore) -> None:
    put_model(store)
    same = parse_recipe(RECIPE)
    assert RecipesService(store).changes("seam", same.to_yaml()) == []
    other = same.model_copy(update={"unsure_margin": 0.25})
    changed = RecipesService(store).changes("seam", other.to_yaml())
    assert "+unsure_margin: 0.25" in changed
