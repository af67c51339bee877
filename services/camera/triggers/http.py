"""Accept triggers over HTTP: ``POST /trigger`` is answered when the image is captured or the trigger is missed."""

from __future__ import annotations

import hmac
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Final
from urllib.parse import urlsplit

from services.camera.errors import CameraError
from services.camera.settings import LOOPBACK, ListenAddress
from services.camera.triggers.trigger import MOST_BYTES, Answer, Cause, InvalidTrigger, Trigger, TriggerOutcome
from services.camera.triggers.triggers import Triggers
from shared.addresses import host_and_port
from shared.health import LimitedHttpServer

PATH: Final = "/trigger"


class HttpTriggers:
    """An HTTP server.

    A request needs the content type ``application/json``, and if there is no token, a loopback address as its host. So
    a page of another site can't send triggers (CSRF, DNS rebinding).
    """

    def __init__(self, triggers: Triggers, address: ListenAddress, token: str) -> None:
        """Start the server; raises `CameraError`. If there is a token, each request needs it as its bearer token."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self._is_allowed():
                    ready = b'{"ready":true}' if triggers.is_ready else b'{"ready":false}'
                    self._send(HTTPStatus.OK, ready)

            def do_POST(self) -> None:
                if not self._is_allowed():
                    return
                length = self.headers.get("Content-Length", "0")
                if self.headers.get_content_type() != "application/json" or not length.isdecimal():
                    self._fail(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON with its length: a trigger, or {}")
                    return
                try:
                    trigger = Trigger.read(self.rfile.read(min(int(length), MOST_BYTES + 1)))
                except InvalidTrigger as error:
                    self._answer(triggers.miss(Cause.REFUSED, str(error)))
                    return
                if server.hold(self.connection):
                    self._answer(triggers.fire(trigger).result())

            def _is_allowed(self) -> bool:
                given = self.headers.get("Authorization", "").removeprefix("Bearer ").encode("latin-1", "replace")
                if self.path != PATH:
                    self._fail(HTTPStatus.NOT_FOUND, f"try {PATH}")
                elif not token and self._host() not in LOOPBACK:
                    self._fail(HTTPStatus.MISDIRECTED_REQUEST, "without a token, ask this machine by its own address")
                elif token and not hmac.compare_digest(given, token.encode()):
                    self._fail(HTTPStatus.UNAUTHORIZED, "the bearer token is missing or wrong")
                else:
                    return True
                return False

            def _host(self) -> str:
                with suppress(ValueError):
                    return urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
                return ""

            def _answer(self, answer: Answer) -> None:
                status = HTTPStatus.OK
                if answer.outcome is TriggerOutcome.MISSED:
                    refused = answer.cause is Cause.REFUSED
                    status = HTTPStatus.UNPROCESSABLE_ENTITY if refused else HTTPStatus.CONFLICT
                self._send(status, answer.model_dump_json().encode())

            def _fail(self, status: HTTPStatus, reason: str) -> None:
                self._send(status, f'{{"detail":"{reason}"}}'.encode())

            def _send(self, status: HTTPStatus, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing, because `Triggers` logs each missed trigger with its reason."""

        try:
            server = self._server = LimitedHttpServer(address, Handler)
        except OSError as error:
            raise CameraError(
                f"CAMERA_TRIGGER_HTTP: can't listen on {host_and_port(*address)}: {error.strerror}"
            ) from error
        threading.Thread(target=self._server.serve_forever, name="triggers", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
