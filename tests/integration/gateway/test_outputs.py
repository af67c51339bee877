"""What outputs send, when, and what becomes of signals whose receiver is away. The receivers are real."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.gateway.check import check_outputs
from services.gateway.journal import Journal
from services.gateway.lines import LineSettings, LinesFile
from services.gateway.outputs.port import LineStatus, Signal, Trouble
from tests.integration.gateway.conftest import NAME, Product, Sending, a_test
from tests.mosquitto import Mosquitto
from tests.receiver import Receiver

Open = Callable[..., Sending]


# ── filter, delay, deadline ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_output_gets_the_parts_that_it_asks_for(sending: Open, receiver: Receiver, product: Product) -> None:
    out = sending(type="webhook", url=receiver.url, verdicts=["ng"], labels=["break"])
    out.decide(product.part(), product.part("break"), product.part("error"), product.part("break"))
    out.until(lambda: out.waiting == 0)
    assert [each.document["faults"] for each in receiver.accepted] == [["break"], ["break"]]
    counts = out.outbox.counts(NAME)
    assert (counts.decisions, counts.filtered, counts.sent, counts.missed) == (4, 2, 2, 0)
    assert counts.balanced


def test_a_signal_is_delayed_from_the_capture(sending: Open, receiver: Receiver, product: Product) -> None:
    out = sending(type="webhook", url=receiver.url, delay_ms=400)
    part = product.part(age=0.2)
    out.decide(part)
    out.until(lambda: out.waiting == 0)
    assert (datetime.now(UTC) - part.frame.captured_at).total_seconds() >= 0.4


@pytest.mark.parametrize("jump", [3_600, -3_600])
def test_a_clock_that_jumps_makes_no_waiting_signal_early_or_late(
    sending: Open, receiver: Receiver, product: Product, jump: float
) -> None:
    out = sending(type="webhook", url=receiver.url, delay_ms=400, deadline_ms=600_000)
    part = product.part()
    out.decide(part)
    out.clock.jump = jump
    out.until(lambda: out.waiting == 0)
    assert out.outbox.counts(NAME).sent == 1
    assert (datetime.now(UTC) - part.frame.captured_at).total_seconds() >= 0.4


def test_a_signal_after_its_deadline_is_missed_with_the_reason_and_never_sent(
    sending: Open, receiver: Receiver, product: Product
) -> None:
    receiver.mode = 503
    out = sending(type="webhook", url=receiver.url, deadline_ms=600_000)
    early, late = product.part(), product.part(age=700)
    out.decide(early, late)
    out.until(lambda: out.dispatcher.state.failing)
    out.clock.ahead = 700
    out.until(lambda: out.waiting == 0)
    receiver.mode = 200
    after = product.part(age=-700)
    out.decide(after)
    out.until(lambda: out.waiting == 0)
    assert [document["part"] for document in receiver.effective()] == [after.part]
    assert [reason for _, reason in out.outbox.reasons(NAME)] == [
        "its deadline had passed: decided too late",
        "its deadline had passed: the receiver answered 503: so",
    ]
    assert out.outbox.counts(NAME).balanced


def test_a_test_signal_is_marked_and_in_no_books(sending: Open, receiver: Receiver) -> None:
    out = sending(type="webhook", url=receiver.url, verdicts=["ok"], delay_ms=60_000, deadline_ms=90_000)
    assert out.outbox.add_test(a_test(), "out")
    assert not out.outbox.add_test(a_test(), "another")
    out.until(lambda: bool(receiver.accepted))
    assert receiver.accepted[0].document["test"] is True
    assert receiver.accepted[0].headers["X-Seamline-Test"] == "true"
    assert out.outbox.counts(NAME).decisions == out.outbox.counts(NAME).sent == 0


# ── webhook ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_webhook_is_signed_and_has_an_idempotency_key(
    sending: Open, receiver: Receiver, product: Product, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("of the plant\n")
    out = sending(type="webhook", url=receiver.url, secret_file=str(tmp_path / "secret"))
    part = product.part("break")
    out.decide(part)
    out.until(lambda: out.waiting == 0)
    (request,) = receiver.accepted
    moment, _, mac = request.headers["X-Seamline-Signature"].partition(",")
    signed = moment.removeprefix("t=").encode() + b"." + request.body
    assert mac == "v1=" + hmac.new(b"of the plant", signed, hashlib.sha256).hexdigest()
    assert request.headers["Idempotency-Key"] == request.document["id"] == f"line-1/{part.part}/out"
    assert Signal.model_validate(request.document).part == part.part


def test_nothing_is_lost_while_a_receiver_fails_hangs_and_is_away(
    sending: Open, receiver: Receiver, product: Product
) -> None:
    out = sending(type="webhook", url=receiver.url, timeout_seconds=0.3)
    parts = product.parts(20)
    modes: list[int | str] = [500, "hang", "away", 429]
    for number, mode in enumerate(modes):
        receiver.mode = mode
        if mode == "away":
            receiver.go_away()
        out.decide(*parts[5 * number : 5 * number + 5])
        out.until(lambda: out.dispatcher.state.failing)
        assert out.dispatcher.state.last_error
        if mode == "away":
            receiver.come_back()
        receiver.mode = 200
        out.until(lambda: out.waiting == 0)
        assert not out.dispatcher.state.failing
    assert [document["part"] for document in receiver.effective()] == [part.part for part in parts]
    assert out.outbox.counts(NAME).sent == 20


def test_a_signal_that_is_refused_blocks_no_other_one(sending: Open, receiver: Receiver, product: Product) -> None:
    out = sending(type="webhook", url=receiver.url)
    receiver.mode = 422
    out.decide(product.part())
    out.until(lambda: out.waiting == 0)
    receiver.mode = 200
    out.decide(product.part())
    out.until(lambda: out.waiting == 0)
    assert [reason for _, reason in out.outbox.reasons(NAME)] == ["the receiver answered 422: so"]
    assert out.outbox.counts(NAME).sent == len(receiver.accepted) == 1


def test_a_webhook_sends_the_signals_of_a_batch_together(sending: Open, receiver: Receiver, product: Product) -> None:
    out = sending(type="webhook", url=receiver.url, every_seconds=60)
    first, others = product.parts(3), product.parts(2)
    second = [part.model_copy(update={"frame": part.frame.model_copy(update={"batch": "batch-8"})}) for part in others]
    out.decide(*first)
    assert out.dispatcher.turn() > 0, "more signals of the batch may come"
    receiver.mode = 422
    out.decide(*second)
    out.dispatcher.turn()
    assert [reason for _, reason in out.outbox.reasons(NAME)] == 3 * ["the receiver answered 422: so"]
    receiver.mode = 200
    out.clock.ahead += 60
    out.until(lambda: out.waiting == 0)
    (request,) = receiver.accepted
    assert [document["part"] for document in json.loads(request.body)] == [part.part for part in second]
    out.clock.ahead = 0
    out.outbox.add_test(a_test(), "out")
    out.until(lambda: len(receiver.accepted) == 2)
    assert [document["test"] for document in json.loads(receiver.accepted[1].body)] == [True]
    counts = out.outbox.counts(NAME)
    assert (counts.sent, counts.missed) == (2, 3)


def test_what_is_not_sent_is_sent_after_a_restart(
    sending: Open, receiver: Receiver, product: Product, journal: Journal
) -> None:
    before = sending(type="webhook", url=receiver.url)
    parts = product.parts(3)
    before.decide(*parts)
    after = sending(type="webhook", url=receiver.url)
    after.until(lambda: after.waiting == 0)
    assert [document["part"] for document in receiver.effective()] == [part.part for part in parts]


def test_a_signal_of_a_gateway_that_was_killed_before_it_noted_the_answer_comes_again_with_the_same_key(
    sending: Open, receiver: Receiver, product: Product
) -> None:
    killed = sending(type="webhook", url=receiver.url)
    killed.decide(part := product.part())
    killed.output.send([Signal.of(part, "out", killed.settings)])
    after = sending(type="webhook", url=receiver.url)
    after.until(lambda: after.waiting == 0)
    assert [each.headers["Idempotency-Key"] for each in receiver.accepted] == 2 * [f"line-1/{part.part}/out"]
    assert [document["part"] for document in receiver.effective()] == [part.part]
    assert after.outbox.counts(NAME).sent == 1


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_batch_is_a_file_that_is_there_whole(sending: Open, product: Product, tmp_path: Path, form: str) -> None:
    out = sending(type="file", folder=str(tmp_path / "mes"), format=form, every_seconds=0.3)
    first, second = product.parts(3), product.parts(2)
    other = [part.model_copy(update={"frame": part.frame.model_copy(update={"batch": "batch-8"})}) for part in second]
    out.decide(*first, *other)
    out.until(lambda: out.waiting == 0)
    files = sorted((tmp_path / "mes").iterdir())
    assert [(file.name.split(".")[1], file.suffix) for file in files] == [
        ("batch-7", f".{form}"),
        ("batch-8", f".{form}"),
    ]
    with files[0].open() as file:
        rows = list(csv.DictReader(file)) if form == "csv" else [json.loads(line) for line in file]
    assert [row["part"] for row in rows] == [part.part for part in first]
    out.outbox.add_test(a_test(), "out")
    out.until(lambda: not out.outbox.waiting(NAME, 1))
    (test,) = (tmp_path / "mes").glob("line-1.no-batch.*")
    with test.open() as file:
        (row,) = list(csv.DictReader(file)) if form == "csv" else [json.loads(line) for line in file]
    assert (row["part"], str(row["test"])) == ("test-1", "True")


def test_a_folder_that_cant_be_written_to_is_reported_and_loses_nothing(
    sending: Open, product: Product, tmp_path: Path
) -> None:
    (tmp_path / "mes").write_text("in the way")
    out = sending(type="file", folder=str(tmp_path / "mes"), every_seconds=0.1)
    out.decide(product.part())
    out.until(lambda: out.dispatcher.state.failing)
    assert str(tmp_path / "mes") in out.dispatcher.state.last_error
    (tmp_path / "mes").unlink()
    out.until(lambda: out.waiting == 0)
    assert len(list((tmp_path / "mes").iterdir())) == 1


# ── MQTT ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_decisions_are_published_beside_a_retained_state(sending: Open, mosquitto: Mosquitto, product: Product) -> None:
    out = sending(**mosquitto.settings, topic="plant/one")
    parts = product.parts(5)
    with mosquitto.subscriber("plant/one/#") as plant:
        out.decide(*parts)
        out.until(lambda: out.waiting == 0)
        plant.until(lambda received: len(received) == 6)
    decisions = [document for topic, document in plant.messages if topic == "plant/one/line-1/decision"]
    assert [document["part"] for document in decisions] == [part.part for part in parts]
    with mosquitto.subscriber("plant/one/line-1/decision") as plant:
        out.outbox.add_test(a_test(), "out")
        out.until(lambda: not out.outbox.waiting(NAME, 1))
        plant.until(lambda received: [(each["part"], each["test"]) for _, each in received] == [("test-1", True)])
    with mosquitto.subscriber("plant/one/line-1/state") as later:
        later.until(lambda received: len(received) == 1 and received[0][1]["online"] is False)
        out.output.show(LineStatus(Trouble.NONE))
        well = {"online": True, "ready": True, "error": 0, "reason": ""}
        later.until(lambda received: received[-1][1] == well)
        (checked,) = check_outputs(LinesFile(lines={"line-1": LineSettings(outputs={"out": out.settings})}))
        assert not checked.failure
        out.output.show(LineStatus(Trouble.NONE, check_due="a check is due"))
        later.until(lambda received: received[-1][1] == {**well, "ready": False, "reason": "a check is due"})
        out.output.show(LineStatus(Trouble.CAMERA, "unplugged"))
        unwell = {"online": False, "ready": False, "error": 2, "reason": "unplugged"}
        later.until(lambda received: received[-1][1] == unwell)
        out.output.close()
        later.until(lambda received: received[-1][1]["reason"] == "the gateway is gone")
        reasons = [document["reason"] for _, document in later.messages]
        assert reasons.count("the gateway is gone") == 1, "a check of the settings says nothing about the line"


def test_a_broker_that_goes_away_gets_each_signal_that_is_not_too_late(
    sending: Open, mosquitto: Mosquitto, product: Product
) -> None:
    out = sending(**{**mosquitto.settings, "timeout_seconds": 2}, topic="plant/two", deadline_ms=600_000)
    with mosquitto.subscriber("plant/two/+/decision") as plant:
        out.decide(before := product.part())
        out.until(lambda: out.waiting == 0)
        mosquitto.server.kill()
        try:
            out.decide(gone := product.part(), old := product.part(age=500))
            out.until(lambda: out.dispatcher.state.failing)
            out.clock.ahead = 200
            out.until(lambda: out.waiting == 1)
        finally:
            mosquitto.server.start()
        out.until(lambda: out.waiting == 0)
        plant.until(lambda received: len(received) >= 1)
    assert [missed for missed, _ in out.outbox.reasons(NAME)] == [f"line-1/{old.part}/out"]
    assert {document["part"] for _, document in plant.messages} <= {before.part, gone.part}
    assert out.outbox.counts(NAME).sent == 2


def test_a_wrong_password_is_reported(sending: Open, mosquitto: Mosquitto, product: Product, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong")
    out = sending(**{**mosquitto.settings, "password_file": str(tmp_path / "wrong"), "timeout_seconds": 3_600})
    out.decide(product.part())
    out.until(lambda: out.dispatcher.state.failing)
    assert "Not authorized" in out.dispatcher.state.last_error
    assert "wrong" not in out.dispatcher.state.last_error
