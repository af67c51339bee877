"""The pages of frames in a real browser: find a frame, and mark its verdict as wrong."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.topology import EXPLAINER_REQUESTS
from tests.browsers import is_loaded, put_images
from tests.dashboards import publish, put_model, soon
from tests.verdicts import Line, explanation_of

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_a_frame_is_found_and_marked_wrong_by_keys_alone(page: Page, broker: Broker, store: ObjectStore) -> None:
    put_model(store)
    line = Line()
    verdicts = [line.verdict(fault) for fault in (None, "break", None, "error", "break")]
    for verdict in verdicts:
        if verdict.flagged:
            put_images(store, verdict)
            publish(broker, explanation_of(verdict))
    publish(broker, *verdicts)
    page.goto("/")
    expect(page.locator("[data-field='accounting.inspected']")).to_have_text("5")
    page.goto("/frames")
    expect(page.locator(".tiles a")).to_have_count(5)
    page.locator("select[name=label]").select_option("break")
    page.get_by_label("Batch").fill("batch-7")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**/frames?*label=break*")
    tiles = page.locator(".tiles a")
    expect(tiles).to_have_count(2)

    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("w")
    expect(page.locator("#marked")).to_contain_text("for labelling")
    expect(tiles.nth(1).locator(".flag")).to_be_visible()
    (key,) = store.keys("marks/")
    assert verdicts[1].frame.frame_id in key

    page.keyboard.press("Enter")
    page.wait_for_url(f"**/frames/{verdicts[1].frame.frame_id}*")
    expect(page.locator("#marking")).to_contain_text("for labelling by local")
    is_loaded(page, ".stage img")
    expect(page.locator(".scores")).to_contain_text("after its capture")
    expect(page.locator(".layer[data-label=break]")).to_be_visible()
    page.keyboard.press("2")
    page.keyboard.press("w")
    expect(page.locator("#marking")).to_contain_text("no longer marked")
    assert list(store.keys("marks/")) == []


def test_a_frame_that_passed_is_explained_by_a_button(page: Page, broker: Broker, store: ObjectStore) -> None:
    verdict = Line().verdict()
    verdict = verdict.model_copy(update={"image_key": f"{verdict.frame.storage_key}/image.jpg"})
    put_images(store, verdict)
    publish(broker, verdict)
    page.goto("/")
    expect(page.locator("[data-field='accounting.inspected']")).to_have_text("1")
    page.goto(f"/frames/{verdict.frame.frame_id}")
    page.get_by_role("button", name="Explain this frame").click()
    expect(page.locator("#requested")).to_contain_text("The explainer makes the heatmaps")
    soon(lambda: broker.depth(EXPLAINER_REQUESTS.name).total == 1)
    explained = explanation_of(verdict).model_copy(update={"heatmaps": {}, "reason": "its model is gone"})
    publish(broker, explained)
    expect(page.locator("#requested")).to_have_text("its model is gone")


def test_an_invalid_search_shows_its_problem(page: Page) -> None:
    page.goto("/frames?score_from=0.5")
    expect(page.get_by_role("alert")).to_contain_text("the label of the score")
    page.goto("/frames?line=a%20b")
    expect(page.get_by_role("alert")).to_contain_text("invalid value")
    page.goto("/frames")
    expect(page.locator("main")).to_contain_text("No frame matches")
