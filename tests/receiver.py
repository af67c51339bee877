"""An HTTP receiver for webhooks, which fails, hangs, goes away and comes back when a test says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.processes import free_port

HANG_SECONDS = 60.0


@dataclass(frozen=True)
class Request:
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Receiver:
    """Answers each request as ``mode`` says: a status, or ``hang``."""

    def __init__(self) -> None:
        self.port = free_port()
        self.mode: int | str = 200
        self.accepted: list[Request] = []
        self.tries = 0
        self._let_go = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self.come_back()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/seamline"

    def effective(self) -> list[dict[str, Any]]:
        """What a receiver acts on: each id once."""
        return list({each.document["id"]: each.document for each in self.accepted}.values())

    def go_away(self) -> None:
        if self._server:
            self._let_go.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def come_back(self) -> None:
        receiver = self
        self._let_go.clear()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.tries += 1
                if receiver.mode == "hang":
                    receiver._let_go.wait(HANG_SECONDS)
                    self.close_connection = True
                    return
                status = int(receiver.mode)
                if status < 300:
                    receiver.accepted.append(Request(dict(self.headers), body))
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"so")

            def do_OPTIONS(self) -> None:
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self._server = server


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.go_away()
