from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from services.dashboard.retention import cli, enforcement
from services.dashboard.retention.cli import show_retention
from services.dashboard.settings import DashboardSettings
from shared.storage.opening import open_store
from tests.dashboards import embedded_settings, environment_of
from tests.verdicts import Line

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DashboardSettings:
    """A dashboard with rules, and a storage with one old and one new image."""
    monkeypatch.setattr(enforcement, "CHECK_SECONDS", 0.2)
    settings = embedded_settings(tmp_path, retention="ng=30d/2GB", storage_gigabytes=50)
    store, line = open_store(settings), Line()
    for age in (40, 1):
        store.put(f"{line.verdict('break', after=-age * 86_400).frame.storage_key}/image.ng.jpg", bytes(250_000))
    return settings


def test_the_page_of_the_storage_shows_what_is_stored_how_long_it_stays_and_when_it_is_full(page: Page) -> None:
    page.goto("/accounting")
    page.get_by_role("link", name="Storage").click()
    page.wait_for_url("**/storage")
    while page.get_by_text("not taken yet").count():
        page.reload()
    row = page.get_by_role("row").filter(has_text="Images, NG")
    expect(row).to_contain_text(re.compile(r"2\s*500 kB"))
    expect(row).to_contain_text("30 days or 2 GB")
    expect(page.get_by_role("row").filter(has_text="Images, ok")).to_contain_text("for ever")
    expect(page.get_by_text("50 GB")).to_be_visible()


def test_the_dry_run_shows_what_would_be_removed_and_removes_nothing(
    settings: DashboardSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "configure_logging", lambda *_: None)  # it would write to what this test captures
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    before = list(open_store(settings).keys(""))
    show_retention()
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ ng ")]
    assert "500 kB" in row
    assert "1 (250 kB)" in row
    show_retention("ng=50d")
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ ng ")]
    assert "50 days" in row
    assert "1 (250 kB)" not in row
    assert list(open_store(settings).keys("")) == before
