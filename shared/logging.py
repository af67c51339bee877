"""Configure the log of a service."""

from __future__ import annotations

import logging
import sys

import structlog

from shared.settings import ServiceSettings


def configure_logging(service: str, settings: ServiceSettings) -> None:
    """Write every log line, those of libraries included, to standard error with the name of the service.

    Add a frame to the lines about it with ``structlog.contextvars.bound_contextvars(frame_id=…)`` or as a field.
    """
    common_processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        lambda _logger, _method, event: {"service": service, **event},
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*common_processors, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    final_processors: list[structlog.types.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if settings.log_format == "json":
        final_processors.append(structlog.processors.format_exc_info)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common_processors, processors=[*final_processors, renderer]
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    logging.getLogger("pika").setLevel(
        logging.CRITICAL
    )  # pika logs what our adapter raises, each time with a stack trace
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it logs each try; our adapter logs the outage
    for client in ("httpx", "httpcore"):  # they log addresses, which may hold passwords
        logging.getLogger(client).setLevel(logging.WARNING)
