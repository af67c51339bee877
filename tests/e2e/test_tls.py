"""The same line, given TLS after it ran without: it goes on with what it has, and nothing is in the clear any more."""

from __future__ import annotations

from typing import Final

import httpx
import pytest

from tests.e2e.composed import ComposedLine, wait_for
from tests.e2e.conftest import FRAMES, Inspected

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SOME: Final = 100
IN_THE_CLEAR: Final = """
import socket, sys
host, port, says = sys.argv[1:]
try:
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.settimeout(5)
        connection.sendall(says.encode().decode("unicode_escape").encode())
        print(connection.recv(200))
except OSError as error:
    print(type(error).__name__)
"""


def test_frames_go_the_whole_way_encrypted(encrypted: ComposedLine, inspected: Inspected) -> None:
    explained = inspected.accounting["explained"]
    encrypted.play(SOME)
    with encrypted.api() as api:
        counts = wait_for(lambda: encrypted.settled(api, FRAMES + SOME), 240, f"{SOME} more frames inspected")
    assert (counts["dropped"], counts["parked"], counts["error"]) == (0, 0, 0)
    assert counts["explained"] > explained


@pytest.mark.parametrize(
    ("host", "port", "says", "answer"),
    [
        ("rabbitmq", "5672", r"AMQP\x00\x00\x09\x01", "ConnectionRefusedError"),
        ("rabbitmq", "15672", r"GET / HTTP/1.0\r\n\r\n", "ConnectionRefusedError"),
        ("redis", "6379", r"PING\r\n", ""),
        ("object-store", "9000", r"GET / HTTP/1.0\r\n\r\n", "400 Bad Request"),
    ],
)
def test_no_server_talks_in_the_clear(encrypted: ComposedLine, host: str, port: str, says: str, answer: str) -> None:
    said = encrypted.must("exec", "-T", "dashboard", "python", "-c", IN_THE_CLEAR, host, port, says)
    assert answer in said
    assert "PONG" not in said
    assert "200" not in said


def test_the_pages_are_shown_by_https_alone(encrypted: ComposedLine) -> None:
    with encrypted.stranger() as api:
        assert api.get("/login").headers["strict-transport-security"]
        with pytest.raises(httpx.TransportError):
            httpx.get(str(api.base_url).replace("https", "http"), timeout=10)
