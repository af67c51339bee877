"""Each part gets exactly one decision, whatever the order, the repetitions and the clocks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.part_assembly import Now, key_of
from shared.messages import FrameInspected
from tests.messages import MOMENT
from tests.parts import plan, verdict
from tests.unit.gateway.test_part_assembly import Line

DEADLINE = 0.5
ROUNDING = 1e-6
PLANS: list[dict[str, Any]] = [
    {},
    {"of": "frames", "frames": 3},
    {"of": "frames", "frames": 4, "rule": "row", "at_least": 2},
    {"of": "identity"},
    {"of": "identity", "frames": 2, "rule": "mean"},
    {"of": "identity", "cameras": ["camera-1", "camera-2"], "rule": "worst"},
]


@dataclass(frozen=True)
class Passes:
    """Time passes; the wall clock may jump meanwhile."""

    seconds: float
    jump: float = 0.0


@st.composite
def frames(draw: st.DrawFn) -> FrameInspected:
    sequence = draw(st.integers(0, 9))
    return verdict(
        sequence,
        draw(st.sampled_from(["ok", "ok", "ng", "error"])),
        camera=f"camera-{sequence % 2 + 1}",
        part=draw(st.sampled_from([None, "p1", "p2"])),
        captured_at=MOMENT + timedelta(seconds=0.05 * sequence),
    )


SAME_FRAME_SAME_VERDICT = st.lists(frames(), min_size=1, max_size=10, unique_by=lambda found: found.frame.frame_id)
PASSES = st.builds(Passes, st.sampled_from([0.0, 0.01, 0.2, 0.7]), st.sampled_from([0.0, 0.0, -3600.0, 3600.0]))


@st.composite
def events(draw: st.DrawFn) -> list[FrameInspected | Passes]:
    """Verdicts in any order, some of them several times, with time between them."""
    verdicts = draw(SAME_FRAME_SAME_VERDICT)
    repeated = draw(st.lists(st.sampled_from(verdicts), max_size=6))
    return draw(st.permutations([*verdicts, *repeated, *draw(st.lists(PASSES, max_size=6))]))


@given(st.sampled_from(PLANS), events())
@settings(max_examples=150)
def test_each_part_is_decided_once_and_each_frame_is_in_time_or_late(
    how: dict[str, Any], happened: list[FrameInspected | Passes]
) -> None:
    line = Line(plan(**how, deadline_ms=int(DEADLINE * 1000)))
    steady, jumped = 1_000.0, 0.0
    first_seen: dict[str, float] = {}

    def now() -> Now:
        return Now(steady, MOMENT + timedelta(seconds=steady - 1_000 + jumped))

    for event in happened:
        if isinstance(event, Passes):
            steady, jumped = steady + event.seconds, jumped + event.jump
            line.expire(now())
        else:
            line.add(event, now())
            first_seen.setdefault(key_of(event.frame, line.plan), steady)
        overdue = {key for key, since in first_seen.items() if steady - since >= DEADLINE + ROUNDING}
        assert overdue <= set(line.decided), "a jump of the wall clock moved a deadline"
    steady += DEADLINE + ROUNDING
    line.expire(now())

    verdicts = {event.frame.frame_id: event for event in happened if isinstance(event, FrameInspected)}
    assert line.assembly.pending == 0
    assert {key_of(found.frame, line.plan) for found in verdicts.values()} <= set(line.decided)
    of_decisions = [frame for decision in line.decided.values() for frame in (*decision.frames, *decision.late)]
    assert sorted({*of_decisions, *line.late}) == sorted(verdicts)
    assert len(of_decisions) == len(set(of_decisions)), "a frame decides about one part"
    for decision in line.decided.values():
        if decision.verdict == "ok":
            assert not decision.missing
            assert all(verdicts[frame].verdict != "error" for frame in decision.frames)


@given(
    st.sampled_from(PLANS),
    SAME_FRAME_SAME_VERDICT.flatmap(lambda some: st.tuples(st.just(some), st.permutations(some))),
)
@settings(max_examples=80)
def test_the_order_of_verdicts_that_come_in_time_changes_no_decision(
    how: dict[str, Any], orders: tuple[list[FrameInspected], list[FrameInspected]]
) -> None:
    """But for frames beyond a complete part, which are late in any order."""
    if how.get("of") == "identity" and len(how) > 1:
        how = {"of": "identity"}
    outcomes = []
    for order in orders:
        line = Line(plan(**how, deadline_ms=5_000))
        for found in order:
            line.add(found, Now(1_000.5, MOMENT + timedelta(seconds=0.5)))
        line.expire(Now(1_010, MOMENT))
        outcomes.append(
            {
                key: (decision.verdict, decision.reason, decision.frames)
                for key, decision in line.decided.items()
                if decision.frames
            }
        )
    assert outcomes[0] == outcomes[1]
