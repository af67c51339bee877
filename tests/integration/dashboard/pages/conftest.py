"""The pages in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from services.dashboard.settings import DashboardSettings
from shared.messaging.port import Broker
from tests.browsers import SOON
from tests.dashboards import embedded_settings, open_dashboard
from tests.servers import program

FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")

expect.set_options(timeout=SOON)


@pytest.fixture
def settings(tmp_path: Path) -> DashboardSettings:
    return embedded_settings(tmp_path)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    chromium = program("chromium", "chromium")
    with sync_playwright() as playwright:
        flags = [*FLAGS, "--disable-component-update"]
        opened = playwright.chromium.launch(executable_path=chromium, args=flags, timeout=SOON)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, settings: DashboardSettings, broker: Broker) -> Iterator[Page]:
    """A page on a dashboard of its own. It may fetch nothing from elsewhere, and no script may fail."""
    with open_dashboard(settings, broker):
        context = browser.new_context(base_url=settings.address, color_scheme="dark", locale="en-GB")
        context.set_default_timeout(SOON)
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
