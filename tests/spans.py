"""What a collector of OpenTelemetry receives from services."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.tracing.setup import close_tracing, configure_tracing
from tests.receiver import Receiver, receiving


@dataclass(frozen=True)
class SeenSpan:
    """A span as it arrived."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    attributes: dict[str, str | int]
    failure: str
    nanoseconds: int


def spans_at(collector: Receiver) -> list[SeenSpan]:
    """Return all spans that a collector has received."""
    found: list[SeenSpan] = []
    for request in list(collector.accepted):
        for process in ExportTraceServiceRequest.FromString(request.body).resource_spans:
            resource = {each.key: each.value.string_value for each in process.resource.attributes}
            for span in (span for scope in process.scope_spans for span in scope.spans):
                found.append(
                    SeenSpan(
                        resource["service.name"],
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        tuple(link.span_id.hex() for link in span.links),
                        {each.key: each.value.string_value or each.value.int_value for each in span.attributes},
                        span.status.message,
                        span.end_time_unix_nano - span.start_time_unix_nano,
                    )
                )
    return found


@contextmanager
def traced(service: str = "test", **settings: str) -> Iterator[list[SeenSpan]]:
    """Trace this process in the block; the list has the spans after it."""
    seen: list[SeenSpan] = []
    with receiving() as collector:
        named = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}", **settings}
        with patch.dict(os.environ, named):
            configure_tracing(service)
        try:
            yield seen
        finally:
            close_tracing()
        seen += spans_at(collector)
