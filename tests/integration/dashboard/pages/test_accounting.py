"""The page of the accounting in a real browser: a QA engineer decides about a parked message."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from shared.messaging.port import Broker
from shared.topology import INFERENCE_FRAMES
from tests.dashboards import captured, park, publish
from tests.verdicts import Line

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_a_parked_frame_is_seen_replayed_and_the_decision_shown(page: Page, broker: Broker) -> None:
    line = Line()
    publish(broker, *line.verdicts(5))
    park(broker, INFERENCE_FRAMES, [captured(line)], "not an image")
    page.goto("/")
    page.locator("section.line").wait_for()
    page.get_by_role("link", name="Reconciliation").click()

    expect(page.locator(".parked li")).to_contain_text("not an image")
    expect(page.locator(".parked li")).to_contain_text("line-1, camera-1")
    row = page.locator("section:has(h2:text('By camera')) tbody tr")
    expect(row).to_contain_text("camera-1")
    page.get_by_label("Reason").fill("the lamp was off")
    page.get_by_role("button", name="Replay").click()

    expect(page.locator("main")).to_contain_text("No message is parked")
    decision = page.locator("section:has(#decisions) table")
    expect(decision).to_contain_text("replayed")
    expect(decision).to_contain_text("the lamp was off")
    assert broker.depth(INFERENCE_FRAMES.name).total == 1
