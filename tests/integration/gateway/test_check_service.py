"""The check of a line with a gateway and an inference worker as processes of their own, over both brokers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.gateway.journal import Journal
from shared import topology
from shared.imaging.codec import encode
from shared.messages import ChallengeImage, ChallengePart, Expected, LineChecked, PartDecided, challenge_folder
from shared.storage.filesystem import FilesystemStore
from tests.broker_address import BrokerAddress
from tests.challenges import check
from tests.collector import Collector
from tests.models import captured, paint_bundle, paint_recipe, painted, promote
from tests.workers import Line

COLOURS = {"good": "black", "broken": "green", "wrong": "blue"}


@pytest.fixture
def line(broker_address: BrokerAddress, tmp_path: Path) -> Iterator[Line]:
    line = Line(broker_address, tmp_path)
    yield line
    line.broker.close()


def challenge(store: FilesystemStore, name: str, expected: Expected, *defects: str) -> ChallengePart:
    """A part whose image is in the challenge set."""
    key = f"{challenge_folder('line-1')}/{name}.png"
    store.put(key, encode(painted(COLOURS[name]), "png"))
    image = ChallengeImage(camera="camera-1", key=key, encoding="png", width=64, height=48)
    return ChallengePart(name=name, expected=expected, defects=defects, images=(image,))


def test_a_check_goes_from_the_workers_queue_to_the_output_and_production_counts_its_own_frames_alone(
    line: Line, tmp_path: Path
) -> None:
    store = FilesystemStore(line.objects)
    recipe = paint_recipe("parts: {of: frame, deadline_ms: 600000}\ncheck: {required: change, while_due: reject}\n")
    promote(store, paint_bundle("v1", recipe=recipe))
    parts = (
        challenge(store, "good", Expected.OK),
        challenge(store, "broken", Expected.NG, "break"),
        challenge(store, "wrong", Expected.NG, "break"),
    )
    output = {"type": "file", "folder": str(tmp_path / "mes"), "format": "jsonl", "every_seconds": 0.1}
    lines = tmp_path / "lines.yaml"
    lines.write_text(json.dumps({"lines": {"line-1": {"outputs": {"mes": output}}}}))
    passing, failing = check(*parts[:2], part_seconds=600.0), check(*parts, part_seconds=600.0)
    with (
        Collector(line.broker, topology.DASHBOARD_CHECKS, LineChecked) as records,
        Collector(line.broker, topology.DASHBOARD_PARTS, PartDecided) as decisions,
        line.running("gateway", FOLDER=str(tmp_path / "gateway"), LINES=str(lines)),
        line.worker(),
    ):
        line.send(captured(0, painted("black")))
        decisions.until(lambda received: len(received) == 1)
        line.send(passing)
        records.until(lambda received: len(received) == 1)
        line.send(captured(1, painted("black")))
        decisions.until(lambda received: len(received) == 2)
        line.send(captured(2, painted("green")), failing)
        records.until(lambda received: len(received) == 2)
        decisions.until(lambda received: len(received) == 3)
        line.judged(3)
    first, second = records.messages
    assert (first.check_id, first.passed, first.recipe, first.model_versions) == (
        passing.check_id,
        True,
        "paint",
        ("v1",),
    ), first.reason
    assert [each.verdict for each in first.parts] == ["ok", "ng"]
    assert (second.check_id, second.passed) == (failing.check_id, False)
    assert second.reason == "1 of 3 parts failed: wrong has to be NG by break: 1 of 1 frames are NG: good, error"
    assert [(each.name, each.sent, each.missed) for each in second.outputs] == [("mes", 3, 0)]
    assert [verdict.frame.check for verdict in line.verdicts.messages] == [None, None, None]
    assert [decision.verdict for decision in decisions.messages] == ["ok", "ok", "ng"]
    before, after, _ = decisions.messages
    assert (before.unchecked, before.action, before.reason) == (True, "reject", "no fault; a check is due")
    assert (after.unchecked, after.action, after.reason) == (False, "pass", "no fault")
    for queue in topology.QUEUES:
        assert line.broker.depth(queue.parked).total == 0
    signals = [
        json.loads(text) for file in (tmp_path / "mes").glob("*.jsonl") for text in file.read_text().splitlines()
    ]
    assert sorted((each["test"], each["check"] or "", each["part"]) for each in signals if each["test"]) == sorted(
        (True, request.check_id, part.name) for request in (passing, failing) for part in request.parts
    )
    with Journal(tmp_path / "gateway", timedelta(days=7)) as journal:
        assert journal.totals("line-1") == {"ok": 2, "ng": 1}
