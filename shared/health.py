"""The health of a service, and the server of ``/healthz`` and ``/metrics``."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from shared.addresses import listening_family
from shared.certificates import expiry_of
from shared.settings import ServiceSettings

HEALTH_CONNECTIONS: Final = 16
"""Most connections that are answered at the same time."""
HEALTH_TIMEOUT_SECONDS: Final = 5.0
"""Time limit of one read or write on such a connection."""
NO_DESCRIPTOR_PAUSE_SECONDS: Final = 0.5
"""Seconds to wait when the process has no file descriptor left."""
SILENCE_SECONDS: Final = 30.0
"""A loop without a heartbeat for this long counts as stalled."""
SLOW_SECONDS: Final = 300.0
"""The same limit for loops that load models, train or measure."""

STALLED: Final = Gauge("seamline_stalled_loops", "Loops and publishers of the service that are stalled")
EXPIRY: Final = Gauge("seamline_certificate_expiry_seconds", "Unix time at which a certificate expires", ["file"])


class HealthCheck(Protocol):
    """A check of the service's state, which ``/healthz`` calls."""

    @property
    def troubles(self) -> Sequence[str]:
        """Return what is stalled or failed, each in a few words; empty when the service is healthy."""
        ...


class Health:
    """The heartbeat of one loop, and further checks that count for the same service, such as those of publishers.

    Each loop calls ``beat`` of its own `Health`. ``/healthz`` answers 200, or 503 with what is stalled.
    """

    def __init__(
        self,
        silence_seconds: float = SILENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        name: str = "the loop",
    ) -> None:
        self._silence_seconds = silence_seconds
        self._clock = clock
        self._name = name
        self._last_beat = clock()
        self._checks: list[Callable[[], Sequence[str]]] = []

    def add_loop(self, name: str = "another loop", silence_seconds: float | None = None) -> Health:
        """Return the health of a further loop; the service is healthy when all of its loops are."""
        other = Health(silence_seconds or self._silence_seconds, self._clock, name)
        self._checks.append(lambda: other.troubles)
        return other

    def add_check(self, troubles: Callable[[float], Sequence[str]]) -> None:
        """Add a check: a function of the seconds after which a silent part counts as stalled. See `Broker.troubles`."""
        self._checks.append(lambda: troubles(self._silence_seconds))

    def beat(self) -> None:
        """Record a heartbeat of the loop."""
        self._last_beat = self._clock()

    @property
    def troubles(self) -> Sequence[str]:
        """Return the stalled loops and the other stalled parts."""
        stalled = []
        if self._clock() - self._last_beat >= self._silence_seconds:
            stalled.append(f"{self._name} is stalled")
        for check in self._checks:
            stalled += check()
        return stalled

    @property
    def healthy(self) -> bool:
        """Return whether nothing is stalled."""
        return not self.troubles


def serve_health(health: HealthCheck, settings: ServiceSettings) -> None:
    """Serve ``/healthz`` and ``/metrics`` in a background thread, if the settings give a port."""
    STALLED.set_function(lambda: len(health.troubles))
    for certificate in settings.certificates:
        EXPIRY.labels(str(certificate)).set_function(partial(expiry_of, certificate))
    if not settings.health_port:
        return

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest().decode())
            elif self.path == "/healthz":
                troubles = health.troubles
                self._answer(503 if troubles else 200, "text/plain", "".join(f"{one}\n" for one in troubles or ["ok"]))
            else:
                self._answer(404, "text/plain", "try /healthz or /metrics\n")

        def _answer(self, status: int, content_type: str, text: str) -> None:
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: health checks come every few seconds."""

    server = LimitedHttpServer((settings.health_host, settings.health_port), Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()


class LimitedHttpServer(ThreadingHTTPServer):
    """Serve a limited number of connections; one beyond the limit closes the oldest, so that no client can use up all.

    A connection whose handler has called `hold` stays open, whatever comes after it.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = listening_family(*address)
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        """When each connection was opened, in seconds of the steady clock; those that `hold` has are not among them."""
        super().__init__(address, handler)

    def hold(self, connection: socket.socket) -> bool:
        """Let a connection stay open until its request is answered; return False if it is closed already."""
        with self._lock:
            return self._open.pop(connection, None) is not None

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept a connection; without a free descriptor, wait before the error, so that the server does not spin."""
        try:
            connection, address = super().get_request()
        except OSError:
            time.sleep(NO_DESCRIPTOR_PAUSE_SECONDS)
            raise
        connection.settimeout(HEALTH_TIMEOUT_SECONDS)
        return connection, address

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        """Handle a connection, and close the oldest ones beyond the limit."""
        with self._lock:
            self._open[request] = time.monotonic()
            too_many = list(self._open)[:-HEALTH_CONNECTIONS]
            for oldest in too_many:
                del self._open[oldest]
        for oldest in too_many:
            with suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """Close a connection."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: clients may disconnect at any time."""
