"""Structured logs that carry a frame's identity through all services, health, and metrics."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Protocol

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.settings import ServiceSettings

HEALTH_CONNECTIONS: Final = 16
"""Answered at once, at most."""
HEALTH_SECONDS: Final = 5.0
"""For a read or a write of one."""
HEALTH_PAUSE: Final = 0.5
"""Seconds, where no further file can be opened."""
SILENCE_SECONDS: Final = 30.0
"""A service whose loop has not turned for so long is not well."""
SLOW_SECONDS: Final = 300.0
"""The same for a loop whose turns take longer: it loads models, trains or measures."""


def configure_logging(service: str, settings: ServiceSettings) -> None:
    """Send every log line, the libraries' too, to standard error as one event with the service's name.

    Bind a frame to the lines about it with ``structlog.contextvars.bound_contextvars(frame_id=…)`` or as a field.
    """
    shared_steps: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        lambda _logger, _method, event: {"service": service, **event},
    ]
    last: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared_steps, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    finish: list[structlog.types.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if settings.log_format == "json":
        finish.append(structlog.processors.format_exc_info)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared_steps, processors=[*finish, last])
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # it reports what our adapter raises, with a stack each
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it reports each try, and our adapter the outage


class Wellness(Protocol):
    """What ``/healthz`` asks."""

    @property
    def troubles(self) -> Sequence[str]:
        """What does not work, each in a few words; empty when it is well."""
        ...


class Health:
    """Whether a service's loops turn, and what it sends with is alive.

    Each loop calls ``beat`` of its own; whatever else can stand still is watched. ``/healthz`` says 200, or 503 and
    what is wrong.
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
        self._looks: list[Callable[[], Sequence[str]]] = []

    def beside(self, name: str = "a loop beside", silence_seconds: float | None = None) -> Health:
        """The health of a further loop, whose turns may take longer: the service is well when all are."""
        other = Health(silence_seconds or self._silence_seconds, self._clock, name)
        self._looks.append(lambda: other.troubles)
        return other

    def watch(self, troubles: Callable[[float], Sequence[str]]) -> None:
        """Ask this too, with the seconds after which silence is trouble; see `Broker.troubles`."""
        self._looks.append(lambda: troubles(self._silence_seconds))

    def beat(self) -> None:
        """The loop turned."""
        self._last_beat = self._clock()

    @property
    def troubles(self) -> Sequence[str]:
        """The loops that have not turned lately, and what else stands still."""
        turned = self._clock() - self._last_beat < self._silence_seconds
        return [*([] if turned else [f"{self._name} stands"]), *(one for look in self._looks for one in look())]

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.troubles


def serve_health(health: Wellness, settings: ServiceSettings) -> None:
    """Serve ``/healthz`` and ``/metrics`` from a thread of their own, if the settings give a port."""
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
            """A health check every few seconds is no event."""

    server = HealthServer((settings.health_host, settings.health_port), Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()


class HealthServer(ThreadingHTTPServer):
    """Answers a few connections at once; one more gets the place of the oldest, so that nobody holds them all."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        super().__init__(address, handler)

    def get_request(self) -> tuple[socket.socket, object]:
        """See socketserver. Without a descriptor left it waits a little, and asks again."""
        try:
            connection, address = super().get_request()
        except OSError:
            time.sleep(HEALTH_PAUSE)
            raise
        connection.settimeout(HEALTH_SECONDS)
        return connection, address

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        """See socketserver."""
        with self._lock:
            self._open[request] = time.monotonic()
            too_many = list(self._open)[:-HEALTH_CONNECTIONS]
        for oldest in too_many:
            with suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """See socketserver."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke off is no event."""
