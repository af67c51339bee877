"""The pages of recipes in a real browser: a first product needs neither YAML nor a command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from services.dashboard.recipes.service import RecipesService
from services.dashboard.settings import DashboardSettings
from shared.datasets.importing import import_dataset
from shared.datasets.reading import read_dataset
from shared.messages import TrainingRequested
from shared.messaging.port import Broker
from shared.recipe import LabelRole, parse_recipe
from shared.storage.port import ObjectStore
from tests.browsers import SOON
from tests.dashboards import commands
from tests.strokes import LABELS, draw_strokes

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_a_recipe_is_drafted_corrected_while_typing_saved_and_trained(
    page: Page, broker: Broker, store: ObjectStore, tmp_path: Path
) -> None:
    page.goto("/labelling")
    page.get_by_role("link", name="Draft the recipe of a new product").first.click()
    page.get_by_label("Name of the product").fill("my strokes")
    page.get_by_label("Labels, with commas").fill("good, dark")
    page.get_by_role("button", name="Draft the recipe", exact=True).click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("my-strokes")

    page.get_by_role("button", name="Add a label").click()
    row = page.locator("#labels li").nth(2)
    row.get_by_label("Label", exact=True).fill("bright")
    row.get_by_label("Key").fill("d")
    problem = row.locator("[data-problem$='.key']")
    expect(problem).to_contain_text("the same key as label dark: give each its own")
    expect(page.locator("#summary")).to_contain_text("Correct 1 field")
    page.get_by_role("button", name="Save the recipe").click()
    expect(page.get_by_role("alert")).to_contain_text("Not saved: correct 1 field")
    assert RecipesService(store).names() == []

    row.get_by_label("Key").fill("b")
    expect(problem).to_be_hidden()
    page.get_by_label("Defect rate on the line").fill("2,5")
    expect(page.locator("#yaml")).to_have_value(re.compile("defect_rate: 0.025"))
    page.get_by_role("button", name="Save the recipe").click()
    expect(page.locator(".made")).to_contain_text("Saved")
    saved = parse_recipe(RecipesService(store).get("my-strokes").recipe_yaml)
    assert [label.role for label in saved.labels] == [LabelRole.QUALITY, LabelRole.DEFECT, LabelRole.DEFECT]
    assert saved.label_names == LABELS

    import_dataset(
        read_dataset(draw_strokes(tmp_path / "strokes", 30), LABELS), store, "strokes", by="ada", source="a test"
    )
    page.locator(".made").get_by_role("link", name="Train a model").click()
    expect(page.locator("select[name=recipe]")).to_have_value("my-strokes")
    expect(page.locator(".counts")).to_contain_text("30 images")
    expect(page.locator("#estimate")).to_contain_text("about 2 min")
    page.get_by_role("button", name="Start the training").click()
    expect(page.locator("#state")).to_contain_text("waiting")
    (requested,) = commands(broker)
    assert isinstance(requested, TrainingRequested)
    assert parse_recipe(requested.recipe_yaml or "") == saved


def test_a_stale_edit_is_refused_with_what_the_other_person_changed(
    browser: Browser, settings: DashboardSettings, page: Page, store: ObjectStore
) -> None:
    recipes = RecipesService(store)
    text = "name: cap\ntask: multi-label\nlabels: {good: {key: g, colour: white, role: quality}}\n"
    recipes.save(text, 0, by="eva")
    context = browser.new_context(base_url=settings.address, locale="de-DE")
    context.set_default_timeout(SOON)
    german = context.new_page()
    german.goto("/recipes/cap")
    recipes.save(text.replace("key: g", "key: o"), 1, by="ben")
    german.get_by_label("Beschreibung").fill("Eine Kappe")
    german.get_by_label("Taste").first.fill("n")
    expect(german.locator("[data-problem='labels.0.key']")).to_contain_text("die eigene Taste der Annotierseite")
    german.get_by_label("Taste").first.fill("g")
    expect(german.locator("#summary")).to_contain_text("Kein Fehler")
    german.get_by_role("button", name="Rezept speichern").click()
    alert = german.get_by_role("alert")
    expect(alert).to_contain_text("ben hat das Rezept 'cap' inzwischen gespeichert")
    expect(alert).to_contain_text("key: o")
    german.get_by_role("button", name="Rezept speichern").click()
    expect(german.locator(".made")).to_contain_text("Gespeichert")
    assert recipes.get("cap").number == 3
    context.close()
