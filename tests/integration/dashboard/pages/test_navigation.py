"""From each page to each other one, with what people need who use a keyboard, a screen reader, or a dark room."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from shared.messages import CameraSight
from shared.messaging.port import Broker
from shared.recipe import parse_recipe
from shared.storage.port import ObjectStore
from tests.browsers import put_images
from tests.dashboards import publish, put_in_production, put_model
from tests.verdicts import RECIPE, Line

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

PAGES = {
    "Lines": "/",
    "Quality": "/quality",
    "Frames": "/frames",
    "Models": "/models",
    "Reconciliation": "/accounting",
    "Users": "/people",
}

BEHIND = (
    "/?kiosk",
    "/frames?verdict=ng",
    "/labelling",
    "/labelling/history",
    "/lines/line-1/batches",
    "/lines/line-1/batches/batch-7",
    "/checks/line-1",
    "/lines/line-1/recipe",
    "/storage",
    "/audit",
    "/trainings/new",
    "/recipes",
    "/models/seam/model-1",
    "/models/seam/model-1/thresholds",
)
"""Pages that no name leads to."""

SHARES = dict.fromkeys(("recall", "precision", "accuracy", "average_precision"), 0.9)
SURE = dict.fromkeys(SHARES, (0.8, 0.95))
MEASURED: dict[str, Any] = {
    "images": 60,
    "groups": 12,
    "labels": {
        name: {"n": 60, "positives": 20, "threshold": 0.5, **SHARES, "intervals": SURE}
        for name in parse_recipe(RECIPE).label_names
    },
    **dict.fromkeys(("verdict_accuracy", "escape_rate", "overkill_rate", "macro_average_precision"), 0.1),
    "intervals": {"verdict_accuracy": (0.05, 0.2), "macro_average_precision": (0.05, 0.2)},
}
"""An evaluation, as far as the pages show it."""


BROKEN_ROWS = """rows => rows
  .filter(row => row.checkVisibility() && getComputedStyle(row).display !== "table-row")
  .map(row => row.textContent.trim())"""
"""Rows of tables whose cells are not side by side."""


CUT = """nodes => nodes
  .filter(node => node.checkVisibility() && !node.closest("table") && node.closest(".panel"))
  .filter(node => node.getBoundingClientRect().right > node.closest(".panel").getBoundingClientRect().right)
  .map(node => node.outerHTML)"""
"""Fields and buttons that reach beyond their panel, where they are cut off."""


def barriers(page: Page) -> list[str]:
    """Return what axe finds on a page that a person with a disability can't use."""
    return [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in Axe().run(page).response["violations"]
        for node in rule["nodes"]
    ]


def fill(broker: Broker) -> Line:
    line = Line()
    publish(broker, *line.verdicts(60), line.report(dropped=2, captured=63))
    return line


def test_every_page_leads_to_every_other(page: Page, broker: Broker) -> None:
    fill(broker)
    for start in PAGES.values():
        page.goto(start, wait_until="domcontentloaded")
        for name, address in PAGES.items():
            link = page.get_by_role("navigation", name="Pages").get_by_role("link", name=name)
            expect(link).to_have_attribute("href", address)
        current = page.locator("nav[aria-label=Pages] [aria-current=page]")
        expect(current).to_have_attribute("href", start)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier_and_tables_have_rows_on_every_page(
    page: Page, broker: Broker, store: ObjectStore, scheme: str
) -> None:
    line = fill(broker)
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark", reduced_motion="reduce")
    frame = line.verdict("break")
    publish(broker, frame)
    put_images(store, frame)
    page.goto("/")
    expect(page.locator("[data-field='accounting.inspected']")).to_have_text("61")
    put_model(
        store, heatmaps={"labels": {"break": {"trustworthy": False, "reason": "no better than chance"}}}, **MEASURED
    )
    put_in_production(store, "model-1", None)
    for address in (*PAGES.values(), *BEHIND, f"/frames/{frame.frame.frame_id}", "/api/docs"):
        page.goto(address)
        expect(page.locator("h1").first).to_be_visible()
        assert barriers(page) == [], address
        assert page.locator("tr").evaluate_all(BROKEN_ROWS) == [], address


@pytest.mark.parametrize("width", [1280, 820, 390])
def test_on_a_narrow_screen_the_pages_can_still_be_reached(page: Page, broker: Broker, width: int) -> None:
    fill(broker)
    page.set_viewport_size({"width": width, "height": 800})
    for address in (*PAGES.values(), *BEHIND[:-2]):
        page.goto(address)
        for link in page.get_by_role("navigation", name="Pages").get_by_role("link").all():
            expect(link).to_be_in_viewport(ratio=1)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        assert page.locator("input, select, button, summary, .button").evaluate_all(CUT) == [], address


@pytest.mark.parametrize("width", [1280, 820])
def test_the_bar_covers_nothing_that_an_address_names(
    page: Page, broker: Broker, store: ObjectStore, width: int
) -> None:
    fill(broker)
    put_model(store, **MEASURED)
    page.set_viewport_size({"width": width, "height": 500})
    page.goto("/models/seam/model-1#promotion")
    panel, bar = page.locator("#promotion"), page.locator("header.bar")
    expect(panel).to_be_in_viewport()
    top, end = panel.bounding_box(), bar.bounding_box()
    assert top
    assert end
    assert top["y"] >= end["y"] + end["height"]


def test_the_answer_to_an_action_is_in_view(page: Page, broker: Broker, store: ObjectStore) -> None:
    fill(broker)
    put_model(store, **MEASURED)
    page.set_viewport_size({"width": 1280, "height": 500})
    for address, action in (
        ("/labelling", "Make a dataset"),
        ("/models/seam/model-1/thresholds", "Save the thresholds"),
    ):
        page.goto(address)
        page.get_by_role("button", name=action).click()
        expect(page.get_by_role("alert").first).to_be_in_viewport(ratio=1)
        expect(page.get_by_role("alert").first).to_be_focused()


def test_a_line_shows_that_a_camera_is_blind_what_it_could_not_read_and_its_triggers(
    page: Page, broker: Broker
) -> None:
    line = Line()
    reason = "it has sent the same image again and again"
    publish(
        broker,
        *line.verdicts(20),
        line.report(sight=CameraSight.FROZEN, reason=reason, unreadable=1234, triggers=25, missed_triggers=5),
    )
    page.goto("/", wait_until="domcontentloaded")
    expect(page.locator("[data-title]").first).to_have_text("Camera blind")
    expect(page.locator(".line-state .reason").first).to_contain_text("camera camera-1 is frozen: it has sent the same")
    expect(page.locator("[data-vital=cameras]")).to_have_text("▲ 1 camera lost or blind")
    expect(page.locator("[data-cameras]")).to_contain_text("▲ frozen")
    expect(page.locator("[data-field='accounting.unreadable']")).to_have_text("1\u202f234")
    expect(page.locator("[data-field='accounting.triggers']")).to_have_text("25")
    expect(page.locator("[data-field='accounting.missed_triggers']")).to_have_text("5")
    page.goto("/accounting")
    expect(page.locator(".warning").first).to_contain_text("1\u202f234 images of the cameras became no frames")
    expect(page.get_by_text("25 triggers = 20 captured + 5 missed")).to_be_visible()


def test_a_line_shows_whether_its_cameras_are_lost(page: Page, broker: Broker) -> None:
    fill(broker)
    page.goto("/", wait_until="domcontentloaded")
    expect(page.locator("[data-vital=cameras]")).to_have_text("● 1 camera")
    expect(page.locator("[data-vital=workers]")).to_have_text("▲ no worker")
    page.get_by_role("link", name="NG frames").click()
    expect(page).to_have_url("/frames?verdict=ng&line=line-1")
