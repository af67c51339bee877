"""Logging in, in a real browser: what a viewer may see, and may not do."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from services.dashboard.access.audit import Audit
from services.dashboard.access.people import People
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.settings import DashboardSettings
from services.dashboard.web.callers import Role
from shared.messaging.port import Broker
from shared.storage.opening import open_store
from shared.storage.port import ObjectStore
from shared.topology import INFERENCE_FRAMES
from tests.browsers import SOON
from tests.dashboards import captured, embedded_settings, park
from tests.verdicts import Line

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

REPLAY = "async path => (await fetch(path, {method: 'POST', body: new URLSearchParams({action: 'replay'})})).status"
PASSWORD = "umbrella copper thirty lanterns"


@pytest.fixture
def settings(tmp_path: Path) -> DashboardSettings:
    return embedded_settings(tmp_path, login=True)


@pytest.fixture
def store(settings: DashboardSettings) -> ObjectStore:
    """An admin and a viewer are in it before the dashboard opens."""
    store = open_store(settings)
    known = People(PeopleRepository(store), Audit(store))
    for role in (Role.ADMIN, Role.VIEWER):
        known.add(role.value, role, PASSWORD, by="set-up")
    return store


@pytest.fixture
def page(store: ObjectStore, page: Page) -> Page:
    return page


def log_in(page: Page, name: str) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def test_a_viewer_logs_in_is_refused_an_engineers_action_and_logs_out(page: Page, broker: Broker) -> None:
    park(broker, INFERENCE_FRAMES, [captured(Line())], "truncated")
    page.goto("/accounting", wait_until="domcontentloaded")
    expect(page).to_have_url("/login?next=/accounting")
    expect(page.get_by_role("navigation", name="Pages")).to_have_count(0)
    log_in(page, "viewer")
    expect(page).to_have_url("/accounting")
    replay = page.get_by_role("button", name="Replay")
    expect(replay).to_be_disabled()
    expect(replay).to_have_attribute("title", "This requires the role engineer: yours is viewer")
    action = page.locator(".parked form").get_attribute("action") or ""
    assert page.evaluate(REPLAY, action) == 403
    expect(page.get_by_role("link", name="Users")).to_have_count(0)
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url("/login")
    page.goto("/", wait_until="domcontentloaded")
    expect(page).to_have_url("/login?next=/")


def test_an_admin_adds_a_person_and_the_person_can_log_in(page: Page, browser: Browser) -> None:
    page.goto("/people", wait_until="domcontentloaded")
    log_in(page, "admin")
    form = page.locator("form[action='/people']")
    form.get_by_label("Name").fill("eva")
    form.get_by_role("combobox").select_option("engineer")
    form.get_by_role("button", name="Add").click()
    secret = page.locator("#secret code").inner_text()
    page.get_by_role("link", name="Audit log").click()
    expect(page.get_by_role("row").filter(has_text="added a user").filter(has_text="eva")).to_contain_text("engineer")
    other = browser.new_context(base_url=page.url)
    other.set_default_timeout(SOON)
    theirs = other.new_page()
    theirs.goto("/login", wait_until="domcontentloaded")
    theirs.get_by_label("Name", exact=True).fill("eva")
    theirs.get_by_label("Password", exact=True).fill(secret)
    theirs.get_by_role("button", name="Log in").click()
    expect(theirs.get_by_role("link", name="eva")).to_contain_text("engineer")
    other.close()
