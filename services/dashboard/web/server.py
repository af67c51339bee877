"""Run the HTTP server in a thread, because the main thread waits for signals."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

import uvicorn
from fastapi import FastAPI

from services.dashboard.settings import DashboardSettings
from services.dashboard.web.connections import (
    BACKLOG,
    HANDSHAKE_SECONDS,
    KEEP_ALIVE_SECONDS,
    BoundedProtocol,
    Connections,
    LimitedSocket,
    raise_open_file_limit,
)
from services.dashboard.web.guard import AnswerHeaders
from services.dashboard.web.problems import Answer, ProblemsOnly
from shared.addresses import host_and_port
from shared.errors import CannotStart

GRACE_SECONDS: Final = 3
"""Seconds within which open requests must finish after the server was told to stop."""
CLOSE_SECONDS: Final = GRACE_SECONDS + 1.5
"""Most seconds to wait for the end of the server's thread after the server was told to stop."""


class CannotListen(CannotStart):
    """The server can't listen at the address in the settings."""


class ServerEnded(RuntimeError):
    """The server ended by itself. It is raised in the server's thread, so that `shared.service` ends the service."""


@contextmanager
def serving(app: FastAPI, answer: Answer, settings: DashboardSettings) -> Iterator[None]:
    """Serve the application until the block ends, then give open requests `GRACE_SECONDS` to finish.

    Args:
        app: the application.
        answer: makes the response to a request that fails.
        settings: the address, the limits of connections, and the files for TLS.

    Raises:
        CannotListen: the server can't listen at its address.
    """
    descriptors = raise_open_file_limit()
    half = descriptors // 2  # the other half is for Redis, object storage and files
    bounds = Connections(
        min(settings.connections, half),
        min(settings.connections_per_address, half),
        settings.trusted_proxies.split(","),
    )
    config = uvicorn.Config(
        AnswerHeaders(ProblemsOnly(app, answer)),
        http=partial(BoundedProtocol, bounds),  # type: ignore[arg-type]  # uvicorn calls it like a class
        backlog=BACKLOG,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        h11_max_incomplete_event_size=64 * 1024,
        forwarded_allow_ips=settings.trusted_proxies,
        ssl_certfile=settings.https_cert,
        ssl_keyfile=settings.https_key,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # the dashboard logs its address itself
    listening = _listen(settings.host, settings.port)
    listening.most_descriptors = descriptors - descriptors // 8  # an eighth stays free for files and other servers
    server = _Server(config)
    stopping = threading.Event()

    def serve() -> None:
        with suppress(SystemExit):  # uvicorn raises it if it can't start
            server.run(sockets=[listening])
        if not stopping.is_set():
            raise ServerEnded("the HTTP server ended by itself: see the log")

    thread = threading.Thread(target=serve, name="http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        server.should_exit = True
        thread.join(CLOSE_SECONDS)
        if not thread.is_alive():  # a thread that still runs closes the socket itself
            listening.close()


class _Server(uvicorn.Server):
    """A server whose TLS handshakes have a time limit."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self.config.is_ssl:
            loop = asyncio.get_running_loop()
            loop.create_server = partial(  # type: ignore[method-assign]
                loop.create_server, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        await super().startup(sockets)


def _listen(host: str, port: int) -> LimitedSocket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = LimitedSocket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)  # the system holds connections that come before the thread runs
    except OSError as error:
        raise CannotListen(
            f"can't listen on {host_and_port(host.strip('[]'), port)} ({error.strerror}): give another DASHBOARD_PORT "
            "or DASHBOARD_HOST"
        ) from error
    return listening
