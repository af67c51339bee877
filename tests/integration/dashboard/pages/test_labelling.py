"""The pages of labelling in a real browser, by keys alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from services.dashboard.labelling.annotations import log as ledger
from services.dashboard.labelling.annotations.log import Ledger
from shared.storage.port import ObjectStore
from tests.camera_videos import write_video
from tests.dashboards import put_model
from tests.labelling import labels, record

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
FRAMES = 24
KEYS = {"good": "g", "error": "e", "break": "b", "length": "l"}
SAID = [("good",), ("good", "length"), ("error",), ("error", "break"), ("break", "length")]
"""Of frame after frame, over and over."""


def shown(page: Page, frame: int) -> None:
    """Wait until a frame is on the screen."""
    expect(page.locator("#place")).to_have_text(f"frame {frame} / {FRAMES - 1}")


def holding(page: Page, address: str) -> list[Route]:
    """Requests that are on their way for as long as the test wants."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(address, hold)
    return held


def test_twenty_frames_of_an_uploaded_video_are_labelled_by_keys_alone_and_exported(
    page: Page, store: ObjectStore, tmp_path: Path
) -> None:
    put_model(store)
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    page.goto("/labelling")
    page.locator("input[name=files]").set_input_files(tmp_path / "broken.mp4")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#upload .warning")).to_contain_text("neither a video")
    page.locator("input[name=files]").set_input_files(write_video(tmp_path / "seam.mp4", FRAMES))
    page.get_by_role("button", name="Upload").click()
    shown(page, 0)

    for frame in range(20):
        for label in SAID[frame % len(SAID)]:
            page.keyboard.press(KEYS[label])
        page.keyboard.press("s")
        expect(page.locator("#written")).to_contain_text("saved by local")
        page.keyboard.press("n")
        shown(page, frame + 1)
    assert_rules_undo_and_several_at_once(page)
    page.keyboard.press("q")
    expect(page.locator(".sources")).to_contain_text("22 labelled")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV", exact=True).last.click()
    rows = Path(download.value.path()).read_text().splitlines()
    assert download.value.suggested_filename == "seam_data.csv"
    expected = [f"seam_{frame:06d}.jpg,{','.join(map(str, labels(*SAID[frame % 5]).values()))}" for frame in range(20)]
    assert rows[:21] == ["name,good,error,break,length", *expected]
    assert [row.partition(",")[0] for row in rows[21:]] == ["seam_000021.jpg", "seam_000022.jpg"]


def assert_rules_undo_and_several_at_once(page: Page) -> None:
    page.keyboard.press("g")
    page.keyboard.press("b")
    expect(page.locator("#trouble")).to_contain_text("good together with break")
    page.keyboard.press("s")
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.locator("#written")).to_contain_text("break · ✓ saved")
    page.keyboard.press("u")
    expect(page.locator("#written")).to_contain_text("not labelled")
    page.keyboard.press("n")
    shown(page, 21)
    page.keyboard.press("Shift+ArrowRight")
    shown(page, 22)
    page.keyboard.press("g")
    expect(page.locator("#spoken")).to_contain_text("good · ○ not saved, for 2 chosen frames")
    page.keyboard.press("s")
    expect(page.locator("#written")).to_contain_text("good · ✓ saved")
    page.keyboard.press("/")
    page.keyboard.press("n")
    expect(page.locator("#written")).to_contain_text("good · ○ carried over, not saved")


def test_a_label_that_somebody_else_gave_meanwhile_is_told_and_kept(
    page: Page, tmp_path: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "FRESH_SECONDS", 0.0)
    put_model(store)
    page.goto("/labelling")
    page.locator("input[name=files]").set_input_files(write_video(tmp_path / "seam.mp4", FRAMES))
    page.get_by_role("button", name="Upload").click()
    shown(page, 0)
    source = page.url.partition("/labelling/")[2].partition("?")[0]
    Ledger(store).append(record("0", by="bob", source=source, labels=labels("error")))
    assert page.request.get(f"/api/labelling/sources/{source}").json()["labelled"] == 1
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.locator("#trouble")).to_contain_text("bob said error meanwhile")
    page.keyboard.press("s")
    expect(page.locator("#written")).to_contain_text("good · ✓ saved by local")
    kept = [json.loads(store.get(key))["labels"] for key in store.keys(f"labelling/records/{source}/")]
    assert kept == [labels("error"), labels("good")]
    assert_a_contradiction_is_settled_and_learned_from(page, store, source)


def assert_a_contradiction_is_settled_and_learned_from(page: Page, store: ObjectStore, source: str) -> None:
    Ledger(store).append(record("0", by="bob", source=source, reading="second", labels=labels("break")))
    page.goto(f"/labelling/{source}/agreement")
    expect(page.locator(".contradictions li")).to_contain_text("good, break")
    page.get_by_role("link", name="Settle").click()
    page.get_by_role("button", name="Take this").last.click()
    page.keyboard.press("s")
    expect(page.locator("#written")).to_contain_text("break · ✓ saved by local")
    page.goto(f"/labelling/history?source={source}&reading=settled")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.goto("/labelling")
    page.locator(f"input[value='{source}']").check()
    page.get_by_label("Name").fill("settled")
    page.get_by_role("button", name="Make a dataset").click()
    expect(page.locator(".made")).to_contain_text("datasets/settled has 1 image of 1 group")
    assert b"seam_000000.jpg,False,False,True,False" in store.get("datasets/settled/labels.csv")


def test_no_label_is_lost_to_a_network_that_fails_or_a_hand_that_is_faster(
    page: Page, tmp_path: Path, store: ObjectStore
) -> None:
    put_model(store)
    page.goto("/labelling")
    page.locator("input[name=files]").set_input_files(write_video(tmp_path / "seam.mp4", FRAMES))
    page.get_by_role("button", name="Upload").click()
    shown(page, 0)
    page.route("**/labels", lambda route: route.abort())
    page.keyboard.press("g")
    page.keyboard.press("Enter")
    shown(page, 1)
    expect(page.locator("#trouble")).to_contain_text("can't be reached: save again when it can · not saved: frame 0")
    page.unroute("**/labels")

    held = holding(page, "**/labels")
    page.keyboard.press("/")
    expect(page.locator("#carry")).to_be_checked()
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.locator("#written")).to_contain_text("good · … being saved")
    page.keyboard.press("n")
    shown(page, 2)
    expect(page.locator("#written")).to_contain_text("good · ○ carried over, not saved")
    page.keyboard.press("p")
    shown(page, 1)
    page.keyboard.press("l")
    held.pop().continue_()
    page.unroute("**/labels")
    expect(page.locator("#strip")).to_contain_text("1  ○ g l")
    expect(page.locator("#written")).to_contain_text("good, length · ○ not saved")
    expect(page.locator("#trouble")).to_contain_text("not saved: frame 0")
    page.keyboard.press("s")
    expect(page.locator("#written")).to_contain_text("good, length · ✓ saved by local")
    page.keyboard.press("p")
    page.keyboard.press("s")
    expect(page.locator("#written")).to_contain_text("good · ✓ saved by local")
    expect(page.locator("#trouble")).to_be_hidden()
    assert_nobody_labels_one_frame_and_sees_another(page)


def assert_nobody_labels_one_frame_and_sees_another(page: Page) -> None:
    held = holding(page, "**/frames/*/image")
    page.keyboard.press("End")
    shown(page, FRAMES - 1)
    expect(page.locator("#frame")).to_have_css("visibility", "hidden")
    for route in held:
        route.continue_()
    page.unroute("**/frames/*/image")
    expect(page.locator("#frame")).to_have_css("visibility", "visible")
