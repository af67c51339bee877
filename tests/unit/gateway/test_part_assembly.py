"""When parts are complete, and what becomes of frames that come late or never."""

from __future__ import annotations

from datetime import timedelta

from services.gateway.part_assembly import GAP_LIMIT, Assembly, Changes, Now
from services.gateway.rule import Plan
from shared.messages import FrameIdentity, FrameInspected, PartDecided
from tests.messages import MOMENT, SESSION, identity
from tests.parts import at, plan, verdict


class Line:
    """An assembly with a memory of its decisions, as the journal gives it one."""

    def __init__(self, how: Plan) -> None:
        self.plan = how
        self.decided: dict[str, PartDecided] = {}
        self.late: list[str] = []
        self.expected: list[FrameIdentity] = []
        self.assembly = Assembly(self._frames_of)

    def add(self, found: FrameInspected, now: Now) -> Changes:
        self.expire(now)
        changes = Changes()
        self.assembly.add(found, self.plan, now, changes)
        return self._took(changes)

    def captured(self, sequence: int, now: Now) -> Changes:
        changes = Changes()
        self.assembly.captured(identity(sequence, captured_at=now.wall), now, changes)
        return self._took(changes)

    def expire(self, now: Now) -> Changes:
        changes = Changes()
        self.assembly.expire(now, changes)
        return self._took(changes)

    def _took(self, changes: Changes) -> Changes:
        for key, decision in changes.decided:
            assert key not in self.decided, "decided twice"
            self.decided[key] = decision
        self.late += [frame.frame_id for _, frame in changes.late]
        return changes

    def _frames_of(self, key: str) -> frozenset[str] | None:
        decision = self.decided.get(key)
        return frozenset((*decision.frames, *decision.late)) if decision else None


def only(changes: Changes) -> PartDecided:
    [(_, decision)] = changes.decided
    return decision


def test_each_frame_is_a_part_that_is_decided_at_once() -> None:
    line = Line(plan())
    decision = only(line.add(verdict(7, "ng"), at(0.1)))
    assert (decision.part, decision.frames) == (f"{SESSION}-000000007", (f"{SESSION}-000000007",))
    assert (decision.verdict, decision.action, decision.faults) == ("ng", "reject", ("good", "break"))
    assert decision.latency_ms == 100


def test_frames_in_a_row_are_a_part_by_their_numbers_in_whatever_order_they_come() -> None:
    line = Line(plan(of="frames", frames=3))
    for sequence in (4, 2, 5, 0, 1):
        line.add(verdict(sequence), at(0.1))
    assert [decision.part for decision in line.decided.values()] == [f"{SESSION}-000000000"]
    assert only(line.add(verdict(3), at(0.2))).frames == tuple(f"{SESSION}-{n:09d}" for n in (3, 4, 5))


def test_a_part_of_several_cameras_is_complete_when_each_has_seen_it() -> None:
    line = Line(plan(of="identity", cameras=["front", "back"]))
    assert not line.add(verdict(0, camera="front", part="p1"), at(0.1)).decided
    assert not line.add(verdict(1, camera="front", part="p1"), at(0.1)).decided
    assert not line.add(verdict(2, camera="back", part="p2"), at(0.1)).decided
    assert only(line.add(verdict(3, camera="back", part="p1"), at(0.2))).part == "p1"


def test_without_a_number_of_frames_the_deadline_completes_a_part() -> None:
    line = Line(plan(of="identity", deadline_ms=500))
    line.add(verdict(0, part="p1"), at(0.1))
    line.add(verdict(1, part="p1"), at(0.4))
    assert not line.expire(at(0.49)).decided
    decision = only(line.expire(at(0.5)))
    assert (decision.verdict, len(decision.frames), decision.missing) == ("ok", 2, 0)


def test_a_part_that_lacks_a_frame_at_its_deadline_is_not_inspected_and_rejected() -> None:
    line = Line(plan(of="identity", cameras=["front", "back"], deadline_ms=500))
    line.add(verdict(0, camera="front", part="p1"), at(0.1))
    decision = only(line.expire(at(0.5)))
    assert (decision.verdict, decision.action, decision.missing) == ("not_inspected", "reject", 1)


def test_a_late_frame_is_recorded_and_changes_nothing() -> None:
    line = Line(plan(of="identity", cameras=["front", "back"], deadline_ms=500))
    line.add(verdict(0, camera="front", part="p1"), at(0.1))
    line.expire(at(0.5))
    assert not line.add(verdict(1, "ng", camera="back", part="p1"), at(0.6)).decided
    assert line.late == [f"{SESSION}-000000001"]
    assert line.add(verdict(0, camera="front", part="p1"), at(0.7)).repeated == 1


def test_a_verdict_that_comes_after_the_deadline_of_its_part_is_no_inspection_in_time() -> None:
    decision = only(Line(plan(deadline_ms=500)).add(verdict(0), at(0.6)))
    assert (decision.verdict, decision.frames, decision.late) == ("not_inspected", (), (f"{SESSION}-000000000",))


def test_a_frame_that_no_worker_inspects_is_a_part_that_was_not_inspected() -> None:
    """The numbers of a camera have no gaps, so the next frame tells that one is missing."""
    line = Line(plan(deadline_ms=500))
    line.add(verdict(0), at(0.1))
    line.add(verdict(3, captured_at=MOMENT + timedelta(seconds=0.3)), at(0.4))
    assert [key[-1] for key in line.decided] == ["0", "3"]
    missing = line.expire(at(0.9)).decided
    assert [(key[-1], decision.verdict, decision.missing) for key, decision in missing] == [
        ("1", "not_inspected", 1),
        ("2", "not_inspected", 1),
    ]
    assert [decision.frame.captured_at for _, decision in missing] == [
        MOMENT + timedelta(seconds=0.1),
        MOMENT + timedelta(seconds=0.2),
    ]


def test_a_missing_frame_has_what_the_triggers_on_both_sides_say_and_nothing_else() -> None:
    line = Line(plan(deadline_ms=500))
    line.add(verdict(0, batch="b-1", order="order-a", operator="eva"), at(0.1))
    line.add(verdict(2, batch="b-1", order="order-b", operator="eva"), at(0.1))
    [(_, missing)] = line.expire(at(9)).decided
    assert (missing.frame.batch, missing.frame.order, missing.frame.operator) == ("b-1", None, "eva")


def test_a_frame_out_of_order_is_not_missing() -> None:
    line = Line(plan(deadline_ms=500))
    for sequence in (0, 2, 1):
        line.add(verdict(sequence), at(0.1))
    assert not line.expire(at(9)).decided
    assert [decision.verdict for decision in line.decided.values()] == ["ok", "ok", "ok"]


def test_the_report_of_a_camera_tells_of_the_last_frames_too() -> None:
    line = Line(plan(deadline_ms=500))
    line.add(verdict(0), at(0.1))
    line.captured(2, at(0.2))
    line.captured(2, at(0.3))
    assert [key[-1] for key, _ in line.expire(at(9)).decided] == ["1", "2"]
    assert not line.captured(2, at(10)).decided


def test_a_large_gap_is_bounded() -> None:
    line = Line(plan())
    line.add(verdict(0), at(0.1))
    line.add(verdict(900_000_000), at(0.2))
    assert len(line.expire(at(60)).decided) == GAP_LIMIT


def test_a_wall_clock_that_jumps_moves_no_deadline_of_a_part_that_has_begun() -> None:
    for jump in (timedelta(hours=-1), timedelta(0), timedelta(hours=1)):
        line = Line(plan(of="frames", frames=2, deadline_ms=500))
        line.add(verdict(0), at(0.1))
        assert not line.expire(Now(1_000.4, MOMENT + jump)).decided
        assert line.expire(Now(1_000.5, MOMENT + jump)).decided


def test_a_part_is_restored_with_its_frames_and_its_deadline() -> None:
    before = Line(plan(of="frames", frames=3, deadline_ms=500))
    before.add(verdict(0, "ng"), at(0.1))
    after = Line(before.plan)
    after.assembly.restore(f"line-1/{SESSION}-000000000", after.plan, verdict(0, "ng"), at(0.2))
    assert not after.add(verdict(0, "ng"), at(0.3)).decided
    decision = only(after.expire(at(0.5)))
    assert (decision.verdict, decision.missing) == ("ng", 2)


def test_a_part_whose_frames_were_inspected_by_two_recipes_is_not_inspected() -> None:
    line = Line(plan(of="identity", frames=2))
    line.add(verdict(0, part="part-1"), at(0.1))
    line.plan = plan("bolt", of="identity", frames=2)
    mixed = only(line.add(verdict(1, "ng", part="part-1"), at(0.2)))
    assert (mixed.verdict, mixed.recipe) == ("not_inspected", "seam")
    line.add(verdict(2, part="part-2"), at(0.3))
    whole = only(line.add(verdict(3, part="part-2"), at(0.4)))
    assert (whole.verdict, whole.recipe) == ("ok", "bolt")


def test_verdicts_around_a_change_of_the_recipe_may_come_in_any_order() -> None:
    before, after = plan(), plan("bolt")
    line = Line(after)
    line.add(verdict(0), at(0.1))
    line.add(verdict(3), at(0.2))
    assert [frame.sequence for part in line.assembly._parts.values() for frame in part.expected.values()] == [1, 2]
    line.plan = before
    decisions = [only(line.add(verdict(number, "ng"), at(0.3))) for number in (2, 1)]
    assert {(each.verdict, each.recipe) for each in decisions} == {("ng", "seam")}


def test_frames_between_two_sizes_of_parts_belong_to_the_parts_of_their_own_verdicts() -> None:
    pairs, triples = plan(of="frames", frames=2), plan("bolt", of="frames", frames=3)
    line = Line(pairs)
    for number, (sequence, how) in enumerate([(4, pairs), (7, triples), (5, pairs), (6, triples), (8, triples)]):
        line.plan = how
        line.add(verdict(sequence), at(0.1 * number))
    assert {(each.verdict, each.recipe, len(each.frames)) for each in line.decided.values()} == {
        ("ok", "seam", 2),
        ("ok", "bolt", 3),
    }
    assert line.assembly.pending == 0
