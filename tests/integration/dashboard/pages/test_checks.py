"""The pages of checks in a real browser: an engineer makes a challenge set, and an operator runs a check."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from shared.imaging.codec import encode
from shared.messages import CheckRequested, GatewayReported, decode
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.topology import GATEWAY_COMMANDS
from tests.challenges import record_of
from tests.dashboards import publish, put_model
from tests.integration.dashboard.pages.test_navigation import barriers
from tests.models import painted
from tests.verdicts import Line

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_a_check_is_prepared_and_run_and_its_record_appears_by_itself(
    page: Page, broker: Broker, store: ObjectStore, tmp_path: Path
) -> None:
    put_model(store)
    report = GatewayReported(gateway="gateway-1", line="line-1", online=True, at=datetime.now(UTC))
    publish(broker, Line().verdict(), report)
    page.goto("/")
    page.get_by_role("link", name="Check", exact=True).click()
    expect(page.get_by_role("button", name="Run check")).to_be_disabled()
    for name, expected, colour in (("good-1", "ok", "black"), ("break-1", "ng", "green")):
        file = tmp_path / f"{name}.png"
        file.write_bytes(encode(painted(colour), "png"))
        page.get_by_label("Name").fill(name)
        page.get_by_label("Expected").select_option(expected)
        page.get_by_label("Defects").select_option(["break"] if expected == "ng" else [])
        page.get_by_label("Images").set_input_files(file)
        page.get_by_role("button", name="Store").click()
        expect(page.get_by_role("rowheader", name=name)).to_be_visible()
    expect(page.get_by_alt_text("Image of good-1 by camera-1")).to_have_js_property("naturalWidth", 64)
    assert barriers(page) == []
    page.evaluate("document.querySelector('[data-once]').addEventListener('submit', (event) => event.preventDefault())")
    page.get_by_role("button", name="Run check").click()
    expect(page.get_by_role("button", name="Run check")).to_be_disabled()
    page.reload()
    page.get_by_role("button", name="Run check").click()
    expect(page.get_by_role("status").last).to_contain_text("has not ended yet")
    subscription = broker.subscribe(GATEWAY_COMMANDS, 1)
    (delivery,) = subscription.receive(1, 60)
    subscription.acknowledge([delivery])
    request = decode(delivery.body)
    assert isinstance(request, CheckRequested)
    publish(broker, record_of(request))
    expect(page.locator(".answer")).to_contain_text("Passed")
    expect(page.get_by_role("row").filter(has_text="break-1")).to_contain_text("✓ passed")
    assert barriers(page) == []
    page.get_by_role("link", name="All checks").click()
    expect(page.get_by_role("row").filter(has_text="local").first).to_contain_text("✓ passed")
