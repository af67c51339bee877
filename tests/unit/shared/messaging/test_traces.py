"""Spans of frames: what they link and say, what is sent without a sampler's consent, and which settings are refused."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from shared import topology
from shared.errors import CannotStart
from shared.health import Health
from shared.messages import FrameCaptured, Message
from shared.messaging import traces
from shared.messaging.loop import Loop, Outcome, Received
from shared.messaging.port import Broker
from shared.messaging.sqlite import SqliteBroker
from shared.tracing import setup
from shared.tracing.otlp import span_id_of, trace_id_of
from tests.messages import captured, identity, inspected
from tests.receiver import receiving
from tests.spans import SeenSpan, traced

ALLOWED = {"frame_id", "line", "camera", "part", "verdict", "model_version", "output"}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*setup.ENDPOINTS, *setup.PROTOCOLS, "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = SqliteBroker(tmp_path, [topology.INFERENCE_FRAMES, topology.DASHBOARD_VERDICTS])
    yield broker
    broker.close()


def capture(broker: Broker, frames: int) -> None:
    """Publish frames as a camera does."""
    publisher = broker.publisher()
    for number in range(frames):
        with traces.capturing(identity(number)) as trace:
            trace.publish(publisher, captured(number)).result(60)
    publisher.close()


def inspect(broker: Broker, rejected: Sequence[int] = ()) -> None:
    """Handle the waiting frames as one batch."""
    stop = threading.Event()

    def judge(batch: Sequence[Received]) -> Outcome:
        stop.set()
        with traces.current().step("infer"):
            frames = [received.message for received in batch if isinstance(received.message, FrameCaptured)]
        answers: list[Message] = [
            inspected(frame.frame.sequence) for place, frame in enumerate(frames) if place not in rejected
        ]
        return Outcome(answers, rejected=dict.fromkeys(rejected, "it is out of the question"))

    frames = broker.subscribe(topology.INFERENCE_FRAMES, prefetch=8)
    Loop(frames, broker.publisher(), judge, stop, Health()).run(8, 60)


def spans_of(broker: Broker, *, frames: int = 1, rejected: Sequence[int] = (), **settings: str) -> list[SeenSpan]:
    """Capture frames and inspect them as one batch, and return their spans."""
    with traced(**settings) as spans:
        capture(broker, frames)
        inspect(broker, rejected)
    return spans


def test_a_frame_has_one_trace_from_its_capture_over_the_queue_to_its_verdict(
    broker: Broker,
) -> None:
    spans = spans_of(broker)
    assert {span.trace for span in spans} == {f"{trace_id_of(identity(0).frame_id):032x}"}
    by_name = {span.name: span for span in spans}
    above = {name: next((other.name for other in spans if other.id == by_name[name].parent), "") for name in by_name}
    assert above == {
        "capture": "",
        "publish seamline.frames": "capture",
        "wait inference.frames": "publish seamline.frames",
        "process inference.frames": "publish seamline.frames",
        "infer": "process inference.frames",
        "publish seamline.verdicts": "process inference.frames",
    }
    assert by_name["capture"].id == f"{span_id_of(identity(0).frame_id, 'capture'):016x}"
    assert {span.service for span in spans} == {"seamline-test"}


def test_a_batch_has_one_span_that_links_its_frames_and_they_link_it(broker: Broker) -> None:
    spans = spans_of(broker, frames=3)
    (batch,) = [span for span in spans if span.name == "batch inference.frames"]
    processed = [span for span in spans if span.name == "process inference.frames"]
    assert len({span.trace for span in processed}) == 3
    assert set(batch.links) == {span.id for span in processed}
    assert [span.links for span in processed] == [(batch.id,)] * 3
    assert batch.attributes["messaging.batch.message_count"] == 3


def test_spans_say_which_frame_and_verdict_and_nothing_else(broker: Broker) -> None:
    spans = spans_of(broker)
    said = {name: value for span in spans for name, value in span.attributes.items()}
    assert {name.removeprefix("seamline.") for name in said if name.startswith("seamline.")} <= ALLOWED
    assert {name for name in said if not name.startswith("seamline.")} == {"messaging.destination.name"}
    assert (said["seamline.frame_id"], said["seamline.verdict"]) == (identity(0).frame_id, "ok")


def test_a_rejected_frame_has_a_failed_span(broker: Broker) -> None:
    spans = spans_of(broker, frames=2, rejected=[1])
    failures = [span.failure for span in spans if span.name == "process inference.frames"]
    assert sorted(failures) == ["", "Reject"]


def test_frames_that_are_not_sampled_have_no_headers_and_no_spans(broker: Broker) -> None:
    spans = spans_of(broker, frames=8, OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0.5")
    ids = [trace_id_of(identity(number).frame_id) for number in range(8)]
    expected = {f"{trace:032x}" for trace in ids if trace & (2**64 - 1) < 2**63}
    assert {span.trace for span in spans} == expected
    assert 0 < len(expected) < 8
    with traced(OTEL_TRACES_SAMPLER="always_off") as nothing:
        capture(broker, 1)
        (delivery,) = broker.subscribe(topology.INFERENCE_FRAMES, prefetch=1).receive(1, 60)
    assert (nothing, delivery.headers) == ([], {})


def test_another_process_continues_the_traces_of_the_frames_of_a_part(broker: Broker) -> None:
    frames = [identity(number).frame_id for number in range(2)]
    spans = spans_of(broker, frames=2)
    with (
        traced() as later,
        traces.signalling("line-1/plc", frames),
        pytest.raises(OSError, match="away"),
        traces.signalling("line-1/history", frames),
    ):
        raise OSError("it is away, at http://user:secret@plc")
    assert {span.trace for span in later} == {span.trace for span in spans}
    assert {span.parent for span in later} == {f"{span_id_of(frame, 'decide'):016x}" for frame in frames}
    failures = {span.attributes["seamline.output"]: span.failure for span in later}
    assert failures == {"line-1/plc": "", "line-1/history": "OSError"}


def test_a_collector_that_takes_nothing_costs_no_frame(broker: Broker) -> None:
    with receiving() as collector:
        collector.mode = 400
        endpoint = f"http://127.0.0.1:{collector.port}/v1/traces"
        assert spans_of(broker, frames=3, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=endpoint) == []
        assert collector.tries
    assert broker.depth(topology.DASHBOARD_VERDICTS.name).ready == 3


def test_without_a_collector_nothing_of_opentelemetry_is_imported_and_messages_have_no_headers(broker: Broker) -> None:
    setup.configure_tracing("test")
    capture(broker, 1)
    (delivery,) = broker.subscribe(topology.INFERENCE_FRAMES, prefetch=1).receive(1, 60)
    assert delivery.headers == {}
    code = (
        "import sys; from shared.tracing.setup import configure_tracing; import shared.messaging.loop, shared.service; "
        "configure_tracing('test'); print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:secret@collector:4318", "give it in OTEL_EXPORTER_OTLP_HEADERS"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "write it as http://HOST:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:99999", "write it as http://HOST:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "unset it"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "is one of always_on"),
        ("OTEL_TRACES_SAMPLER_ARG", "10", "0 to 1"),
    ],
)
def test_a_variable_that_cant_be_used_is_refused_with_advice(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, advice: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv(name, value)
    with pytest.raises(CannotStart, match=advice) as refused:
        setup.configure_tracing("test")
    assert "secret" not in str(refused.value)
