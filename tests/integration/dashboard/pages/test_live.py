"""The page of the lines, and of one frame, in a real browser: what an operator sees."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, expect

from services.dashboard.settings import DashboardSettings
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from tests.browsers import SOON, is_loaded, put_images
from tests.dashboards import embedded_settings, open_dashboard, publish, put_model
from tests.integration.dashboard.api.test_outputs import REPORT
from tests.verdicts import Line, decision_of, explanation_of

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture
def settings(tmp_path: Path) -> DashboardSettings:
    return embedded_settings(tmp_path, time_zone="Pacific/Kiritimati")


def test_a_defect_appears_live_with_its_heatmap(page: Page, broker: Broker, store: ObjectStore) -> None:
    put_model(store)
    page.goto("/")
    expect(page.locator("#empty")).to_be_visible()

    line = Line()
    publish(broker, line.verdict(), line.report())
    state = page.locator("section.line .line-state")
    expect(state).to_contain_text("OK")
    expect(page.locator("#link")).to_contain_text("Live")

    verdict = line.verdict("break")
    put_images(store, verdict)
    publish(broker, verdict)
    expect(state).to_contain_text("NG")
    expect(state).to_contain_text("break")
    hero = page.locator("[data-hero]")
    expect(hero).to_contain_text("no heatmap yet")
    plants = verdict.frame.captured_at.astimezone(ZoneInfo("Pacific/Kiritimati"))
    expect(hero.locator("time")).to_have_text(f"{plants:%H:%M:%S}")

    publish(broker, explanation_of(verdict))
    expect(hero.locator("img")).to_have_attribute("src", f"/api/frames/{verdict.frame.frame_id}/overlay")
    is_loaded(page, "[data-hero] img")
    expect(hero.locator(".chip")).to_have_text(["break"])
    expect(page.locator("[data-field='accounting.ng']")).to_have_text("1")
    expect(page.locator("[data-rates] tr", has_text="break")).to_contain_text("1 of 2")
    expect(page.locator("[data-chart] svg")).to_be_visible()


def test_the_gate_opens_for_an_ng_part_and_an_output_is_tested(page: Page, broker: Broker) -> None:
    line = Line()
    publish(broker, line.verdict(), decision_of(line.verdict()))
    page.goto("/")
    gate = page.locator(".gate")
    expect(gate).to_contain_text("Gate closed")
    publish(broker, decision_of(line.verdict("break")), REPORT)
    expect(gate).to_contain_text("Gate open")
    expect(gate).to_have_attribute("data-action", "reject")
    expect(page.locator("[data-field='accounting.parts.ng']")).to_have_text("1")
    outputs = page.locator("[data-gateway]")
    expect(outputs).to_contain_text("online")
    expect(outputs.locator("tr", has_text="gate (modbus)")).to_contain_text("the PLC did not acknowledge")
    outputs.get_by_role("button", name="Test").click()
    expect(outputs.locator("[data-tested]")).to_contain_text("is on its way")


def test_a_frame_is_viewed_by_keyboard_alone(page: Page, broker: Broker, store: ObjectStore) -> None:
    put_model(store)
    verdict = Line().verdict("break")
    put_images(store, verdict)
    publish(broker, verdict, explanation_of(verdict))
    page.goto("/")
    hero = page.locator("[data-hero]")
    expect(hero).to_have_attribute("href", f"/frames/{verdict.frame.frame_id}")
    while not hero.evaluate("link => link === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/frames/{verdict.frame.frame_id}")

    expect(page.locator("h1")).to_have_text("break")
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


def test_a_page_without_its_dashboard_shows_that_it_is_not_up_to_date(
    browser: Browser, settings: DashboardSettings, broker: Broker
) -> None:
    page = browser.new_page(base_url=settings.address)
    page.set_default_timeout(SOON)
    with open_dashboard(settings, broker):
        publish(broker, Line().verdict())
        page.goto("/")
        state = page.locator("section.line .line-state")
        expect(state).to_contain_text("OK")
    expect(state).to_contain_text("No connection")
    expect(page.locator("#link")).to_contain_text("not up to date")
    page.close()


def test_the_documents_of_the_api_are_shown_without_the_internet(page: Page) -> None:
    page.goto("/api/docs")
    expect(page.locator("#swagger")).to_contain_text("/api/lines/{line}/accounting")
