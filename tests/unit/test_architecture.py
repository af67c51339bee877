"""The image of the architecture shows the topology that the code builds."""

import re
from pathlib import Path

from shared import topology

IMAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[1]


def test_the_image_shows_every_exchange_and_queue_and_no_other() -> None:
    assert set(re.findall(r"\{\{(.+?)\}\}", IMAGE)) == set(topology.EXCHANGES)
    assert set(re.findall(r"\[\((.+?)\)\]", IMAGE)) == {queue.name for queue in topology.QUEUES}


def test_the_image_names_every_message_but_the_reports() -> None:
    reports = {"CameraReported", "WorkerReported", "GatewayReported"}
    shown = {word for word in re.findall(r"[A-Z][A-Za-z]+", IMAGE) if word[1:] != word[1:].lower()}
    assert (
        shown - {"IF", "IP", "DV", "EF", "ER", "DE", "TC", "DM", "DR", "LR", "GV", "GR", "GC", "GK", "DK", "DP"}
        == {kind.__name__ for kind in topology.EXCHANGE_OF} - reports
    )
