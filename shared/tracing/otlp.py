"""Make spans with OpenTelemetry's SDK, and send them as OTLP over HTTP. Only `shared.tracing.setup` imports this.

The SDK reads OpenTelemetry's standard variables: the address and the headers of the collector, its certificate, the
sampler, attributes of the process, and the limits of the queue of spans.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

import structlog
from opentelemetry import trace
from opentelemetry.context import Context as Baggage
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.tracing.port import CAPTURE, Attributes, Context, Span

_log = structlog.stdlib.get_logger("tracing")
_W3C: Final = TraceContextTextMapPropagator()


class OtlpTracer:
    """See `shared.tracing.port.Tracer`."""

    def __init__(self, service: str) -> None:
        """Begin to trace the process of a service; the environment may give it another name."""
        for library in ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal"):
            logging.getLogger(library).setLevel(logging.CRITICAL)  # they log each try; `LoggedExporter` logs the outage
        named = {
            "service.name": f"seamline-{service}",
            "service.namespace": "seamline",
            "service.instance.id": f"{platform.node()}-{os.getpid()}",
        }
        self._ids = FrameIds()
        self._provider = TracerProvider(
            id_generator=self._ids,
            resource=Resource.create(named).merge(OTELResourceDetector().detect()),
            shutdown_on_exit=False,  # `close` limits its time
        )
        self._exporter = LoggedExporter(OTLPSpanExporter())
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("seamline")

    def begin(self, frame_id: str, name: str, *, below: str = "", at: int | None = None) -> Span | None:
        """See the port."""
        parent = self._context(frame_id, below) if below else None
        with self._ids.of(frame_id, name):
            context = trace.set_span_in_context(NonRecordingSpan(parent)) if parent else Baggage()
            span = self._tracer.start_span(name, context, start_time=at)
        return OtlpSpan(self._tracer, span) if span.is_recording() else None

    def context(self, frame_id: str, name: str) -> Context | None:
        """See the port."""
        context = self._context(frame_id, name)
        return OtlpContext(self._tracer, NonRecordingSpan(context)) if context.trace_flags.sampled else None

    def read(self, headers: Mapping[str, str]) -> Context | None:
        """See the port."""
        span = trace.get_current_span(_W3C.extract(headers, Baggage()))
        return OtlpContext(self._tracer, span) if span.get_span_context().trace_flags.sampled else None

    def close(self, seconds: float) -> None:
        """See the port."""
        closing = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(0 if self._exporter.is_failing else seconds)

    def _context(self, frame_id: str, name: str) -> SpanContext:
        """Return the ids of a span, and whether the sampler takes its trace: it decides by the id of the trace."""
        trace_id = trace_id_of(frame_id)
        is_sampled = self._provider.sampler.should_sample(None, trace_id, CAPTURE).decision is not Decision.DROP
        flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
        return SpanContext(trace_id, span_id_of(frame_id, name), is_remote=True, trace_flags=flags)


class OtlpContext:
    """See `shared.tracing.port.Context`."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def headers(self) -> dict[str, str]:
        """See the port."""
        headers: dict[str, str] = {}
        _W3C.inject(headers, trace.set_span_in_context(self._span, Baggage()))
        return headers

    @property
    def link_target(self) -> SpanContext:
        """The ids by which another span links this one."""
        return self._span.get_span_context()

    def begin(
        self,
        name: str,
        *,
        kind: str = "INTERNAL",
        at: int | None = None,
        attributes: Attributes | None = None,
        links: Sequence[Context] = (),
    ) -> Span:
        """See the port."""
        span = self._tracer.start_span(
            name,
            trace.set_span_in_context(self._span, Baggage()),
            SpanKind[kind],
            attributes,
            [Link(other.link_target) for other in links if isinstance(other, OtlpContext)],
            at,
        )
        return OtlpSpan(self._tracer, span)


class OtlpSpan(OtlpContext):
    """See `shared.tracing.port.Span`."""

    def describe(self, attributes: Attributes) -> None:
        """See the port."""
        self._span.set_attributes(attributes)

    def link(self, other: Context) -> None:
        """See the port."""
        if isinstance(other, OtlpContext):
            self._span.add_link(other.link_target)

    def end(self, failure: str = "", *, at: int | None = None) -> None:
        """See the port."""
        if self._span.is_recording():
            if failure:
                self._span.set_status(Status(StatusCode.ERROR, failure))
            self._span.end(at)


class FrameIds(IdGenerator):
    """Make random ids, but within the block of `of` those that follow from a frame's id. Thread-safe."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._chosen = threading.local()

    @contextmanager
    def of(self, frame_id: str, name: str) -> Iterator[None]:
        """Give the next span of this thread the ids of the span of this name in the trace of a frame."""
        self._chosen.ids = trace_id_of(frame_id), span_id_of(frame_id, name)
        try:
            yield
        finally:
            self._chosen.ids = None

    def generate_trace_id(self) -> int:
        """Return the id of a new trace."""
        chosen = getattr(self._chosen, "ids", None)
        return chosen[0] if chosen else self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        """Return the id of a new span."""
        chosen = getattr(self._chosen, "ids", None)
        return chosen[1] if chosen else self._random.generate_span_id()


class LoggedExporter(SpanExporter):
    """Log once that the collector takes no spans, and once that it takes them again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.is_failing = False
        """Whether the collector did not take the last spans."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; those that the collector does not take are lost."""
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self.is_failing:
            _log.warning("the collector takes no spans: traces have gaps, inspection continues")
        elif self.is_failing and not failed:
            _log.info("the collector takes spans again")
        self.is_failing = failed
        return result

    def shutdown(self) -> None:
        """Stop sending."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits; the exporter itself holds nothing back."""
        return self._exporter.force_flush(timeout_millis)


def trace_id_of(frame_id: str) -> int:
    """Return the id of the trace of a frame: the first 16 bytes of BLAKE2b of the frame's id."""
    return int.from_bytes(blake2b(frame_id.encode(), digest_size=16).digest(), "big") or 1


def span_id_of(frame_id: str, name: str) -> int:
    """Return the id of the only span of this name in the trace of a frame."""
    return int.from_bytes(blake2b(f"{frame_id}/{name}".encode(), digest_size=8).digest(), "big") or 1
