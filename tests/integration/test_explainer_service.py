"""Inference and explainer as processes of their own: frames in, heatmaps out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared import topology
from shared.imaging.codec import decode, encode
from shared.messages import ExplanationRequested, FrameExplained, FrameInspected
from shared.storage.filesystem import FilesystemStore
from tests.broker_address import BrokerAddress
from tests.collector import Collector
from tests.models import captured, paint_bundle, painted, promote
from tests.processes import wait_until
from tests.workers import Line

COLOURS = ("black", "blue", "green", "red")


@pytest.fixture
def line(rabbitmq: BrokerAddress, tmp_path: Path) -> Iterator[Line]:
    """On RabbitMQ; `test_embedded_line` has the embedded broker."""
    line = Line(rabbitmq, tmp_path)
    yield line
    line.broker.close()


def _request(passed: FrameInspected, key: str) -> ExplanationRequested:
    return ExplanationRequested(verdict=passed.model_copy(update={"image_key": key}), by="ada", at=datetime.now(UTC))


def test_every_flagged_frame_is_explained_and_another_on_demand(line: Line) -> None:
    store = FilesystemStore(line.objects)
    promote(store, paint_bundle("v1", keras=True))
    explained = Collector(line.broker, topology.DASHBOARD_EXPLANATIONS, FrameExplained)
    with line.running("explainer"), line.worker():
        line.send(*[captured(number, painted(COLOURS[number % 4])) for number in range(24)])
        flagged = {answer.frame.frame_id for answer in line.judged(24) if answer.flagged}
        received = list(explained.until(lambda received: len(received) >= 12))
        passed = next(answer for answer in line.verdicts.messages if not answer.flagged)
        key = f"{passed.frame.storage_key}/image.png"
        store.put(key, encode(painted("black"), "png"))
        line.send(_request(passed, key))
        (on_demand,) = explained.until(lambda received: len(received) >= 13)[12:]
        wait_until(lambda: line.broker.depth(topology.EXPLAINER_FLAGGED.name).total == 0, 60, "an empty queue")
    assert {answer.frame.frame_id for answer in received} == flagged
    assert on_demand.frame == passed.frame
    assert set(on_demand.heatmaps) == {"good"}
    for answer in received:
        assert answer.reason == ""
        assert set(answer.heatmaps) == {"good", "error" if answer.frame.sequence % 4 == 1 else "break"}
        assert answer.overlay_key
        assert decode(store.get(answer.overlay_key)).shape == (48, 64, 3)
        for heatmap in answer.heatmaps.values():
            assert decode(store.get(heatmap.key)).shape == (32, 32, 3)
