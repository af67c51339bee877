"""The pages of frames in a real browser: find a frame, and mark its verdict as wrong."""

from __future__ import annotations

import re

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
    page.get_by_text("More filters").click()
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
    expect(page.locator("#scale")).to_contain_text("Good images with as much evidence: 1 in 20")
    expect(page.locator(".switches")).to_contain_text("1 good image in 250 has as much evidence")
    expect(page.locator(".switches")).to_contain_text("no heat: more than 1 good image in 20 has as much evidence")
    page.keyboard.press("2")
    page.keyboard.press("w")
    expect(page.locator("#marking")).to_contain_text("no longer marked")
    assert list(store.keys("marks/")) == []


def test_neighbours_are_one_tile_and_the_next_frame_is_a_key_away(
    page: Page, broker: Broker, store: ObjectStore
) -> None:
    put_model(store)
    line = Line()
    faults = [None, "break", "break", None, "break", None, None, None, "error"]
    verdicts = [line.verdict(fault) for fault in faults]
    for verdict in verdicts:
        if verdict.flagged:
            put_images(store, verdict)
    publish(broker, *verdicts)
    page.goto("/")
    expect(page.locator("[data-field='accounting.inspected']")).to_have_text("9")
    page.goto("/frames?verdict=ng")
    expect(page.locator(".tiles .why")).to_have_text(["error", "break · 3 frames"])
    page.get_by_role("link", name="Show all 3").click()
    expect(page.locator(".tiles a[data-frame]")).to_have_count(3)

    page.goto("/frames?verdict=ng")
    page.locator(".tiles a[data-frame]").first.click()
    page.wait_for_url(f"**/frames/{verdicts[8].frame.frame_id}?verdict=ng")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**/frames/{verdicts[4].frame.frame_id}?verdict=ng")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**/frames/{verdicts[8].frame.frame_id}?verdict=ng")
    expect(page.get_by_role("link", name="← Newer")).to_have_attribute("aria-disabled", "true")
    page.get_by_role("button", name="Larger").click()
    expect(page.locator("#zoomed")).to_have_attribute("style", re.compile(r"scale\(1\.4\)"))
    page.get_by_role("link", name="Back to the search").click()
    page.wait_for_url("**/frames?verdict=ng")


def test_frames_are_sorted_by_score_within_a_period(page: Page, broker: Broker, store: ObjectStore) -> None:
    put_model(store)
    line = Line()
    scores = [0.61, 0.97, 0.52]
    verdicts = []
    for score in scores:
        verdict = line.verdict("break")
        found = {**verdict.findings, "break": verdict.findings["break"].model_copy(update={"score": score})}
        verdicts.append(verdict.model_copy(update={"findings": found}))
    publish(broker, *verdicts)
    page.goto("/")
    expect(page.locator("[data-field='accounting.inspected']")).to_have_text("3")
    page.goto("/frames")
    page.get_by_role("link", name="Last hour").click()
    page.locator("select[name=label]").select_option("break")
    page.locator("select[name=order]").select_option("score")
    page.get_by_role("button", name="Search").click()
    tiles = page.locator(".tiles .why")
    expect(tiles).to_have_text(["break · break 0.970 · 3 frames"])
    page.goto(f"{page.url}&group=no")
    expect(tiles).to_contain_text(["0.970", "0.610", "0.520"])
    page.locator("select[name=order]").select_option("threshold")
    page.get_by_role("button", name="Search").click()
    expect(tiles).to_contain_text(["0.520", "0.610", "0.970"])
    expect(page.get_by_role("link", name="Last hour")).to_have_attribute("href", re.compile("order=threshold"))
    page.get_by_role("link", name="Yesterday").click()
    expect(page.locator("main")).to_contain_text("No frame matches")
    page.get_by_role("link", name="Show all frames").click()
    expect(tiles).to_have_count(1)


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


def test_heatmaps_without_a_scale_say_so(page: Page, broker: Broker, store: ObjectStore) -> None:
    verdict = Line().verdict("break")
    put_images(store, verdict)
    explained = explanation_of(verdict)
    bare = {label: each.model_copy(update={"rarity": None}) for label, each in explained.heatmaps.items()}
    publish(broker, verdict, explained.model_copy(update={"heatmaps": bare}))
    page.goto("/")
    expect(page.locator("[data-field='accounting.explained']")).to_have_text("1")
    page.goto(f"/frames/{verdict.frame.frame_id}")
    expect(page.locator(".switches")).to_contain_text("scaled to its own peak")
    expect(page.locator("#scale")).to_have_count(0)


def test_an_invalid_search_shows_its_problem(page: Page) -> None:
    page.goto("/frames?score_from=0.5")
    expect(page.get_by_role("alert")).to_contain_text("the label of the score")
    page.goto("/frames?line=a%20b")
    expect(page.get_by_role("alert")).to_contain_text("invalid value")
    page.goto("/frames")
    expect(page.locator("main")).to_contain_text("No frame matches")
