"""Recipes: saved, listed, and used by the next training."""

from __future__ import annotations

import re

import httpx
import numpy as np
import pytest

from services.dashboard.recipes.form import form_of
from services.dashboard.recipes.repository import RecipeRepository
from services.dashboard.recipes.service import RecipesService
from services.dashboard.web.problems import Problem
from shared.contracts.dataset import LabelledImage, make_version, put_image, write_version
from shared.imaging.codec import encode
from shared.messages import TrainingRequested
from shared.messaging.port import Broker
from shared.recipe import LabelRole, Task, parse_recipe
from shared.storage.port import ObjectStore
from tests.dashboards import commands, problem, put_model
from tests.verdicts import RECIPE

CAP = "name: cap\ntask: multi-label\nlabels: {good: {key: g, colour: white, role: quality}}\n"
EDITED = CAP.replace("key: g", "key: o")


def test_a_recipe_is_saved_and_edited_and_a_stale_edit_is_refused(client: httpx.Client) -> None:
    first = client.put("/api/recipes/cap", json={"recipe_yaml": CAP, "replaces": 0})
    assert first.status_code == 200
    assert (first.json()["number"], first.json()["saved_by"]) == (1, "local")
    assert client.put("/api/recipes/cap", json={"recipe_yaml": EDITED, "replaces": 1}).json()["number"] == 2
    stale = client.put("/api/recipes/cap", json={"recipe_yaml": CAP, "replaces": 1})
    problem(stale, 409, "local saved recipe 'cap' meanwhile: nothing of yours is saved")
    assert client.get("/api/recipes/cap").json()["recipe_yaml"] == EDITED
    assert [each["name"] for each in client.get("/api/recipes").json()["recipes"]] == ["cap"]


@pytest.mark.parametrize(
    ("name", "recipe_yaml", "says"),
    [
        ("cap", CAP.replace("key: g", "key: n"), "recipe_yaml, line 3: label good, key: 'n' is the labelling tool's"),
        ("cap", "a: [", "not YAML"),
        ("hat", CAP, "give both one name"),
    ],
)
def test_a_recipe_with_a_mistake_is_not_saved(client: httpx.Client, name: str, recipe_yaml: str, says: str) -> None:
    problem(client.put(f"/api/recipes/{name}", json={"recipe_yaml": recipe_yaml, "replaces": 0}), 422, says)
    problem(client.get(f"/api/recipes/{name}"), 404, "GET /api/recipes lists them")


def test_a_training_uses_the_saved_recipe_and_else_that_of_the_models(
    client: httpx.Client, broker: Broker, store: ObjectStore
) -> None:
    put_model(store)
    assert client.get("/api/recipes/seam").json()["model_version"] == "model-1"
    edited = RECIPE.replace("key: g", "key: o")
    order = {"recipe": "seam", "dataset": "seam"}
    client.post("/api/trainings", json=order)
    client.put("/api/recipes/seam", json={"recipe_yaml": edited, "replaces": 0})
    client.post("/api/trainings", json=order)
    requested = [each.recipe_yaml for each in commands(broker, 2) if isinstance(each, TrainingRequested)]
    assert requested == [RECIPE, edited]


def test_a_recipe_is_drafted_from_a_dataset(store: ObjectStore) -> None:
    digest = put_image(store, encode(np.zeros((48, 64, 3), np.uint8), "png"))
    rows = ((True, False), (False, True), (True, False))
    images = [LabelledImage(name=f"{n}.png", digest=digest, labels=row, group=f"{n}") for n, row in enumerate(rows)]
    write_version(store, make_version("caps", 1, ("good", "dent"), images, by="eva", source="a test"))
    recipe = RecipesService(store).draft_of_dataset("caps", "")
    assert (recipe.name, recipe.task, recipe.image.height) == ("caps", Task.EXCLUSIVE, 96)
    assert [label.role for label in recipe.labels] == [LabelRole.QUALITY, LabelRole.DEFECT]
    with pytest.raises(Problem, match="there is no dataset 'caps@9'"):
        RecipesService(store).draft_of_dataset("caps@9", "")
    assert RecipeRepository(store).names() == []


def test_what_changed_since_a_number_is_shown(store: ObjectStore) -> None:
    recipes = RecipesService(store)
    for replaces, text in enumerate((CAP, EDITED)):
        recipes.save(text, replaces, by="eva")
    assert recipes.save(EDITED, 2, by="ben").saved_by == "eva", "nothing changed: it is not saved again"
    assert parse_recipe(recipes.get("cap").recipe_yaml).labels[0].key == "o"
    assert [line[0] for line in recipes.difference("cap", 1) if line[0] in "+-"] == ["-", "+"]


def field_of(page: httpx.Response, name: str) -> str:
    """Return the value of a hidden field of the form."""
    found = re.search(f'<input type="hidden" name="{name}" value="([^"]*)">', page.text)
    assert found
    return found[1]


def test_a_new_recipe_replaces_that_of_models_only_knowingly(client: httpx.Client, store: ObjectStore) -> None:
    put_model(store)
    draft = dict(form_of(parse_recipe(CAP.replace("cap", "seam"))).values)
    refused = client.post("/recipes", data={**draft, "opened": "", "replaces": "0"})
    assert refused.status_code == 409
    assert "there is a recipe &#39;seam&#39; already" in refused.text
    assert "saved recipe" not in refused.text
    assert "-  break:" in refused.text, "a label that would be lost"
    assert RecipeRepository(store).names() == []
    again = {name: field_of(refused, name) for name in ("opened", "replaces")}
    assert client.post("/recipes", data={**draft, **again}).status_code == 303
    assert RecipeRepository(store).names() == ["seam"]


def test_a_copy_by_the_name_of_a_saved_recipe_is_refused(client: httpx.Client, store: ObjectStore) -> None:
    for text in (CAP, EDITED.replace("cap", "hat")):
        RecipesService(store).save(text, 0, by="eva")
    copy = dict(form_of(parse_recipe(CAP.replace("cap", "hat"))).values)
    refused = client.post("/recipes", data={**copy, "opened": "cap", "replaces": "1"})
    assert refused.status_code == 409
    assert "there is a recipe &#39;hat&#39; already" in refused.text
    assert "+    key: g" in refused.text


def test_a_recipe_that_is_too_long_is_refused_and_is_no_stale_edit(client: httpx.Client, store: ObjectStore) -> None:
    RecipesService(store).save(CAP, 0, by="eva")
    fields = {**form_of(parse_recipe(CAP)).values, "description": "a seam " * 10_000}
    refused = client.post("/recipes", data={**fields, "opened": "cap", "replaces": "1"})
    assert refused.status_code == 422
    assert "65,536 characters at most" in refused.text
    assert [field_of(refused, name) for name in ("opened", "replaces")] == ["cap", "1"]


def test_a_draft_that_can_not_be_made_is_refused(client: httpx.Client) -> None:
    for given, status in ({"labels": "a," * 600}, 422), ({"dataset": "/data/Nähte 2026"}, 422):
        page = client.get("/drafts", params=given, headers={"accept": "text/html"})
        assert page.status_code == status
    assert "there is no dataset" in page.text
