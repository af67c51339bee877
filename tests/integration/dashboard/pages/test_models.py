"""The pages of models in a real browser: a training from its form to the line and back, with a trainer that trains."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from services.dashboard.settings import DashboardSettings
from shared.contracts.bundle import read_bundle, versions
from shared.contracts.promotion import production_version
from shared.datasets.importing import import_dataset
from shared.datasets.reading import read_dataset
from shared.messages import TrainingCancelled, TrainingProgressed, TrainingRequested, TrainingState
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from tests.browsers import is_loaded
from tests.dashboards import commands, publish, put_model, put_yesterday
from tests.integration.dashboard.api.test_thresholds import put_scored_images, put_scores
from tests.processes import ChildServer
from tests.strokes import LABELS, STROKES, draw_strokes
from tests.verdicts import Line

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

TRAINED = 300_000
"""Milliseconds; generous: the trainer loads TensorFlow, and the machine may be busy."""


def put_dataset(store: ObjectStore, folder: Path) -> None:
    import_dataset(
        read_dataset(draw_strokes(folder / "strokes", 80), LABELS), store, "strokes", by="ada", source="a test"
    )


@pytest.fixture
def trainer(settings: DashboardSettings, store: ObjectStore, tmp_path: Path) -> Iterator[None]:
    """A trainer as it runs, and images that are learned in seconds."""
    put_dataset(store, tmp_path)
    environment = {
        **os.environ,
        "TRAINER_BROKER_URL": settings.broker_url,
        "TRAINER_STORAGE_URL": settings.storage_url,
        "TRAINER_WORK_FOLDER": str(tmp_path / "work"),
        "TF_NUM_INTRAOP_THREADS": "1",
    }
    command: list[str | Path] = [sys.executable, "-m", "services.trainer"]
    process = ChildServer(command, tmp_path / "trainer.log", lambda: True, environment)
    process.start()
    yield
    process.remove()


def fill_in(page: Page) -> None:
    page.goto("/models")
    page.get_by_role("link", name="Train a model").click()
    page.get_by_text("A recipe as YAML").click()
    page.get_by_label("Recipe as YAML").fill(STROKES)
    page.get_by_text("Advanced options").click()
    page.get_by_label("compact").check()
    page.get_by_label("Also an INT8 variant").uncheck()
    for field, value in {"Epochs": "many", "Batch size": "16", "Train": "60", "Validation": "20", "Test": "20"}.items():
        page.get_by_label(field, exact=True).fill(value)


@pytest.mark.timeout(1500)
def test_a_model_is_trained_promoted_tuned_and_rolled_back(page: Page, store: ObjectStore, trainer: None) -> None:
    fill_in(page)
    page.get_by_role("button", name="Start the training").click()
    expect(page.locator("#problem-epochs")).to_contain_text("give a whole number")
    expect(page.locator(".counts")).to_contain_text("80 images")
    expect(page.get_by_label("Recipe as YAML")).to_have_value(STROKES.lstrip())
    expect(page.locator("select[name=dataset]")).to_have_value("strokes")
    page.get_by_label("Epochs", exact=True).fill("4")
    page.get_by_role("button", name="Start the training").click()

    expect(page.locator("#state")).to_contain_text(re.compile("running|finished"), timeout=TRAINED)
    expect(page.locator("#curves figure svg").first).to_be_visible(timeout=TRAINED)
    expect(page.locator("#state")).to_contain_text("✓ finished", timeout=TRAINED)
    expect(page.locator("#curves")).to_have_attribute("data-epochs", "4")
    page.locator("#state").get_by_role("link").click()

    expect(page.locator("table.correct")).to_contain_text("accuracy")
    page.get_by_role("button", name="Promote", exact=True).click()
    expect(page.locator("#promotion")).to_contain_text("nothing was in production", timeout=TRAINED)
    expect(page.locator("#status")).to_contain_text("in production", timeout=TRAINED)
    (first,) = versions(store, "strokes")
    assert production_version(store, "strokes") == first

    model = page.url
    page.goto("/trainings/new")
    expect(page.locator("#estimate")).to_contain_text("as 1 earlier training here did")
    page.goto(model)
    _thresholds_are_moved_and_saved(page, first)
    (second,) = set(versions(store, "strokes")) - {first}
    assert read_bundle(store, "strokes", second).manifest.author == "local"

    page.get_by_label("Reason", exact=True).fill("fewer overkills")
    page.get_by_role("button", name="Promote", exact=True).click()
    expect(page.locator("#promotion")).to_contain_text("too few test images", timeout=TRAINED)
    page.get_by_text("Force the promotion", exact=True).click()
    page.get_by_label("Reason for overruling the promotion check").fill("tried by hand")
    page.get_by_role("button", name="Force promotion").click()
    expect(page.locator("#promotion")).to_contain_text("Promoted, by force", timeout=TRAINED)
    page.get_by_role("button", name="Compare on the same images").click()
    expect(page.locator("table.sides")).to_contain_text("escape rate", timeout=TRAINED)

    page.goto("/models")
    page.get_by_text(f"Roll back to {first}").click()
    page.get_by_label("Reason", exact=True).fill("called a good part NG")
    page.get_by_role("button", name="Roll back", exact=True).click()
    expect(page.locator("#production a.version")).to_have_text(first, timeout=TRAINED)
    expect(page.locator("#history tbody tr").first).to_contain_text("rolled back")
    assert production_version(store, "strokes") == first


def _thresholds_are_moved_and_saved(page: Page, version: str) -> None:
    page.get_by_role("link", name="Change the thresholds").click()
    page.wait_for_url("**/thresholds")
    escapes = page.locator("#effect dd").first
    before = escapes.inner_text()
    for label in ("dark", "bright"):
        page.get_by_label(f"Threshold of {label}").fill("0.999")
    page.get_by_label("Threshold of good").fill("0.001")
    expect(escapes).to_have_text(re.compile(r"^(100\.0%|(\d) of \2)$"))  # of few NG images the counts stand alone
    expect(page.locator("#yesterday")).to_contain_text("No frames yesterday")
    page.get_by_role("button", name="Reset all thresholds").click()
    expect(escapes).to_have_text(before)
    expect(page.locator("#changed")).to_contain_text("None: move a slider")
    page.get_by_label("Threshold of dark").fill("0.9")
    page.get_by_role("button", name="Save the thresholds").click()
    expect(page.get_by_role("alert")).to_contain_text("give a reason")
    expect(page.locator("[data-number=threshold-dark]")).to_have_value("0.9")
    page.get_by_label("Reason").fill("dark threads are not dark strokes")
    page.get_by_role("button", name="Save the thresholds").click()
    expect(page.locator("#set")).to_contain_text("Saved", timeout=TRAINED)
    page.locator("#set").get_by_role("link").click()
    expect(page.locator("main")).to_contain_text("dark threads are not dark strokes")
    expect(page.locator("main")).to_contain_text(version)


def test_a_version_is_named_and_the_name_stands_beside_its_id(page: Page, broker: Broker, store: ObjectStore) -> None:
    for version in ("model-1", "model-2"):
        put_model(store, version)
    line = Line(start=datetime.now(UTC) - timedelta(minutes=5))
    publish(broker, line.verdict("break"), line.verdict(after=60, model_version="model-2"))
    page.goto("/models/seam/model-2")
    page.get_by_text("Give it a name").click()
    page.get_by_label("Name").fill("Spring seams, <new> camera")
    page.get_by_role("button", name="Save the name").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Spring seams, <new> camera")
    expect(page.locator(".heading")).to_contain_text("model-2")
    named = "model-2 (Spring seams, <new> camera)"
    page.goto("/")
    expect(page.locator("[data-model]")).to_have_text(named)
    page.goto("/quality?span=hour&by=model")
    expect(page.locator("#breakdown tbody")).to_contain_text(named)
    expect(page.locator("#breakdown tbody")).to_contain_text("model-1")
    expect(page.locator("main")).to_contain_text(f"{named} began to inspect")
    page.goto("/frames")
    page.get_by_text("More filters").click()
    page.get_by_label("Model").select_option(label=named)
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".tiles > li")).to_have_count(1)
    page.locator(".tiles a").first.click()
    expect(page.locator("main")).to_contain_text(named)


def test_thresholds_show_their_effect_on_yesterdays_frames(page: Page, store: ObjectStore) -> None:
    put_model(store, dataset=put_scored_images(store))
    put_scores(store)
    put_yesterday(store, None, "break", None)
    page.goto("/models/seam/model-1/thresholds")
    figures = page.locator("#yesterday dd")
    expect(figures.first).to_have_text("0")
    page.get_by_label("Threshold of good").fill("0.95")
    expect(figures.first).to_have_text("2")
    expect(page.locator("#yesterday")).to_contain_text("of 2 OK frames")
    expect(page.locator("#yesterday")).to_contain_text("of 3 frames")
    expect(page.locator("#changed")).to_contain_text("Newly called NG: 1")
    is_loaded(page, "#changed img")
    page.get_by_label("Threshold of break").fill("0.95")
    page.get_by_label("Threshold of good").fill("0.002")
    expect(page.locator("#yesterday")).to_contain_text("of 1 NG frames")
    expect(figures.nth(2)).to_have_text("1")
    expect(page.locator("#changed")).to_contain_text("Newly missed: 1")


def told(
    training_id: str, state: TrainingState, reason: str = "", epoch: int = 0, stage: str = ""
) -> TrainingProgressed:
    """As the trainer says it."""
    return TrainingProgressed(
        training_id=training_id,
        recipe="strokes",
        state=state,
        reason=reason,
        stage=stage,
        epoch=epoch,
        epochs=9 if epoch else 0,
        metrics={"loss": 1 / epoch, "val_loss": 2 / epoch, "val_average_precision": 1 - 1 / epoch} if epoch else {},
        at=datetime.now(UTC),
    )


def order_one(page: Page, broker: Broker, dataset: str = "strokes") -> str:
    fill_in(page)
    page.locator("select[name=dataset]").select_option(dataset)
    page.get_by_label("Epochs", exact=True).fill("9")
    page.get_by_role("button", name="Start the training").click()
    expect(page.locator("#state")).to_contain_text("waiting")
    (asked,) = commands(broker)
    assert isinstance(asked, TrainingRequested)
    assert asked.dataset == dataset
    return asked.training_id


def test_a_training_is_watched_live_and_cancelled(
    page: Page, broker: Broker, store: ObjectStore, tmp_path: Path
) -> None:
    put_dataset(store, tmp_path)
    training_id = order_one(page, broker)
    for epoch in (1, 2):
        publish(broker, told(training_id, TrainingState.RUNNING, epoch=epoch))
        expect(page.locator("#state")).to_contain_text(f"epoch {epoch} of 9")
    expect(page.locator("#curves .dots")).to_have_count(6)
    publish(broker, told(training_id, TrainingState.RUNNING, stage="measuring heatmaps"))
    expect(page.locator("#state")).to_contain_text("measuring heatmaps")
    page.get_by_role("button", name="Cancel the training").click()
    (cancelled,) = commands(broker)
    assert isinstance(cancelled, TrainingCancelled)
    publish(broker, told(training_id, TrainingState.CANCELLED))
    expect(page.locator("#state")).to_contain_text("■ cancelled")
    expect(page.get_by_role("button", name="Cancel the training")).to_have_count(0)


def test_a_training_that_failed_says_why(page: Page, broker: Broker, store: ObjectStore, tmp_path: Path) -> None:
    put_dataset(store, tmp_path)
    training_id = order_one(page, broker)
    publish(broker, told(training_id, TrainingState.FAILED, "labels.csv, line 2: 'maybe' is no truth"))
    expect(page.locator("#state")).to_contain_text("✕ failed")
    expect(page.locator("#state")).to_contain_text("'maybe' is no truth")
