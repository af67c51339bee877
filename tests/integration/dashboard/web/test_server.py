"""The thread of the HTTP server."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI, Response

from services.dashboard.web.server import ServerEnded, serving
from tests.dashboards import embedded_settings


@asynccontextmanager
async def failing(_app: FastAPI) -> AsyncIterator[None]:
    raise ZeroDivisionError
    yield


def answer_no_problem(*_arguments: object) -> Response:
    raise AssertionError("no request was sent")


def test_an_http_server_that_ends_by_itself_fails_its_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed, failures = threading.Event(), []

    def on_failure(args: threading.ExceptHookArgs) -> None:
        failures.append(args.exc_type)
        failed.set()

    monkeypatch.setattr(threading, "excepthook", on_failure)
    with serving(FastAPI(lifespan=failing), answer_no_problem, embedded_settings(tmp_path)):
        assert failed.wait(60)
    assert failures == [ServerEnded]


def test_a_request_that_comes_before_the_server_has_started_waits_for_it(tmp_path: Path) -> None:
    connected = threading.Event()

    @asynccontextmanager
    async def starting(_app: FastAPI) -> AsyncIterator[None]:
        assert connected.wait(60)
        yield

    settings = embedded_settings(tmp_path)
    with (
        serving(FastAPI(lifespan=starting), answer_no_problem, settings),
        socket.create_connection((settings.host, settings.port), 60) as early,
    ):
        connected.set()
        early.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        early.settimeout(60)
        assert early.recv(100).startswith(b"HTTP/1.1 ")
