"""The check of a line on the embedded broker: the challenge set goes its way, and the record says what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from services.gateway.journal import Journal
from services.gateway.line_checks import LineChecks
from services.gateway.outputs.port import Signal
from services.gateway.outputs.settings import AnyOutput
from services.gateway.recipes import Recipes
from services.gateway.signal_outbox import SignalOutbox
from shared.messages import (
    CHECK_BY_CAMERA,
    ChallengePart,
    CheckFrame,
    CheckFrameInspected,
    CheckRequested,
    CheckState,
    LineChecked,
    decode,
)
from shared.messaging.sqlite import SqliteBroker
from shared.storage.filesystem import FilesystemStore
from shared.topology import DASHBOARD_CHECKS, INFERENCE_FRAMES, QUEUES
from tests.challenges import BROKEN, GOOD, answer, check, part
from tests.integration.gateway.conftest import Clock
from tests.messages import identity
from tests.parts import RECIPE, verdict

ANY: TypeAdapter[AnyOutput] = TypeAdapter(AnyOutput)
PARTS = "parts: {of: frame, deadline_ms: 2000}"


class Plant:
    """A line with outputs, whose workers and receivers the test is."""

    def __init__(self, journal: Journal, folder: Path, parts: str, outputs: dict[str, dict[str, Any]]) -> None:
        store = FilesystemStore(folder / "objects")
        store.put("models/seam/v1/recipe.yaml", f"{RECIPE}\n{parts}\n".encode())
        self.broker = SqliteBroker(folder / "broker")
        self.clock = Clock()
        self.journal = journal
        made = {name: ANY.validate_python(settings) for name, settings in outputs.items()}
        self.outbox = SignalOutbox(journal, {"line-1": made}, self.clock)
        self.recipes = Recipes(store, journal, {})
        self.checks = self.start()
        self._fed = 0
        self._frames = self.broker.subscribe(INFERENCE_FRAMES, 100)
        self._records = self.broker.subscribe(DASHBOARD_CHECKS, 100)

    def start(self) -> LineChecks:
        """A gateway that was just started."""
        return LineChecks(self.journal, self.recipes, self.outbox, self.broker.publisher(), self.clock)

    def begin(self, request: CheckRequested) -> str:
        self.checks.begin(request)
        self.checks.turn()
        return request.check_id

    def frames(self, count: int) -> list[CheckFrame]:
        """The frames that the workers get."""
        deliveries = [delivery for _ in range(count) for delivery in self._frames.receive(1, 60)]
        self._frames.acknowledge(deliveries)
        return [frame for delivery in deliveries if isinstance(frame := delivery.read(), CheckFrame)]

    def inspect(self, *said: str) -> list[CheckFrame]:
        """Answer the next frames as workers do, one verdict each."""
        frames = self.frames(len(said))
        self.checks.inspected([answer(frame, each) for frame, each in zip(frames, said, strict=True)])
        self.checks.turn()
        return frames

    def feed(self, *said: str) -> None:
        """Answer, as workers do, the frames of real parts whose triggers say that they are of a check."""
        for each in said:
            frame = identity(self._fed, captured_at=self.clock().wall, check=CHECK_BY_CAMERA)
            self._fed += 1
            found = {**dict(verdict(0, each)), "frame": frame, "image_key": None}
            self.checks.inspected([CheckFrameInspected(**found)])
            self.checks.turn()

    def signals(self, output: str) -> list[Signal]:
        return [waiting.signal for waiting in self.outbox.waiting(f"line-1/{output}", 100)]

    def send(self, output: str) -> None:
        self.outbox.sent(f"line-1/{output}", self.outbox.waiting(f"line-1/{output}", 100))

    def record(self) -> LineChecked:
        """The next record that is published."""
        self.checks.turn()
        (delivery,) = self._records.receive(1, 60)
        self._records.acknowledge([delivery])
        found = decode(delivery.body)
        assert isinstance(found, LineChecked)
        return found

    def count_of(self, queue: str) -> int:
        return self.broker.depth(queue).total


@pytest.fixture
def plant(journal: Journal, tmp_path: Path) -> Iterator[Callable[..., Plant]]:
    opened: list[Plant] = []

    def open_another(parts: str = PARTS, **outputs: dict[str, Any]) -> Plant:
        opened.append(Plant(journal, tmp_path, parts, outputs))
        return opened[-1]

    yield open_another
    for each in opened:
        each.broker.close()


def webhook(**settings: Any) -> dict[str, Any]:
    return {"type": "webhook", "url": "http://127.0.0.1:1/", **settings}


def test_the_parts_go_one_after_the_other_and_the_record_says_what_each_got(plant: Callable[..., Plant]) -> None:
    line = plant(mes=webhook())
    check_id = line.begin(check())
    (first,) = line.inspect("ok")
    (second,) = line.inspect("ng")
    for frame, challenge in ((first, GOOD), (second, BROKEN)):
        assert (frame.frame.check, frame.frame.part, frame.image_key) == (
            check_id,
            challenge.name,
            challenge.images[0].key,
        )
    signals = line.signals("mes")
    assert [(each.test, each.check, each.part, each.verdict) for each in signals] == [
        (True, check_id, "good-1", "ok"),
        (True, check_id, "break-1", "ng"),
    ]
    line.checks.turn()
    assert line.checks.report("line-1").state is CheckState.RUNNING  # type: ignore[union-attr]
    line.send("mes")
    record = line.record()
    assert (record.check_id, record.passed, record.reason, record.by) == (check_id, True, "", "eva")
    assert [(each.part, each.verdict, each.passed) for each in record.parts] == [
        (GOOD, "ok", True),
        (BROKEN, "ng", True),
    ]
    assert (record.recipe, record.model_versions, record.escapes, record.overkill) == ("seam", ("v1",), 0, 0)
    assert [(each.name, each.sent, each.missed) for each in record.outputs] == [("mes", 2, 0)]
    assert line.checks.report("line-1").state is CheckState.PASSED  # type: ignore[union-attr]


def test_nothing_of_a_check_is_counted_or_published_as_production(plant: Callable[..., Plant]) -> None:
    line = plant(mes=webhook())
    line.begin(check())
    line.inspect("ok")
    line.inspect("ng")
    line.send("mes")
    line.record()
    assert line.journal.totals("line-1") == {}
    assert line.journal.unpublished(100) == []
    counts = line.outbox.counts("line-1/mes")
    assert (counts.decisions, counts.sent, counts.missed, counts.waiting) == (0, 0, 0, 0)
    read = {INFERENCE_FRAMES.name, DASHBOARD_CHECKS.name}
    assert {queue.name: line.count_of(queue.name) for queue in QUEUES if queue.name not in read} == {
        queue.name: 0 for queue in QUEUES if queue.name not in read
    }


@pytest.mark.parametrize(
    ("challenge", "said", "outcome"),
    [
        (BROKEN, "ok", ("1 of 1 parts failed: break-1 has to be NG by break: no fault", 1, 0)),
        (GOOD, "ng", ("1 of 1 parts failed: good-1 has to be ok: 1 of 1 frames are NG: good, break", 0, 1)),
        (part("hole-1", "ng", "good", "break"), "ng", ("", 0, 0)),
        (
            GOOD,
            "error",
            ("1 of 1 parts failed: good-1 has to be ok: not inspected: of 1 frames 1 unreadable", 0, 0),
        ),
    ],
)
def test_a_part_passes_with_its_expected_verdict_alone(
    plant: Callable[..., Plant], challenge: ChallengePart, said: str, outcome: tuple[str, int, int]
) -> None:
    line = plant()
    line.begin(check(challenge))
    line.inspect(said)
    record = line.record()
    assert (record.reason, record.escapes, record.overkill) == outcome
    assert record.passed is not bool(outcome[0])


def test_a_part_that_is_ng_by_another_label_fails(plant: Callable[..., Plant]) -> None:
    line = plant()
    line.begin(check(part("stain-1", "ng", "stain")))
    line.inspect("ng")
    record = line.record()
    assert (record.passed, record.escapes) == (False, 0)
    assert "stain-1 has to be NG by stain: 1 of 1 frames are NG: good, break" in record.reason


def test_all_images_of_a_part_decide_about_it(plant: Callable[..., Plant]) -> None:
    line = plant("parts: {of: frames, frames: 2, rule: count, at_least: 2, deadline_ms: 2000}")
    line.begin(check(part("both", "ng", images=2), part("one", "ok", images=2)))
    line.inspect("ng", "ng")
    line.inspect("ok", "ng")
    record = line.record()
    assert record.passed, record.reason


def test_without_a_section_parts_any_ng_image_makes_the_part_ng(plant: Callable[..., Plant]) -> None:
    line = plant("")
    line.begin(check(part("one", "ng", images=2)))
    line.inspect("ok", "ng")
    assert line.record().passed


def test_a_verdict_after_the_deadline_of_the_line_is_late(plant: Callable[..., Plant]) -> None:
    line = plant()
    line.begin(check())
    line.clock.ahead += 2.1
    line.inspect("ok")
    line.inspect("ng")
    record = line.record()
    assert [each.verdict for each in record.parts] == ["not_inspected", "ng"]
    assert "good-1 has to be ok: not inspected: of 1 frames 1 missing or late" in record.reason


def test_without_a_worker_the_check_fails_at_its_deadline_and_sends_no_further_part(
    plant: Callable[..., Plant],
) -> None:
    line = plant(mes=webhook())
    line.begin(check(part_seconds=5.0))
    (frame,) = line.frames(1)
    line.clock.ahead += 5
    record = line.record()
    assert (record.passed, record.recipe, record.model_versions) == (False, None, ())
    assert record.reason == "1 of 2 parts failed: good-1 has to be ok: no worker answered within 5 s"
    assert line.signals("mes") == []
    line.checks.inspected([answer(frame)])
    line.checks.turn()
    assert line.count_of(INFERENCE_FRAMES.name) == line.count_of(DASHBOARD_CHECKS.name) == 0


def test_one_check_runs_at_a_time_on_a_line(plant: Callable[..., Plant]) -> None:
    line = plant()
    first = check(GOOD)
    line.begin(first)
    line.begin(first)
    other = line.begin(check())
    line.inspect("ok")
    done = line.record()
    assert (done.check_id, done.passed) == (first.check_id, True)
    report = line.checks.report("line-1")
    assert (report.check_id, report.state) == (first.check_id, CheckState.PASSED)  # type: ignore[union-attr]
    assert line.count_of(DASHBOARD_CHECKS.name) == 0, "a request that was ignored has no record"
    line.begin(check(GOOD, check_id=other))
    line.inspect("ok")
    assert line.record().check_id == other


def test_a_request_that_waited_for_a_gateway_is_not_run_any_more(plant: Callable[..., Plant]) -> None:
    line = plant()
    line.begin(check(after=-300))
    record = line.record()
    assert "no gateway took the request for 3" in record.reason
    assert line.count_of(INFERENCE_FRAMES.name) == 0


def test_a_check_that_a_restart_interrupts_has_failed(plant: Callable[..., Plant]) -> None:
    line = plant()
    check_id = line.begin(check())
    line.checks = line.start()
    record = line.record()
    assert (record.check_id, record.passed) == (check_id, False)
    assert record.reason == "the gateway was restarted while the check ran: run it again"
    line.checks = line.start()
    assert line.checks.report("line-1").reason == record.reason  # type: ignore[union-attr]


def test_a_missed_signal_fails_the_check(plant: Callable[..., Plant]) -> None:
    line = plant(mes=webhook(deadline_ms=500))
    line.begin(check(GOOD))
    line.inspect("ok")
    (waiting,) = line.outbox.waiting("line-1/mes", 10)
    assert waiting.expires - waiting.due == pytest.approx(0.5), "it has the deadline of the output, as in production"
    line.outbox.missed("line-1/mes", [waiting], "the receiver was too slow")
    record = line.record()
    assert (record.passed, record.reason) == (False, "output mes missed 1 signals: the receiver was too slow")


def test_a_signal_that_never_leaves_the_outbox_counts_as_missed(plant: Callable[..., Plant]) -> None:
    line = plant(mes=webhook())
    line.begin(check(GOOD))
    line.inspect("ok")
    line.clock.ahead += 61
    assert line.record().reason == "output mes missed 1 signals: it was not sent in time"


def test_a_look_at_the_signals_of_a_check_reads_no_others(plant: Callable[..., Plant]) -> None:
    line = plant(mes=webhook())
    line.begin(check(GOOD))
    line.inspect("ok")
    steps: list[int] = []

    def looked_at() -> int:
        """How many steps SQLite takes in a turn that finds that a signal waits."""
        steps.clear()
        line.journal.database.set_progress_handler(lambda: steps.append(1), 1)
        line.checks.turn()
        line.journal.database.set_progress_handler(None, 1)
        assert line.checks.report("line-1").state is CheckState.RUNNING  # type: ignore[union-attr]
        return len(steps)

    alone = looked_at()
    assert alone
    with line.journal.write() as database:
        others = [("line-1/mes", f"line-1/part-{number}/mes") for number in range(1_000)]
        others += [("line-1/mes", f"check/check-7/line-1/part-{number}/mes") for number in range(1_000)]
        database.executemany("INSERT INTO missed (output, id, reason, at) VALUES (?, ?, '', 0)", others)
        database.executemany("INSERT INTO signals (output, id, due, test, body) VALUES (?, ?, 0, 1, '')", others)
    assert looked_at() <= alone + 10


def test_filters_apply_and_a_receiver_that_knows_no_tests_gets_none(plant: Callable[..., Plant]) -> None:
    line = plant(gate=webhook(verdicts=["ng"]), relay=webhook(checks=False))
    line.begin(check())
    line.inspect("ok")
    line.inspect("ng")
    assert line.signals("relay") == []
    line.send("gate")
    record = line.record()
    assert record.passed
    assert [(each.name, each.sent, each.filtered, each.withheld) for each in record.outputs] == [
        ("gate", 1, 1, 0),
        ("relay", 0, 0, 2),
    ]


# ── real parts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_real_parts_are_compared_in_their_order_and_counted_nowhere(plant: Callable[..., Plant]) -> None:
    line = plant(mes=webhook())
    check_id = line.begin(check(by_camera=True))
    assert line.count_of(INFERENCE_FRAMES.name) == 0, "no image is sent"
    for said, challenge in (("ok", GOOD), ("ng", BROKEN)):
        assert line.checks.report("line-1").next_part == challenge.name  # type: ignore[union-attr]
        line.feed(said)
    assert [(each.test, each.check, each.verdict) for each in line.signals("mes")] == [
        (True, check_id, "ok"),
        (True, check_id, "ng"),
    ]
    line.send("mes")
    record = line.record()
    assert (record.passed, record.model_versions) == (True, ("v1",)), record.reason
    assert [(each.part, each.verdict) for each in record.parts] == [(GOOD, "ok"), (BROKEN, "ng")]
    assert [(each.name, each.sent) for each in record.outputs] == [("mes", 2)]
    assert line.journal.totals("line-1") == {}
    assert line.journal.unpublished(100) == []
    assert line.outbox.counts("line-1/mes").decisions == 0


def test_real_parts_in_another_order_fail(plant: Callable[..., Plant]) -> None:
    line = plant()
    line.begin(check(by_camera=True))
    line.feed("ng", "ok")
    record = line.record()
    assert (record.passed, record.escapes, record.overkill) == (False, 1, 1)


def test_several_frames_make_a_real_part(plant: Callable[..., Plant]) -> None:
    line = plant("parts: {of: frames, frames: 2, rule: count, at_least: 2, deadline_ms: 2000}")
    line.begin(check(by_camera=True))
    line.feed("ng", "ok", "ng", "ng")
    assert line.record().passed


def test_a_real_part_that_does_not_come_fails_the_check(plant: Callable[..., Plant]) -> None:
    line = plant()
    line.begin(check(by_camera=True, part_seconds=60.0))
    line.clock.ahead += 50
    line.feed("ok")
    line.clock.ahead += 50
    line.checks.turn()
    assert line.checks.report("line-1").state is CheckState.RUNNING  # type: ignore[union-attr]
    line.clock.ahead += 10
    record = line.record()
    assert record.reason == "1 of 2 parts failed: break-1 has to be NG by break: no part came within 60 s"


def test_a_real_part_belongs_to_no_check_of_images(plant: Callable[..., Plant]) -> None:
    line = plant()
    line.feed("ng")
    line.begin(check())
    line.feed("ng")
    line.inspect("ok")
    line.inspect("ng")
    assert line.record().passed
