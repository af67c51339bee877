"""The encrypted line on three RabbitMQ nodes: the node that leads the frames is killed, then another one is cut off."""

from __future__ import annotations

from typing import Any, Final

import httpx
import pytest

from tests.e2e.composed import FLOW, ComposedLine, docker, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

EACH: Final = 600
"""Frames that are captured at full rate while a node fails."""
UNDER_WAY: Final = 30
"""Frames that are inspected before the node fails."""
READERS: Final = set(FLOW[1:])


@pytest.fixture(scope="module")
def line_of_nodes(encrypted: ComposedLine) -> ComposedLine:
    encrypted.add_nodes()
    return encrypted


def test_nothing_is_lost_or_counted_twice_when_a_node_is_killed_and_another_is_cut_off(
    line_of_nodes: ComposedLine,
) -> None:
    line = line_of_nodes
    started = line.started(*FLOW[1:])
    with line.api() as api:
        captured = wait_for(lambda: line.accounting(api), 120, "the line's account")["captured"]
        wait_for(lambda: line.settled(api, captured), 120, "the frames of before")

        killed = line.leader("inference.frames")
        _play_until_under_way(line, api, captured)
        docker("kill", *(str(container.ID) for container in line.containers(killed)))
        line.must("restart", "--timeout", "10", "redis", "object-store")
        captured += EACH
        _wait_for_all_without(line, api, killed, captured)
        line.must("start", killed)
        wait_for(line.has_every_copy, 120, f"{killed} to have every queue again")

        isolated = line.leader("inference.frames")
        _play_until_under_way(line, api, captured)
        captured += EACH
        with line.cut_off(isolated):
            _wait_for_all_without(line, api, isolated, captured)
        wait_for(line.has_every_copy, 120, f"{isolated} to have every queue again")
        counts = wait_for(lambda: line.settled(api, captured), 60, "the same account with all nodes")
    assert counts["captured"] == captured == counts["inspected"]
    assert (counts["dropped"], counts["parked"], counts["error"]) == (0, 0, 0)
    assert counts["explained"] == counts["flagged"]
    assert line.started(*FLOW[1:]) == started, "a service survives without a restart"


def _play_until_under_way(line: ComposedLine, api: httpx.Client, captured: int) -> None:
    """Play frames, and return while some are inspected and others are not."""
    line.play(EACH)

    def under_way() -> bool:
        counts = line.accounting(api)
        return bool(counts) and counts["inspected"] >= captured + UNDER_WAY and counts["in_flight"] > 0

    wait_for(under_way, 120, "frames to be under way")


def _wait_for_all_without(line: ComposedLine, api: httpx.Client, away: str, captured: int) -> dict[str, Any]:
    """Wait until every frame is settled and each service is connected, while one node is away."""
    counts = wait_for(lambda: line.settled(api, captured), 200, f"all frames settled without {away}")
    wait_for(lambda: line.connected(away) >= READERS, 60, f"every service to be connected without {away}")
    return counts
