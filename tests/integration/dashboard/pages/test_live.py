"""The page of the lines, and of one frame, in a real browser: what an operator sees."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from services.dashboard.settings import DashboardSettings
from shared.contracts.live import LiveFrame, LiveImage, live_key
from shared.imaging.codec import encode
from shared.messages import CheckCause, DueCheck, FrameInspected, WorkerReported
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from tests.browsers import SOON, is_loaded, put_images
from tests.dashboards import embedded_settings, open_dashboard, publish, put_model
from tests.integration.dashboard.api.test_outputs import REPORT
from tests.messages import MOMENT
from tests.verdicts import RECIPE, Line, decision_of, explanation_of, findings

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture
def settings(tmp_path: Path) -> DashboardSettings:
    return embedded_settings(tmp_path, time_zone="Pacific/Kiritimati")


def working() -> WorkerReported:
    return WorkerReported(
        service="inference",
        worker="pc-7",
        host="pc",
        recipe="seam",
        model_version="v1",
        handled=119,
        messages_per_second=23.8,
        started_at=datetime.now(UTC) - timedelta(hours=3, minutes=30),
        at=datetime.now(UTC),
    )


def test_a_defect_appears_live_with_its_heatmap(page: Page, broker: Broker, store: ObjectStore) -> None:
    put_model(store)
    page.goto("/")
    expect(page.locator("#empty")).to_be_visible()

    line = Line()
    waiting = WorkerReported(
        service="explainer",
        worker="pc-8",
        host="pc",
        model_version=None,
        handled=0,
        reason="no model",
        at=datetime.now(UTC),
    )
    publish(broker, line.verdict(), line.report(), working(), waiting)
    state = page.locator("section.line .line-state")
    expect(state).to_contain_text("OK")
    workers = page.locator("#workers tbody tr")
    expect(workers.nth(0)).to_contain_text(re.compile(r"explainer\s*pc\s*8\s*▲ no model\s*–\s*0\.0"))
    expect(workers.nth(1)).to_contain_text(re.compile(r"inference\s*pc\s*7\s*● running\s*seam v1\s*23\.8\s*119\s*3 h"))
    expect(workers.nth(1).get_by_role("link")).to_have_attribute("href", "/models/seam/v1")
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


def test_a_newer_defect_is_not_replaced_by_an_older_one_that_loads_longer(
    page: Page, broker: Broker, store: ObjectStore
) -> None:
    for version in ("model-1", "model-2"):
        put_model(store, version)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/api/models/seam/versions/model-1", hold)
    page.goto("/")
    line = Line()
    older, newer = line.verdict("break"), line.verdict("error", model_version="model-2")
    publish(broker, older)
    expect(page.locator("section.line .line-state")).to_contain_text("NG")
    publish(broker, newer)
    hero = page.locator("[data-hero]")
    expect(hero).to_have_attribute("data-frame", newer.frame.frame_id)
    with page.expect_response("**/api/models/seam/versions/model-1"):
        held.pop().continue_()
    expect(page.locator("[data-strip] a")).to_have_attribute("href", f"/frames/{older.frame.frame_id}")
    expect(hero).to_have_attribute("data-frame", newer.frame.frame_id)


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
    due = page.locator("[data-due]")
    expect(due).to_be_hidden()
    publish(broker, REPORT.model_copy(update={"due_check": DueCheck(cause=CheckCause.SHIFT, since=MOMENT)}))
    expect(due).to_contain_text("Not ready: a check is due since")
    expect(due.get_by_role("link")).to_have_attribute("href", "/checks/line-1")


def test_a_line_that_inspects_old_frames_is_behind_and_not_ok(page: Page, broker: Broker) -> None:
    line = Line(start=datetime.now(UTC) - timedelta(minutes=50, seconds=10))
    verdict = line.verdict()
    publish(broker, verdict, line.report(captured=1500))
    page.goto("/")
    state = page.locator("section.line .line-state")
    expect(state).to_contain_text(re.compile("Behind by 5[0-5] min"))
    expect(state).not_to_contain_text("OK")
    captured = verdict.frame.captured_at.astimezone(ZoneInfo("Pacific/Kiritimati"))
    expect(state.locator("[data-since]")).to_have_text(f"{captured:%H:%M:%S}")


def put_live_image(store: ObjectStore, verdict: FrameInspected) -> None:
    """Store an image of a frame as a worker does."""
    about = LiveFrame(frame=verdict.frame, verdict=verdict.verdict, reason=verdict.reason, encoding="png")
    content = encode(np.full((30, 40, 3), 90, np.uint8), "png")
    store.put(live_key(verdict.frame.line, verdict.frame.camera), LiveImage(about, content).encode())


def test_the_current_image_is_beside_the_last_ng_one_and_follows_the_camera(
    page: Page, broker: Broker, store: ObjectStore
) -> None:
    put_model(store)
    line = Line()
    first, second = line.verdict(), line.verdict("break")
    put_images(store, second)
    put_live_image(store, first)
    publish(broker, first, line.report())
    page.goto("/")
    shown = page.locator("[data-live] li")
    expect(shown).to_have_attribute("data-frame", first.frame.frame_id)
    expect(shown.get_by_role("img", name="Image of camera-1: no fault")).to_have_js_property("width", 40)
    expect(page.locator("dl.run")).to_contain_text("batch-7")
    expect(page.locator("[data-field=shift]")).to_have_text(re.compile("[123]"))
    put_live_image(store, second)
    publish(broker, second)
    expect(shown).to_have_attribute("data-frame", second.frame.frame_id)
    expect(shown).to_contain_text("✕ break")
    expect(page.locator("[data-hero]")).to_be_visible()


def test_the_wall_shows_one_line_without_the_bar_and_sounds_on_ng(
    page: Page, broker: Broker, store: ObjectStore
) -> None:
    put_model(store)
    line, other = Line(), Line("line-2")
    publish(broker, line.verdict(), line.report(), other.verdict(), other.report())
    page.goto("/?kiosk=line-1")
    expect(page.locator("#line-line-1 .line-state")).to_contain_text("OK")
    expect(page.locator("#line-line-2")).to_be_hidden()
    expect(page.locator("header.bar")).to_be_hidden()
    page.get_by_role("button", name="Turn sound on").click()
    verdict = line.verdict("break")
    publish(broker, other.verdict("error"), verdict)
    expect(page.locator("body")).to_have_attribute("data-sounded", verdict.frame.frame_id)
    page.get_by_role("link", name="Leave full screen").click()
    expect(page.locator("header.bar")).to_be_visible()


OVERLAPPING = """([one, other]) => {
  const [a, b] = [one, other].map((name) => document.querySelector(name).getBoundingClientRect());
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}"""


@pytest.mark.parametrize("width", [1280, 390])
def test_on_the_wall_the_buttons_cover_nothing_and_the_latency_is_whole(page: Page, broker: Broker, width: int) -> None:
    line = Line()
    publish(broker, line.verdict(latency_ms=50_200.0), line.report())
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/?kiosk=line-1")
    latency = page.locator("#line-line-1 [data-limit=latency] dd")
    expect(latency).to_contain_text("50.2")
    assert latency.evaluate("each => each.scrollWidth <= each.clientWidth")
    assert not page.evaluate(OVERLAPPING, [".kiosk-actions", "#line-line-1 h1"])
    assert not page.evaluate(OVERLAPPING, [".kiosk-actions", "#line-line-1 .run"])


def test_a_line_of_exclusive_classes_has_the_class_as_its_headline_and_counts_classes(
    page: Page, broker: Broker, store: ObjectStore
) -> None:
    put_model(store, recipe=RECIPE.replace("multi-label", "exclusive"))
    line = Line()
    one = {label: found.model_copy(update={"present": label == "good"}) for label, found in findings(None).items()}
    publish(broker, *(line.verdict(findings=one) for _ in range(3)), line.report())
    page.goto("/")
    expect(page.locator("[data-title]")).to_have_text("good")
    expect(page.locator("[data-rates-title]")).to_have_text("Classes over the last hour")
    expect(page.locator("[data-rates] tr", has_text="good")).to_contain_text("3 of 3")
    expect(page.locator("[data-rates]")).not_to_contain_text("not good")


def test_a_latency_beyond_its_limit_is_marked(page: Page, broker: Broker) -> None:
    line = Line()
    publish(broker, line.verdict(latency_ms=700_000.0), line.report())
    page.goto("/")
    expect(page.locator("[data-limit=latency]")).to_have_class("alarm")
    expect(page.locator("[data-limit=rate]")).not_to_have_class("alarm")


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
