"""The gateway as a process of its own: verdicts in, one decision per part out, over both brokers."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from services.gateway import handler
from services.gateway.journal import Journal
from services.gateway.lines import read_lines
from services.gateway.signal_outbox import SignalOutbox
from shared import topology
from shared.messages import FrameInspected, PartDecided
from shared.storage.filesystem import FilesystemStore
from tests.broker_address import BrokerAddress
from tests.collector import Collector
from tests.integration.gateway.test_modbus import plc_at
from tests.mosquitto import Mosquitto
from tests.parts import RECIPE, verdict
from tests.processes import ChildServer, free_port, listens, wait_until
from tests.workers import Line

embedded = pytest.mark.parametrize("broker_address", ["sqlite"], indirect=True)
THREE = "parts: {of: frames, frames: 3, deadline_ms: 600000}"


@pytest.fixture
def line(broker_address: BrokerAddress, tmp_path: Path) -> Iterator[Line]:
    line = Line(broker_address, tmp_path)
    yield line
    line.broker.close()


@pytest.fixture
def decisions(line: Line) -> Iterator[Collector[PartDecided]]:
    with Collector(line.broker, topology.DASHBOARD_PARTS, PartDecided) as collector:
        yield collector


def learn(line: Line, parts: str) -> None:
    """Store the recipe of the model version that inspects the frames of these tests."""
    FilesystemStore(line.objects).put("models/seam/v1/recipe.yaml", f"{RECIPE}\n{parts}\n".encode())


@contextmanager
def acting(line: Line, folder: Path, **settings: str) -> Iterator[ChildServer]:
    """A gateway that acts; its journal is in the folder."""
    logs = set(line.folder.glob("gateway-*.log"))
    with line.running("gateway", FOLDER=str(folder), **settings) as gateway:
        (log,) = set(line.folder.glob("gateway-*.log")) - logs
        wait_until(lambda: "this gateway is active" in log.read_text(), 120, "the gateway to act")
        yield gateway


def now(sequence: int, said: str = "ok", *, age: float = 0, **frame: Any) -> FrameInspected:
    """The verdict on a frame captured ``age`` seconds ago."""
    return verdict(sequence, said, captured_at=datetime.now(UTC) - timedelta(seconds=age), **frame)


def parts(received: Sequence[PartDecided]) -> list[PartDecided]:
    """Each decision once: one that was published and not yet noted as such comes again after a restart."""
    return list({one.part: one for one in received}.values())


def test_each_part_is_decided_once_however_often_its_verdicts_come(
    line: Line, decisions: Collector[PartDecided], tmp_path: Path
) -> None:
    learn(line, THREE)
    with acting(line, tmp_path / "gateway", REPORT_SECONDS="0.5") as gateway:
        verdicts = [now(number, "ng" if number == 4 else "ok") for number in (1, 0, 2, 3, 5, 4)]
        line.send(*verdicts, *verdicts)
        decisions.until(lambda received: len(received) >= 2, 120)
        incomplete = [now(number, age=592) for number in (7, 6)]
        line.send(*incomplete, *incomplete)
        decisions.until(lambda received: len(received) >= 3, 120)
        last = [now(number) for number in (9, 10, 11)]
        line.send(now(8), *verdicts, *incomplete, *last)
        received = decisions.until(lambda received: len(received) >= 4, 120)
        gateway.stop()
    assert [(one.verdict, one.action, len(one.frames), one.missing) for one in received] == [
        ("ok", "pass", 3, 0),
        ("ng", "reject", 3, 0),
        ("not_inspected", "reject", 2, 1),
        ("ok", "pass", 3, 0),
    ]
    for queue in (topology.GATEWAY_VERDICTS, topology.GATEWAY_REPORTS):
        assert line.broker.depth(queue.parked).total == 0
    assert line.broker.depth(topology.GATEWAY_VERDICTS.name).total == 0


@embedded
def test_a_gateway_that_is_killed_in_the_middle_of_a_part_continues_with_it(
    line: Line, decisions: Collector[PartDecided], tmp_path: Path
) -> None:
    learn(line, THREE)
    verdicts = [now(number) for number in range(6)]
    with line.running("gateway", FOLDER=str(tmp_path / "gateway"), LEASE_SECONDS="60") as gateway:
        line.send(*verdicts[:5])
        decisions.until(lambda received: len(received) == 1, 120)
        gateway.kill()
    with line.running("gateway", FOLDER=str(tmp_path / "gateway"), LEASE_SECONDS="60"):
        line.send(verdicts[5], *verdicts)
        decisions.until(lambda received: len(parts(received)) == 2, 120)
        received = parts(decisions.for_a_while(0.5))
    assert [[frame[-1] for frame in one.frames] for one in received] == [["0", "1", "2"], ["3", "4", "5"]]
    assert {one.verdict for one in received} == {"ok"}


DIES: Final = """
import os, signal
from shared.messaging.{module}.consumer import {subscription} as Subscription
acknowledge = Subscription.acknowledge
def die(self, deliveries):
    if any(delivery.queue == "gateway.verdicts" for delivery in deliveries):
        os.kill(os.getpid(), signal.SIGKILL)
    acknowledge(self, deliveries)
Subscription.acknowledge = die
"""
"""Code of a gateway that is killed after it has committed a decision and before it acknowledges the verdict."""


def test_a_gateway_that_is_killed_between_commit_and_acknowledgement_decides_about_the_part_once(
    line: Line, decisions: Collector[PartDecided], tmp_path: Path
) -> None:
    learn(line, "parts: {of: frame, deadline_ms: 60000}")
    output = {"type": "file", "folder": str(tmp_path / "mes"), "format": "jsonl", "every_seconds": 0.1}
    lines = tmp_path / "lines.yaml"
    lines.write_text(json.dumps({"lines": {"line-1": {"outputs": {"mes": output}}}}))
    settings = {"LINES": str(lines), "LEASE_SECONDS": "1"}
    embedded = line.address.is_sqlite
    code = DIES.format(
        module="sqlite" if embedded else "rabbitmq",
        subscription="SqliteSubscription" if embedded else "RabbitSubscription",
    )
    with line.running("gateway", code, FOLDER=str(tmp_path / "gateway"), **settings) as killed:
        line.send(now(0, "ng"))
        wait_until(lambda: killed.exit_code == -signal.SIGKILL, 120, "the kill")
    with acting(line, tmp_path / "gateway", **settings) as gateway:
        line.send(now(1))
        decisions.until(lambda told: len({one.part for one in told}) == 2, 120)
        wait_until(lambda: len(signals(tmp_path / "mes")) == 2, 120, "the signals")
        gateway.stop()
    assert line.broker.depth(topology.GATEWAY_VERDICTS.name).total == 0
    told = decisions.for_a_while(0.5)
    assert sorted({(one.part[-1], one.verdict, one.at) for one in told}) == sorted(
        (one.part[-1], one.verdict, one.at) for one in {one.part: one for one in told}.values()
    ), "a decision that is published again is the same"
    with Journal(tmp_path / "gateway", timedelta(days=7)) as journal:
        assert journal.totals("line-1") == {"ng": 1, "ok": 1}
        assert journal.late_frames() == []


RATE, BURST, BURSTS = 200, 20, 30
"""Parts per second; parts that are inspected together; how often."""


@embedded
def test_at_200_parts_per_second_each_part_has_one_decision_and_each_signal_is_sent_or_missed_with_its_reason(
    line: Line, decisions: Collector[PartDecided], mosquitto: Mosquitto, tmp_path: Path
) -> None:
    learn(line, "parts: {of: frame, deadline_ms: 600000}")
    outputs = {
        "plc": {"type": "modbus", "port": (port := free_port()), "buffer": 64, "deadline_ms": 1_500},
        "broker": {**mosquitto.settings, "topic": "fast", "deadline_ms": 600_000},
        "mes": {"type": "file", "folder": str(tmp_path / "mes"), "format": "jsonl", "every_seconds": 0.5},
    }
    lines = tmp_path / "lines.yaml"
    lines.write_text(json.dumps({"lines": {"line-1": {"outputs": outputs}}}))
    rng, verdicts = random.Random(200), list[FrameInspected]()
    with (
        acting(line, tmp_path / "gateway", LINES=str(lines)) as gateway,
        mosquitto.subscriber("fast/line-1/decision") as subscriber,
        plc_at(tmp_path, port) as plc,
    ):
        wait_until(lambda: listens(port), 120, "the Modbus server")
        for burst in range(BURSTS):
            if burst == BURSTS - 1:
                plc.hold.touch()
            before = verdicts[-BURST:]
            verdicts += [now(BURST * burst + each, "ng" if each % 7 == 0 else "ok") for each in range(BURST)]
            come = [*verdicts[-BURST:], *before]  # those of the burst before come again, in any order
            rng.shuffle(come)
            line.send(*come)
            time.sleep(BURST / RATE)
        decisions.until(lambda received: len(received) >= len(verdicts), 120)
        with closing(sqlite3.connect(f"file:{tmp_path / 'gateway' / 'journal.sqlite'}?mode=ro", uri=True)) as journal:
            waiting = "SELECT count(*) FROM signals"
            wait_until(lambda: journal.execute(waiting).fetchone() == (0,), 120, "each signal to be sent or missed")
        gateway.stop()
        received = decisions.for_a_while(0.5)
        subscriber.until(lambda messages: len(messages) >= len(verdicts))
        taken = [each["part"] for each in plc.results]
        published = [document["part"] for _, document in subscriber.messages]
    expected = {each.frame.frame_id: each.verdict.value for each in verdicts}
    assert len(received) == len(expected) == BURST * BURSTS, "each part has one decision"
    assert {each.part: each.verdict.value for each in received} == expected
    found = {
        "plc": taken,
        "broker": published,
        "mes": [json.loads(text)["part"] for text in signals(tmp_path / "mes")],
    }
    with Journal(tmp_path / "gateway", timedelta(days=7)) as journal:
        outbox = SignalOutbox(journal, read_lines(lines).outputs, handler.now)
        for name, parts_of_receiver in found.items():
            counts, missed = outbox.counts(f"line-1/{name}"), dict(outbox.reasons(f"line-1/{name}"))
            assert counts.decisions == counts.sent + counts.missed == len(expected), name
            assert counts.missed == len(missed)
            assert all(missed.values()), "each missed signal has its reason"
            assert len(parts_of_receiver) == len(set(parts_of_receiver)), "each signal is effective once"
            in_time = {part for part in expected if f"line-1/{part}/{name}" not in missed}
            assert in_time <= set(parts_of_receiver)
        assert outbox.counts("line-1/plc").missed >= BURST, "the PLC acknowledges nothing of the last burst"
        assert outbox.counts("line-1/mes").sent == outbox.counts("line-1/broker").sent == len(expected)


def signals(folder: Path) -> set[str]:
    """Return the signals that are in the files of a folder, each once."""
    return {text for file in folder.glob("*.jsonl") for text in file.read_text().splitlines()}


@embedded
def test_of_two_gateways_one_acts_and_the_other_takes_its_place(
    line: Line, decisions: Collector[PartDecided], tmp_path: Path
) -> None:
    learn(line, THREE)
    first = line.running("gateway", FOLDER=str(tmp_path / "first"), LEASE_SECONDS="5")
    second = line.running("gateway", FOLDER=str(tmp_path / "second"), LEASE_SECONDS="5")
    with first as acting:
        line.send(*[now(number) for number in range(3)])
        decisions.until(lambda received: len(received) == 1, 120)
        with second:
            log = tmp_path / "gateway-1.log"
            wait_until(lambda: "stands by" in log.read_text(), 120, "the second gateway to stand by")
            verdicts = [now(number) for number in range(3, 30)]
            line.send(*verdicts)
            decisions.until(lambda received: len(parts(received)) == 10, 120)
            journal = sqlite3.connect(f"file:{tmp_path / 'second' / 'journal.sqlite'}?mode=ro", uri=True)
            with closing(journal):
                adopted = "SELECT count(*) FROM decisions WHERE published = 1"
                wait_until(lambda: journal.execute(adopted).fetchone() == (9,), 120, "the second one to know them")
            acting.kill()
            line.send(*verdicts, *[now(number) for number in range(30, 33)])
            received = decisions.until(lambda received: len(parts(received)) == 11, 120)
            assert len(received) == 11, "no part is decided again by verdicts that come again"
            assert log.read_text().index("stands by") < log.read_text().index("this gateway is active")


@embedded
def test_a_line_whose_recipe_has_no_parts_is_left_alone(
    line: Line, decisions: Collector[PartDecided], tmp_path: Path
) -> None:
    learn(line, "")
    lines = tmp_path / "lines.yaml"
    lines.write_text("lines: {line-2: {parts: {of: frame}}}")
    with line.running("gateway", FOLDER=str(tmp_path / "gateway"), LINES=str(lines)):
        line.send(now(0), now(1), now(2, line="line-2"))
        received = decisions.until(lambda received: len(received) == 1, 120)
        wait_until(lambda: line.broker.depth(topology.GATEWAY_VERDICTS.name).total == 0, 120, "an empty queue")
    assert [one.frame.line for one in received] == ["line-2"]
