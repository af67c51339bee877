"""The pages of quality in a real browser: what a QA engineer finds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from tests.dashboards import publish, put_model
from tests.verdicts import Line

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def play(broker: Broker) -> None:
    """Forty minutes until now; the defect rate is raised on purpose in the last ten, when another model judges."""
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=41)
    line, verdicts = Line(start=start), []
    for minute in range(40):
        often, model = (20, "model-1") if minute < 30 else (4, "model-2")
        verdicts += [
            line.verdict("break" if number % often == 0 else None, after=minute * 60 + number / 2, model_version=model)
            for number in range(100)
        ]
    publish(broker, *verdicts)


def test_the_control_chart_signals_a_raised_defect_rate(page: Page, broker: Broker, store: ObjectStore) -> None:
    for version in ("model-1", "model-2"):
        put_model(store, version)
    play(broker)
    page.goto("/")
    expect(page.locator("[data-field='accounting.inspected']")).to_have_text("4\u202f000")
    page.get_by_role("link", name="Quality", exact=True).first.click()
    page.get_by_role("link", name="Hour", exact=True).click()
    page.locator("select[name=label]").select_option("break")
    page.get_by_role("button", name="Show").click()

    drawing = page.locator("figure.drawing svg").first
    assert_the_chart_is_interactive(page)
    assert drawing.locator(".serie-4 circle").count() >= 10
    signals = page.locator("table.signals tbody tr")
    expect(signals.first).to_contain_text("▲ high")
    expect(signals.first).to_contain_text("beyond the control limit")
    expect(page.locator("main")).to_contain_text("model-2 began to inspect")
    expect(page.locator("figure.drawing").nth(1)).to_contain_text("break · 100.0%")
    expect(page.locator("figure.drawing").nth(1).locator("polyline.cumulative")).to_have_count(1)
    page.get_by_role("link", name="Shift", exact=True).click()
    expect(page.locator("#breakdown tbody tr").first).to_contain_text(re.compile(r"\d+ of \d"))
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").first.click()
    assert started.value.path().read_text().count("beyond") >= 10


def assert_the_chart_is_interactive(page: Page) -> None:
    chart = page.locator("[data-chart=control] .interactive")
    expect(chart).to_have_attribute("aria-label", re.compile(r": 4\d of 4\d points$"))
    over = chart.locator(".u-over")
    over.hover()
    expect(chart.locator(".tooltip")).to_contain_text("n = 100")
    expect(chart.locator(".tooltip")).to_contain_text("UCL")
    page.mouse.wheel(0, -100)
    expect(chart).not_to_have_attribute("aria-label", re.compile(r": 4\d of 4\d points$"))
    over.dblclick()
    expect(chart).to_have_attribute("aria-label", re.compile(r": 4\d of 4\d points$"))
    page.emulate_media(media="print")
    expect(page.locator("[data-chart=control] svg")).to_be_visible()
    expect(chart).to_be_hidden()
    page.emulate_media(media="screen")


def test_the_report_of_a_batch_can_be_printed(page: Page, broker: Broker, store: ObjectStore) -> None:
    put_model(store)
    line = Line()
    publish(broker, *(line.verdict("break" if number == 3 else None) for number in range(20)))
    page.goto("/")
    expect(page.locator("[data-field='accounting.inspected']")).to_have_text("20")
    page.goto("/lines/line-1/batches")
    page.get_by_role("link", name="batch-7").click()
    expect(page.locator("h1")).to_contain_text("batch-7")
    expect(page.locator(".figures")).to_contain_text("5.00%")
    expect(page.locator(".gallery li")).to_have_count(1)
    page.emulate_media(media="print")
    expect(page.locator("header.bar")).to_be_hidden()
    expect(page.locator(".report")).to_contain_text("model-1")


def test_an_invalid_filter_shows_its_problem(page: Page) -> None:
    page.goto("/quality?from=2026-02-01T00:00&to=2026-01-01T00:00")
    expect(page.get_by_role("alert")).to_contain_text("before `to`")
    page.goto("/quality?shift=x")
    expect(page.get_by_role("alert")).to_contain_text("invalid value")
