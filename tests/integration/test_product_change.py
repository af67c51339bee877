"""A product change on a whole line: camera, workers and gateway as processes of their own, over RabbitMQ."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from ulid import ULID

from shared import topology
from shared.messages import FrameInspected, PartDecided, RecipeAnnounced, RecipeChangeRequested
from shared.storage.filesystem import FilesystemStore
from tests.broker_address import BrokerAddress
from tests.camera_videos import write_images
from tests.collector import Collector
from tests.models import paint_bundle, paint_recipe, promote
from tests.processes import free_port, wait_until
from tests.workers import Line

PARTS = "parts: {of: frames, frames: 2, deadline_ms: 600000}\n"


@pytest.fixture
def line(rabbitmq: BrokerAddress, tmp_path: Path) -> Iterator[Line]:
    line = Line(rabbitmq, tmp_path)
    yield line
    line.broker.close()


class Trigger:
    """The plant's side of HTTP triggers."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/trigger"
        wait_until(self._is_ready, 120, "the camera to be ready")

    def _is_ready(self) -> bool:
        try:
            return bool(httpx.get(self._url).json()["ready"])
        except httpx.TransportError:
            return False

    def fire(self, **fields: str) -> tuple[int, dict[str, Any]]:
        answer = httpx.post(self._url, json=fields, timeout=120)
        return answer.status_code, answer.json()


def change(recipe: str) -> RecipeChangeRequested:
    return RecipeChangeRequested(change_id=str(ULID()), line="line-1", recipe=recipe, by="eva", at=datetime.now(UTC))


def test_every_frame_is_inspected_by_the_recipe_of_its_part_through_changes_a_refusal_and_a_dead_worker(
    line: Line, tmp_path: Path
) -> None:
    store, port = FilesystemStore(line.objects), free_port()
    for recipe in ("paint", "bolt"):
        promote(store, paint_bundle(f"{recipe}-1", recipe=paint_recipe(PARTS, name=recipe)))
    write_images(tmp_path / "images", [f"{number:02}.png" for number in range(20)])
    camera = {
        "SOURCE": str(tmp_path / "images"),
        "OUTBOX_FOLDER": str(tmp_path / "outbox"),
        "TRIGGER_HTTP": f"127.0.0.1:{port}",
        "TRIGGER_SECONDS": "60",
        "REPORT_SECONDS": "0.3",
    }
    with (
        Collector(line.broker, topology.DASHBOARD_PARTS, PartDecided) as decisions,
        Collector(line.broker, topology.DASHBOARD_REPORTS, RecipeAnnounced) as announced,
        line.running("gateway", FOLDER=str(tmp_path / "gateway")),
        line.running("camera", **camera),
    ):
        trigger = Trigger(port)
        with line.worker() as worker:
            trigger.fire()
            line.judged(1)  # the gateway then knows how frames become parts
            announced.until(lambda received: any(each.recipes for each in received))
            line.send(change("bolt"))
            wait_until(lambda: "another recipe" in _log(tmp_path, "camera"), 120, "the camera to hear of the change")
            trigger.fire()
            trigger.fire()
            line.judged(3)
            worker.kill()
        trigger.fire()
        for _ in range(2):
            trigger.fire(recipe="paint")
        status, answer = trigger.fire(recipe="nut")
        assert (status, answer["cause"]) == (422, "refused")
        assert "no model of recipe nut is in production" in answer["reason"]
        line.send(refused := change("nut"))
        announced.until(lambda received: received[-1].answered == refused.change_id)
        assert (announced.messages[-1].recipe, bool(announced.messages[-1].refusal)) == ("bolt", True)
        for _ in range(2):
            trigger.fire()
        with line.worker():
            answers = line.judged(8)
            received = decisions.until(lambda received: len({each.part for each in received}) == 4)
    inspected = {answer.frame.sequence: answer for answer in answers}
    recipes = ["paint", "paint", "bolt", "bolt", "paint", "paint", "bolt", "bolt"]
    assert [_inspected(inspected[number]) for number in range(8)] == [(each, f"{each}-1") for each in recipes]
    parts = {each.frame.sequence: (each.recipe, each.model_versions, len(each.frames)) for each in received}
    assert parts == {number: (recipes[number], (f"{recipes[number]}-1",), 2) for number in (0, 2, 4, 6)}
    assert "not_inspected" not in {each.verdict for each in received}


def _inspected(answer: FrameInspected) -> tuple[str, str]:
    return answer.recipe, answer.model_version


def _log(folder: Path, service: str) -> str:
    return "".join(log.read_text() for log in folder.glob(f"{service}-*.log"))
