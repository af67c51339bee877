"""The port of traces: spans, and the tracer that makes them. See `shared.tracing.setup`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

CAPTURE: Final = "capture"
DECIDE: Final = "decide"
"""The spans of which a trace has one each, named by the frame; see `Tracer.begin`."""

Attributes = Mapping[str, str | int]


class Context(Protocol):
    """The place of a span in its trace."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a message that follows from the span, by W3C Trace Context."""
        ...

    def begin(
        self,
        name: str,
        *,
        kind: str = "INTERNAL",
        at: int | None = None,
        attributes: Attributes | None = None,
        links: Sequence[Context] = (),
    ) -> Span:
        """Begin a span below this one: now, or ``at`` nanoseconds of Unix time. ``kind`` is OpenTelemetry's name."""
        ...


class Span(Context, Protocol):
    """A piece of work on a frame, with its beginning and its end."""

    def describe(self, attributes: Attributes) -> None:
        """Add attributes."""
        ...

    def link(self, other: Context) -> None:
        """Note that another span has something to do with this one."""
        ...

    def end(self, failure: str = "", *, at: int | None = None) -> None:
        """End the span, as failed if ``failure`` says why. Later calls have no effect."""
        ...


class Tracer(Protocol):
    """Makes spans, and sends them to the collector in the background."""

    def begin(self, frame_id: str, name: str, *, below: str = "", at: int | None = None) -> Span | None:
        """Begin the only span of this name in the trace of a frame; None if the frame is not sampled.

        The ids of the trace and of the span follow from the frame's id and the name, so that a process that has stored
        the frame's id on disk continues the trace after a restart. ``below`` names such a span; without it, the new
        span is the first one of the trace.
        """
        ...

    def context(self, frame_id: str, name: str) -> Context | None:
        """Return the place of the span that `begin` made in any process; None if the frame is not sampled."""
        ...

    def read(self, headers: Mapping[str, str]) -> Context | None:
        """Return the place that headers of a message name; None if they name none, or the frame is not sampled."""
        ...

    def close(self, seconds: float) -> None:
        """Send the last spans, for this time at most."""
        ...
