"""The pages of labelling in a real browser, by keys alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from shutil import make_archive

import pytest
from playwright.sync_api import Page, Route, expect

from services.dashboard.labelling.annotations import repository as repository_module
from services.dashboard.labelling.annotations.repository import AnnotationRepository
from shared.contracts.dataset import newest_version
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from tests.browsers import put_images
from tests.camera_videos import write_video
from tests.dashboards import publish, put_model
from tests.labelling import annotation, labels
from tests.other_tools import coco
from tests.verdicts import Line

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
FRAMES = 24
KEYS = {"good": "g", "error": "e", "break": "b", "length": "l"}
LABELS = [("good",), ("good", "length"), ("error",), ("error", "break"), ("break", "length")]
"""Labels of the frames, repeated."""


def shown(page: Page, frame: int) -> None:
    """Wait until a frame is on the screen."""
    expect(page.locator("#place")).to_have_text(f"frame {frame} · {frame + 1} of {FRAMES}")


def holding(page: Page, address: str) -> list[Route]:
    """Hold the requests to an address until the test continues them."""
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
    page.locator("#upload input[name=files]").set_input_files(tmp_path / "broken.mp4")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#upload .warning")).to_contain_text("neither a video")
    page.locator("#upload input[name=files]").set_input_files(write_video(tmp_path / "seam.mp4", FRAMES))
    page.get_by_role("button", name="Upload").click()
    shown(page, 0)

    for frame in range(20):
        for label in LABELS[frame % len(LABELS)]:
            page.keyboard.press(KEYS[label])
        page.keyboard.press("s")
        shown(page, frame + 1)
    expect(page.locator("#strip")).to_contain_text("19  ✓ b l")
    assert_rules_undo_and_several_at_once(page)
    page.keyboard.press("l")
    expect(page.locator("#status")).to_contain_text("good, length · ○ not saved")
    expect(page.locator(".far")).to_contain_text("22 of 24 frames labelled")
    page.keyboard.press("q")
    expect(page.locator(".sources")).to_contain_text("23 labelled")
    with page.expect_download() as download:
        page.get_by_text("Export", exact=True).last.click()
        page.get_by_role("link", name="Labels (CSV)").click()
    rows = Path(download.value.path()).read_text().splitlines()
    assert download.value.suggested_filename == "seam_data.csv"
    expected = [
        f"seam_{frame:06d}.jpg,{','.join(map(str, labels(*LABELS[frame % 5]).values()))}" for frame in range(20)
    ]
    assert rows[:21] == ["name,good,error,break,length", *expected]
    assert [row.partition(",")[0] for row in rows[21:]] == [f"seam_{frame:06d}.jpg" for frame in (21, 22, 23)]
    assert rows[23].endswith(",True,False,False,True"), "q saved what was not saved"


def test_a_zip_of_labelled_images_is_imported_with_a_line_for_what_is_left_out(
    page: Page, store: ObjectStore, tmp_path: Path
) -> None:
    coco(tmp_path / "set")
    make_archive(str(tmp_path / "parts"), "zip", tmp_path / "set")
    page.goto("/labelling")
    form = page.locator("#labelled")
    form.locator("input[name=files]").set_input_files(tmp_path / "parts.zip")
    form.get_by_role("button", name="Import").click()
    expect(form.locator(".warning")).to_contain_text("annotations.json, image 4: 3.png is not there")
    form.get_by_label("Leave out what can't be used").check()
    form.get_by_role("button", name="Import").click()
    expect(form.locator(".made")).to_contain_text("3 images of 3 groups, 2 of them with masks; Kratzer tief 2, dent 1")
    expect(form.locator(".made li").first).to_contain_text("left out: annotations.json, image 4: 3.png is not there")
    version = newest_version(store, "parts")
    assert version
    expect(form.locator(".made code")).to_have_text(version.reference)


def assert_rules_undo_and_several_at_once(page: Page) -> None:
    page.keyboard.press("g")
    page.keyboard.press("b")
    expect(page.locator("#warning")).to_contain_text("good together with break")
    page.keyboard.press("s")
    page.keyboard.press("q")
    expect(page.locator("#warning")).to_contain_text("good together with break")
    shown(page, 20)
    page.keyboard.press("g")
    page.keyboard.press("s")
    shown(page, 21)
    page.keyboard.press("u")
    shown(page, 20)
    expect(page.locator("#status")).to_contain_text("not labelled")
    page.keyboard.press("n")
    shown(page, 21)
    page.keyboard.press("Shift+ArrowRight")
    shown(page, 22)
    page.keyboard.press("g")
    expect(page.locator("#announcement")).to_contain_text("good · ○ not saved, for 2 selected frames")
    page.keyboard.press("/")
    page.keyboard.press("s")
    shown(page, 23)
    expect(page.locator("#strip")).to_contain_text("22  ✓ g")
    expect(page.locator("#status")).to_contain_text("good · ○ carried over, not saved")


def test_a_label_that_another_person_gave_meanwhile_is_shown_and_stays_stored(
    page: Page, tmp_path: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_module, "FRESH_SECONDS", 0.0)
    put_model(store)
    page.goto("/labelling")
    page.locator("#upload input[name=files]").set_input_files(write_video(tmp_path / "seam.mp4", FRAMES))
    page.get_by_role("button", name="Upload").click()
    shown(page, 0)
    source = page.url.partition("/labelling/")[2].partition("?")[0]
    AnnotationRepository(store).append(annotation("0", by="bob", source=source, labels=labels("error")))
    assert page.request.get(f"/api/labelling/sources/{source}").json()["labelled"] == 1
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.locator("#warning")).to_contain_text("bob saved error meanwhile")
    page.keyboard.press("p")
    shown(page, 0)
    page.locator("#advance").uncheck()
    page.keyboard.press("s")
    expect(page.locator("#status")).to_contain_text("good · ✓ saved by local")
    stored = [json.loads(store.get(key))["labels"] for key in store.keys(f"labelling/annotations/{source}/")]
    assert stored == [labels("error"), labels("good")]
    assert_a_contradiction_is_adjudicated_and_in_a_dataset(page, store, source)


def assert_a_contradiction_is_adjudicated_and_in_a_dataset(page: Page, store: ObjectStore, source: str) -> None:
    AnnotationRepository(store).append(annotation("0", by="bob", source=source, kind="second", labels=labels("break")))
    page.goto(f"/labelling/{source}/agreement")
    expect(page.locator(".contradictions li")).to_contain_text("good, break")
    page.get_by_role("link", name="Adjudicate").click()
    page.get_by_role("button", name="Use these labels").last.click()
    page.keyboard.press("s")
    expect(page.locator("#status")).to_contain_text("break · ✓ saved by local")
    page.goto(f"/labelling/history?source={source}&kind=adjudication")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.goto("/labelling")
    page.locator(f"input[value='{source}']").check()
    page.get_by_label("Name", exact=True).fill("adjudicated")
    page.get_by_role("button", name="Make a dataset").click()
    expect(page.locator("#dataset .made")).to_contain_text(re.compile(r"adjudicated@0001-\w+ has 1 image of 1 group"))
    version = newest_version(store, "adjudicated")
    assert version is not None
    assert [(each.name, each.labels) for each in version.images] == [("seam_000000.jpg", (False, False, True, False))]


def test_no_label_is_lost_to_a_failing_network_or_a_fast_person(page: Page, tmp_path: Path, store: ObjectStore) -> None:
    put_model(store)
    page.goto("/labelling")
    page.locator("#upload input[name=files]").set_input_files(write_video(tmp_path / "seam.mp4", FRAMES))
    page.get_by_role("button", name="Upload").click()
    shown(page, 0)
    page.route("**/labels", lambda route: route.abort())
    page.keyboard.press("g")
    page.keyboard.press("Enter")
    shown(page, 1)
    expect(page.locator("#warning")).to_contain_text("can't be reached: save again when it can · not saved: frame 0")
    page.unroute("**/labels")

    held = holding(page, "**/labels")
    page.keyboard.press("/")
    expect(page.locator("#carry")).to_be_checked()
    page.keyboard.press("g")
    page.keyboard.press("s")
    shown(page, 2)
    expect(page.locator("#status")).to_contain_text("good · ○ carried over, not saved")
    page.keyboard.press("p")
    shown(page, 1)
    expect(page.locator("#status")).to_contain_text("good · … saving")
    page.locator("#advance").uncheck()
    page.keyboard.press("l")
    held.pop().continue_()
    page.unroute("**/labels")
    expect(page.locator("#strip")).to_contain_text("1  ○ g l")
    expect(page.locator("#status")).to_contain_text("good, length · ○ not saved")
    expect(page.locator("#warning")).to_contain_text("not saved: frame 0")
    page.keyboard.press("s")
    expect(page.locator("#status")).to_contain_text("good, length · ✓ saved by local")
    page.keyboard.press("p")
    page.keyboard.press("s")
    expect(page.locator("#status")).to_contain_text("good · ✓ saved by local")
    expect(page.locator("#warning")).to_be_hidden()
    assert_no_image_is_shown_for_another_frame(page)


def assert_no_image_is_shown_for_another_frame(page: Page) -> None:
    held = holding(page, "**/frames/*/image")
    page.keyboard.press("End")
    shown(page, FRAMES - 1)
    expect(page.locator("#frame")).to_have_css("visibility", "hidden")
    for route in held:
        route.continue_()
    page.unroute("**/frames/*/image")
    expect(page.locator("#frame")).to_have_css("visibility", "visible")


def test_the_labels_that_the_model_found_are_accepted_with_one_key(
    page: Page, broker: Broker, store: ObjectStore
) -> None:
    put_model(store)
    line = Line()
    verdicts = [line.verdict("break"), line.verdict("error")]
    for verdict in verdicts:
        put_images(store, verdict)
    publish(broker, *verdicts)
    page.goto("/")
    expect(page.locator("[data-field='accounting.inspected']")).to_have_text("2")
    for verdict in verdicts:
        page.goto(f"/frames/{verdict.frame.frame_id}")
        page.keyboard.press("w")
        expect(page.locator("#marking")).to_contain_text("for labelling")
    page.goto("/labelling/line-seam?queue=marked")
    expect(page.locator("#place")).to_have_text("1 of 2")
    page.keyboard.press("=")
    expect(page.locator("#place")).to_have_text("2 of 2")
    expect(page.locator("#strip li").first).to_contain_text(re.compile("✓ [be] l"))

    page.keyboard.press("=")
    expect(page.locator("#strip li").nth(1)).to_contain_text("✓")
    page.goto("/labelling")
    page.get_by_role("link", name="Label", exact=True).click()
    first_with_frames = page.get_by_role("link", name="Labelled", exact=True)
    expect(first_with_frames).to_have_attribute("aria-current", "true")
