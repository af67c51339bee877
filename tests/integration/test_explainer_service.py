"""Inference and explainer as processes of their own: frames in, heatmaps out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import topology
from shared.messages import FrameExplained
from shared.storage.filesystem import FilesystemStore
from shared.vision.codec import decode
from tests.broker_address import BrokerAddress
from tests.collector import Collector
from tests.models import captured, paint_bundle, painted, promote
from tests.workers import Line

COLOURS = ("black", "blue", "green", "red")


@pytest.fixture
def line(broker_address: BrokerAddress, tmp_path: Path) -> Iterator[Line]:
    line = Line(broker_address, tmp_path)
    yield line
    line.broker.close()


def test_every_flagged_frame_is_explained_and_no_other(line: Line) -> None:
    store = FilesystemStore(line.objects)
    promote(store, paint_bundle("v1", keras=True))
    explained = Collector(line.broker, topology.DASHBOARD_EXPLANATIONS, FrameExplained)
    with line.running("explainer"), line.worker():
        line.send(*[captured(number, painted(COLOURS[number % 4])) for number in range(24)])
        flagged = {answer.frame.frame_id for answer in line.judged(24) if answer.flagged}
        told = explained.until(lambda told: len(told) >= 12, seconds=120)
    assert {answer.frame.frame_id for answer in told} == flagged
    for answer in told:
        assert answer.reason == ""
        assert set(answer.heatmaps) == {"good", "error" if answer.frame.sequence % 4 == 1 else "break"}
        assert answer.overlay_key
        assert decode(store.get(answer.overlay_key)).shape == (48, 64, 3)
        for heatmap in answer.heatmaps.values():
            assert decode(store.get(heatmap.key)).shape == (48, 64, 3)
    assert line.broker.depth(topology.EXPLAINER_FLAGGED.name).total == 0
