"""When a service is healthy, and what ``/healthz`` answers."""

from __future__ import annotations

import httpx

from shared.health import Health, serve_health
from shared.settings import ServiceSettings
from tests.processes import free_port


class Clock:
    """A clock that the test sets, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_service_is_healthy_while_each_of_its_loops_turns() -> None:
    clock = Clock()
    health = Health(silence_seconds=10, clock=clock)
    beside = health.add_loop()
    clock.now = 9
    health.beat()
    assert health.healthy
    clock.now = 11
    assert not health.healthy, "the other loop has been silent for 11 seconds"
    beside.beat()
    assert health.healthy
    clock.now = 20
    beside.beat()
    assert not health.healthy, "the main loop has been silent for 11 seconds"


def test_a_stalled_part_is_named_and_makes_the_service_unhealthy() -> None:
    clock = Clock()
    health = Health(silence_seconds=10, clock=clock)
    health.add_loop("the loop of requests")
    asked: list[float] = []

    def troubles(silence_seconds: float) -> list[str]:
        asked.append(silence_seconds)
        return ["the publisher's thread has ended"] if clock.now else []

    health.add_check(troubles)
    settings = ServiceSettings(health_port=free_port())
    serve_health(health, settings)
    address = f"http://127.0.0.1:{settings.health_port}/healthz"
    well = httpx.get(address, trust_env=False, timeout=60)
    assert (well.status_code, well.text) == (200, "ok\n")
    clock.now = 11
    health.beat()
    unwell = httpx.get(address, trust_env=False, timeout=60)
    assert unwell.status_code == 503
    assert unwell.text == "the loop of requests is stalled\nthe publisher's thread has ended\n"
    assert set(asked) == {10}


def test_a_loop_whose_turns_take_longer_may_stand_longer() -> None:
    clock = Clock()
    health = Health(silence_seconds=10, clock=clock)
    health.add_loop("the thread that trains", silence_seconds=100)
    clock.now = 99
    health.beat()
    assert health.healthy
    clock.now = 101
    health.beat()
    assert health.troubles == ["the thread that trains is stalled"]
