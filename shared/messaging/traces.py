"""Trace frames, from capture to heatmap and signal: spans of the messages that carry them.

If the process does not trace, each function returns at once. Spans name frames, lines, cameras, parts, outputs, queues,
model versions and verdicts; they contain no image and no setting.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from shared.messages import FrameIdentity, Message, PartDecided
from shared.messaging.port import SENT_AT, Delivery, EncodedMessage, Publisher
from shared.tracing.port import CAPTURE, DECIDE, Attributes, Context, Span
from shared.tracing.setup import process_tracer

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_WAIT_NS: Final = 30 * 24 * 3600 * 10**9
"""Longest time in a queue that a span shows, in nanoseconds; a longer one means that a clock is wrong."""


@dataclass(frozen=True)
class MessageTrace:
    """The span of one message that is being handled."""

    frame_id: str
    span: Span


class BatchTrace:
    """The spans of messages that are handled together. Without spans, each method returns at once."""

    def __init__(self, messages: Sequence[MessageTrace] = (), batch: Span | None = None) -> None:
        self._messages = messages
        self._batch = batch

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a message that follows from the first message; empty if it is not traced."""
        return next((message.span.headers for message in self._messages), {})

    def handling(self) -> AbstractContextManager[object]:
        """Make this the trace that `current` returns in the block."""
        return _as_current(self) if self._messages else nullcontext()

    def step(self, name: str) -> AbstractContextManager[object]:
        """Show the block as a span below each message."""
        if not self._messages:
            return nullcontext()
        return _lasting([message.span.begin(name) for message in self._messages])

    def publish(self, publisher: Publisher, message: Message) -> Future[None]:
        """Publish a message that follows from one of the batch; a span lasts until the confirm."""
        frame = getattr(message, "frame", None) if self._messages else None
        span = next((one.span for one in self._messages if frame and one.frame_id == frame.frame_id), None)
        return publisher.publish(message) if span is None else _publish_below(span, publisher, message)

    def answered(self) -> None:
        """End the span of the batch: its answer is there."""
        if self._batch:
            self._batch.end()

    def end(self, failure: str = "") -> None:
        """End the spans of the messages."""
        for message in self._messages:
            message.span.end(failure)


NO_TRACE: Final = BatchTrace()
_current: Final = ContextVar("trace", default=NO_TRACE)


def current() -> BatchTrace:
    """Return the trace of what this thread handles."""
    return _current.get()


def receive(delivery: Delivery, message: Message) -> MessageTrace | None:
    """Show how long a message waited in its queue, and begin the span of its handling; None if it is not traced."""
    tracer, frame = process_tracer(), getattr(message, "frame", None)
    if tracer is None or frame is None or not delivery.headers:
        return None
    context = tracer.read(delivery.headers)
    if context is None:
        return None
    now, attributes = time.time_ns(), {"messaging.destination.name": delivery.queue, **_describe(message)}
    sent = delivery.headers.get(SENT_AT, "")
    sent_at = int(sent) if sent.isdecimal() and now - LONGEST_WAIT_NS < int(sent) <= now else now
    context.begin(f"wait {delivery.queue}", at=sent_at, attributes=attributes).end(at=now)
    span = context.begin(f"process {delivery.queue}", kind="CONSUMER", at=now, attributes=attributes)
    return MessageTrace(frame.frame_id, span)


def begin_batch(queue: str, messages: Sequence[MessageTrace | None]) -> BatchTrace:
    """Return the trace of messages that are handled together; one span links several of them."""
    traced = [message for message in messages if message]
    if not traced:
        return NO_TRACE
    if len(traced) == 1:
        return BatchTrace(traced)
    first, spans = traced[0].span, [message.span for message in traced]
    attributes: Attributes = {"messaging.destination.name": queue, "messaging.batch.message_count": len(messages)}
    batch = first.begin(f"batch {queue}", attributes=attributes, links=spans)
    for span in spans:
        span.link(batch)
    return BatchTrace(traced, batch)


@contextmanager
def capturing(frame: FrameIdentity) -> Iterator[BatchTrace]:
    """Begin the trace of a frame at its capture; its first span ends with the block."""
    tracer = process_tracer()
    span = tracer.begin(frame.frame_id, CAPTURE, at=_nanoseconds(frame.captured_at)) if tracer else None
    if span is None:
        yield NO_TRACE
        return
    span.describe(_describe_frame(frame))
    trace = BatchTrace([MessageTrace(frame.frame_id, span)])
    try:
        with trace.handling():
            yield trace
    finally:
        trace.end()


def deciding(decision: PartDecided) -> AbstractContextManager[object]:
    """Show the block as the span of a decision, in the trace of each frame of the part."""
    if (tracer := process_tracer()) is None:
        return nullcontext()
    frames = dict.fromkeys([decision.frame.frame_id, *decision.frames, *decision.late])
    begun = [tracer.begin(frame, DECIDE, below=CAPTURE) for frame in frames]
    return _lasting(
        [span for span in begun if span],
        {"seamline.part": decision.part, "seamline.verdict": decision.verdict.value},
    )


def signalling(output: str, frames: Sequence[str]) -> AbstractContextManager[object]:
    """Show the block as one try to send signals to an output, in the traces of the frames of their parts, by id."""
    if (tracer := process_tracer()) is None:
        return nullcontext()
    decisions = [context for frame in frames if (context := tracer.context(frame, DECIDE))]
    return _lasting([decision.begin("signal") for decision in decisions], {"seamline.output": output})


def publish_stored(publisher: Publisher, message: EncodedMessage) -> Future[None]:
    """Publish a message that was stored on disk, in the trace that its headers name."""
    tracer = process_tracer()
    context = tracer.read(message.headers) if tracer and message.headers else None
    return publisher.publish(message) if context is None else _publish_below(context, publisher, message)


def publish_decision(publisher: Publisher, decision: PartDecided) -> Future[None]:
    """Publish a decision, in the trace of the first frame of the part."""
    tracer = process_tracer()
    context = tracer.context(decision.frame.frame_id, DECIDE) if tracer else None
    return publisher.publish(decision) if context is None else _publish_below(context, publisher, decision)


def _publish_below(context: Context, publisher: Publisher, message: Message | EncodedMessage) -> Future[None]:
    encoded = message if isinstance(message, EncodedMessage) else EncodedMessage.of(message)
    attributes = {"messaging.destination.name": encoded.exchange}
    if isinstance(message, Message):
        attributes |= _describe(message)
    span = context.begin(f"publish {encoded.exchange}", kind="PRODUCER", attributes=attributes)

    def end(confirm: Future[None]) -> None:
        error = confirm.exception()
        span.end(type(error).__name__ if error else "")

    headers = {**span.headers, SENT_AT: str(time.time_ns())}
    confirm = publisher.publish(replace(encoded, headers=headers))
    confirm.add_done_callback(end)
    return confirm


def _describe(message: Message) -> dict[str, str]:
    """Return what spans say of a message: the names of its frame, and the verdict with its model."""
    frame = getattr(message, "frame", None)
    named = {name: getattr(message, name, None) for name in ("verdict", "model_version")}
    found = {f"seamline.{name}": str(value) for name, value in named.items() if isinstance(value, str)}
    return {**(_describe_frame(frame) if isinstance(frame, FrameIdentity) else {}), **found}


def _describe_frame(frame: FrameIdentity) -> dict[str, str]:
    return {"seamline.frame_id": frame.frame_id, "seamline.line": frame.line, "seamline.camera": frame.camera}


def _nanoseconds(moment: datetime) -> int:
    """Return a moment in nanoseconds of Unix time, which has more digits than a float."""
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


@contextmanager
def _lasting(spans: Sequence[Span], attributes: Attributes = MappingProxyType({})) -> Iterator[None]:
    """End spans with the block; they have failed if it raises an error."""
    for span in spans:
        span.describe(attributes)
    failure = ""
    try:
        yield
    except BaseException as error:
        failure = type(error).__name__
        raise
    finally:
        for span in spans:
            span.end(failure)


@contextmanager
def _as_current(trace: BatchTrace) -> Iterator[None]:
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)
