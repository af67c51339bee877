"""The pages in German, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from services.dashboard.settings import DashboardSettings
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from tests.browsers import SOON
from tests.dashboards import publish, put_model
from tests.verdicts import Line

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_a_german_browser_shows_german_pages_until_english_is_chosen(
    browser: Browser, page: Page, settings: DashboardSettings, broker: Broker, store: ObjectStore
) -> None:
    put_model(store)
    line = Line()
    publish(broker, line.verdict(), line.report(), line.verdict("break"))
    context = browser.new_context(base_url=settings.address, locale="de-DE")
    context.set_default_timeout(SOON)
    page, troubles = context.new_page(), list[str]()
    page.on("pageerror", lambda error: troubles.append(str(error)))

    page.goto("/")
    state = page.locator("section.line .line-state")
    expect(state).to_contain_text("n.i.O.")
    expect(page.locator("[data-vital=cameras]")).to_have_text("● 1 Kamera")
    expect(page.locator("[data-rates] tr", has_text="break")).to_contain_text("1 von 2")
    expect(page.locator("[data-rates] tr", has_text="break")).to_contain_text("50,0\u00a0%")

    page.goto("/quality")
    expect(page.locator("[data-chart=control] .interactive")).to_have_attribute(
        "aria-label", "Fehlerrate über der Zeit mit ihren Eingriffsgrenzen: 1 von 1 Punkten"
    )

    page.goto("/frames?verdict=ng")
    expect(page.get_by_role("heading", name="Aufnahmen")).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Frames")).to_be_visible()
    assert page.url.endswith("/frames?verdict=ng")
    assert troubles == []
    context.close()
