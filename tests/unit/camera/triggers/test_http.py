"""Triggers over HTTP: who may send them, and whose answer comes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from services.camera.settings import ListenAddress
from services.camera.triggers.http import HttpTriggers
from services.camera.triggers.triggers import Triggers
from shared.health import HEALTH_CONNECTIONS
from shared.messages import CameraState
from tests.messages import identity
from tests.processes import LOOPBACKS, free_port, wait_until


@pytest.fixture
def address() -> Iterator[str]:
    """The address of triggers without a token."""
    port = free_port()
    listener = HttpTriggers(
        Triggers("line-1", "camera-1", lambda: None, seconds=60), ListenAddress("127.0.0.1", port), ""
    )
    yield f"http://127.0.0.1:{port}/trigger"
    listener.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8090", 200), ("localhost", 200), ("[::1]:8090", 200), ("plant.example", 421), ("[", 421)],
)
def test_without_a_token_a_page_whose_name_leads_to_this_machine_sends_no_trigger(
    address: str, host: str, status: int
) -> None:
    assert httpx.get(address, headers={"Host": host}, trust_env=False, timeout=60).status_code == status


@pytest.mark.parametrize("host", LOOPBACKS)
def test_connections_beyond_the_limit_end_no_trigger_that_waits(host: str) -> None:
    port, answers = free_port(), list[httpx.Response]()
    triggers = Triggers("line-1", "camera-1", lambda: None, seconds=600)
    listener = HttpTriggers(triggers, ListenAddress(host, port), "")
    triggers.set_state(CameraState.RUNNING)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/trigger"
    waiting = threading.Thread(
        target=lambda: answers.append(httpx.post(address, json={"id": "7"}, trust_env=False, timeout=600))
    )
    waiting.start()
    wait_until(lambda: not triggers.is_ready, 60, "the trigger to wait for its image")
    idle = [socket.create_connection((host, port), 60) for _ in range(HEALTH_CONNECTIONS + 1)]
    assert httpx.get(address, trust_env=False, timeout=60).json() == {"ready": False}
    assert idle[0].recv(1) == b"", "the oldest connection without a trigger is closed"
    pending = triggers.take()
    assert pending is not None
    triggers.captured(pending, identity(3))
    waiting.join(60)
    assert [(answer.status_code, answer.json()["id"]) for answer in answers] == [(200, "7")]
    for each in idle:
        each.close()
    listener.close()
