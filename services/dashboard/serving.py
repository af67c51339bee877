"""The HTTP server, in a thread of its own: the main thread waits for the signal to stop."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI

from services.dashboard.settings import DashboardSettings
from shared.messaging.port import MessagingError

GRACE_SECONDS: Final = 3
"""For requests under way, at the end."""
CLOSE_SECONDS: Final = GRACE_SECONDS + 1.5
"""After which a request that waits for a server that hangs is left behind."""


class AddressTaken(MessagingError):
    """Nothing can listen there."""


@contextmanager
def serving(app: FastAPI, settings: DashboardSettings) -> Iterator[None]:
    """Serve the application until the block ends, then finish the requests under way.

    Raises:
        AddressTaken: the address can't be had.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=64 * 1024,
        forwarded_allow_ips="",
        ssl_certfile=settings.https_cert,
        ssl_keyfile=settings.https_key,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # we say ourselves that we listen
    listening = _listen(settings.host, settings.port)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(CLOSE_SECONDS)
        listening.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise AddressTaken(
            f"can't listen on {host}:{port} ({error.strerror}): give another DASHBOARD_PORT or DASHBOARD_HOST"
        ) from error
    return listening
