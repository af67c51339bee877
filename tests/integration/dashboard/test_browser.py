"""The pages in a real browser: what an operator sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from services.dashboard.settings import DashboardSettings
from shared.messages import FrameInspected
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.vision.codec import encode
from tests.dashboards import embedded_settings, open_dashboard, publish, put_model
from tests.servers import program
from tests.verdicts import Line, explanation_of

pytestmark = pytest.mark.browser

FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
SOON = 40_000


@pytest.fixture
def settings(tmp_path: Path) -> DashboardSettings:
    return embedded_settings(tmp_path, ng_hold_seconds=60, silence_seconds=600)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = program("chromium", "chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, "--disable-component-update"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, settings: DashboardSettings, broker: Broker) -> Iterator[Page]:
    """A page on a dashboard of its own. It may fetch nothing from elsewhere, and no script may fail."""
    with open_dashboard(settings, broker):
        context = browser.new_context(base_url=settings.address, color_scheme="dark", locale="en-GB")
        opened, troubles = context.new_page(), list[str]()
        opened.on("pageerror", lambda error: troubles.append(str(error)))
        opened.on("request", lambda request: troubles.extend(_elsewhere(request.url, settings)))
        opened.on(
            "console", lambda message: troubles.append(message.text) if "Security Policy" in message.text else None
        )
        yield opened
        context.close()
    assert troubles == []


def _elsewhere(url: str, settings: DashboardSettings) -> list[str]:
    parts = urlsplit(url)
    return [] if parts.scheme == "data" or parts.netloc == urlsplit(settings.address).netloc else [url]


def put_pictures(store: ObjectStore, verdict: FrameInspected) -> None:
    """A grey picture, and a heatmap that is hot in the middle."""
    picture = np.full((96, 96, 3), 120, np.uint8)
    heat = np.asarray(cv2.circle(np.zeros((96, 96), np.uint8), (48, 48), 16, 255, -1), np.uint8)
    folder = verdict.frame.storage_key
    store.put(f"{folder}/picture.jpg", encode(picture, "jpeg"))
    for label in ("good", "break"):
        store.put(f"{folder}/heatmap.{label}.png", encode(heat, "png"))
    picture[heat > 0] = (0, 170, 60)
    store.put(f"{folder}/overlay.jpg", encode(picture, "jpeg"))


def is_loaded(page: Page, selector: str) -> None:
    page.wait_for_function(f"document.querySelector({selector!r})?.naturalWidth > 0", timeout=SOON)


def test_a_defect_appears_live_with_its_heatmap(page: Page, broker: Broker, store: ObjectStore) -> None:
    put_model(store)
    page.goto("/")
    expect(page.locator("#empty")).to_be_visible(timeout=SOON)

    line = Line()
    publish(broker, line.verdict(), line.report())
    condition = page.locator("section.line .condition")
    expect(condition).to_contain_text("OK", timeout=SOON)
    expect(page.locator("#link")).to_contain_text("Live")

    verdict = line.verdict("break")
    put_pictures(store, verdict)
    publish(broker, verdict)
    expect(condition).to_contain_text("NG", timeout=SOON)
    expect(condition).to_contain_text("break")
    hero = page.locator("[data-hero]")
    expect(hero).to_contain_text("heatmap to come", timeout=SOON)

    publish(broker, explanation_of(verdict))
    expect(hero.locator("img")).to_have_attribute("src", f"/api/frames/{verdict.frame.frame_id}/overlay", timeout=SOON)
    is_loaded(page, "[data-hero] img")
    expect(hero.locator(".chip")).to_have_text(["break"])
    expect(page.locator("[data-field='accounting.ng']")).to_have_text("1")
    expect(page.locator("[data-rates] tr", has_text="break")).to_contain_text("1 of 2", timeout=SOON)
    expect(page.locator("[data-chart] svg")).to_be_visible(timeout=SOON)


def test_a_frame_is_looked_at_by_keyboard_alone(page: Page, broker: Broker, store: ObjectStore) -> None:
    put_model(store)
    verdict = Line().verdict("break")
    put_pictures(store, verdict)
    publish(broker, verdict, explanation_of(verdict))
    page.goto("/")
    hero = page.locator("[data-hero]")
    expect(hero).to_have_attribute("href", f"/frames/{verdict.frame.frame_id}", timeout=SOON)
    while not hero.evaluate("link => link === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page.locator("h1")).to_have_text("break", timeout=SOON)
    is_loaded(page, ".stage img")
    good, broken = (page.locator(f".layer[data-label={label}]") for label in ("good", "break"))
    expect(broken).to_be_visible()
    expect(good).to_be_hidden()
    page.keyboard.press("1")
    expect(good).to_be_visible()
    page.keyboard.press("0")
    expect(broken).to_be_hidden()
    expect(page.locator("tr", has_text="break")).to_contain_text("0.930")
    expect(page.locator("tr", has_text="break")).to_contain_text("fault")


def test_a_page_without_its_dashboard_does_not_look_alive(
    browser: Browser, settings: DashboardSettings, broker: Broker
) -> None:
    page = browser.new_page(base_url=settings.address)
    with open_dashboard(settings, broker):
        publish(broker, Line().verdict())
        page.goto("/")
        condition = page.locator("section.line .condition")
        expect(condition).to_contain_text("OK", timeout=SOON)
    expect(condition).to_contain_text("No connection", timeout=SOON)
    expect(page.locator("#link")).to_contain_text("what you see is old")
    page.close()


def test_the_documents_of_the_api_are_shown_without_the_internet(page: Page) -> None:
    page.goto("/api/docs")
    expect(page.locator("#swagger")).to_contain_text("/api/lines/{line}/accounting", timeout=SOON)
