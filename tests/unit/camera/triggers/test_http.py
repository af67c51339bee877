"""Triggers over HTTP: who may send them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from services.camera.settings import ListenAddress
from services.camera.triggers.http import HttpTriggers
from services.camera.triggers.triggers import Triggers
from tests.processes import free_port


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
