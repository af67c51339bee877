"""Assemble frames into parts, and decide about each part once: when it is complete, or at its deadline.

Nothing here reads a clock, a file or the network. The deadline of a part is counted from the capture of its first
frame, by the wall clock of the moment at which the first verdict on it came; from then on only the steady clock counts,
so that a wall clock that jumps changes no part that has begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from services.gateway.rule import Plan, rule
from shared.messages import FrameIdentity, FrameInspected, PartDecided, frame_id

GAP_LIMIT: Final = 1_000
"""Frames that are missing in a row, at most, for each of which a part is expected."""
MOST_SESSIONS: Final = 1_000
"""Sessions of cameras whose last frames are remembered."""


@dataclass(frozen=True)
class Now:
    """A moment by both clocks."""

    steady: float
    """Seconds of a clock that never jumps."""
    wall: datetime


@dataclass
class Part:
    """A part that is not decided yet."""

    name: str
    plan: Plan
    deadline: float
    """By the steady clock."""
    frames: dict[str, FrameInspected] = field(default_factory=dict)
    """Inspected in time, by their ids."""
    expected: dict[str, FrameIdentity] = field(default_factory=dict)
    """Frames that were captured, by the numbers of their neighbours, and have no verdict so far."""
    late: dict[str, FrameInspected] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Return whether all frames of the part were inspected."""
        parts = self.plan.parts
        if parts.cameras:
            seen = [frame.frame.camera for frame in self.frames.values()]
            return all(seen.count(camera) >= (parts.frames or 1) for camera in parts.cameras)
        return parts.size is not None and len(self.frames) >= parts.size

    def decide(self, now: Now) -> PartDecided:
        """Return the decision about the part."""
        known = [*self.frames.values(), *self.late.values()]
        identities = [verdict.frame for verdict in known] + list(self.expected.values())
        first = min(identities, key=lambda frame: (frame.captured_at, frame.frame_id))
        ruling = rule(self.plan, list(self.frames.values()), self._missing)
        return PartDecided(
            part=self.name,
            frame=first,
            verdict=ruling.verdict,
            action=ruling.action,
            reason=ruling.reason,
            faults=ruling.faults,
            scores=dict(ruling.scores),
            frames=tuple(sorted(self.frames)),
            late=tuple(sorted(self.late)),
            missing=self._missing,
            recipe=self.plan.recipe.name,
            model_versions=tuple(dict.fromkeys(verdict.model_version for verdict in known)),
            latency_ms=max(0.0, (now.wall - first.captured_at).total_seconds() * 1000),
            at=now.wall,
        )

    @property
    def _missing(self) -> int:
        parts = self.plan.parts
        if parts.size is None:
            return len(self.late)
        if parts.cameras:
            seen = [frame.frame.camera for frame in self.frames.values()]
            return sum(max(0, (parts.frames or 1) - seen.count(camera)) for camera in parts.cameras)
        return max(0, parts.size - len(self.frames))


@dataclass
class Changes:
    """What a message or a moment changed; the journal stores it."""

    accepted: list[tuple[str, Plan, FrameInspected]] = field(default_factory=list)
    """Verdicts in time, each with the key and the plan of its part."""
    expected: list[tuple[str, Plan, FrameIdentity]] = field(default_factory=list)
    decided: list[tuple[str, PartDecided]] = field(default_factory=list)
    late: list[tuple[str, FrameIdentity]] = field(default_factory=list)
    """Frames whose part was decided before, each with the key of the part."""
    repeated: int = 0


class Assembly:
    """The parts of all lines that are not decided yet."""

    def __init__(self, frames_of: Callable[[str], frozenset[str] | None]) -> None:
        """``frames_of`` returns the frames of a decided part by its key, late ones included; None: not decided."""
        self._frames_of = frames_of
        self._parts: dict[str, Part] = {}
        self._sessions: dict[str, tuple[FrameIdentity, Plan]] = {}
        """The frame with the highest number of each session of a camera, and the plan of its last verdict."""

    @property
    def pending(self) -> int:
        """Return the number of parts that are not decided yet."""
        return len(self._parts)

    @property
    def next_deadline(self) -> float | None:
        """Return the earliest deadline by the steady clock; None without a part."""
        return min((part.deadline for part in self._parts.values()), default=None)

    def add(self, verdict: FrameInspected, plan: Plan, now: Now, changes: Changes) -> None:
        """Add a verdict to its part, and decide about the part if that completes it."""
        frame = verdict.frame
        for missing in self._advance(frame, plan):
            self._expect(missing, plan, now, changes)
        key = key_of(frame, plan)
        if (decided := self._frames_of(key)) is not None:
            if frame.frame_id in decided:
                changes.repeated += 1
            else:
                changes.late.append((key, frame))
            return
        part = self._part(key, frame, plan, now)
        if frame.frame_id in part.frames:
            changes.repeated += 1
            return
        part.expected.pop(frame.frame_id, None)
        if now.steady > part.deadline:
            part.late[frame.frame_id] = verdict
        else:
            part.frames[frame.frame_id] = verdict
            changes.accepted.append((key, plan, verdict))
        if part.is_complete or now.steady > part.deadline:
            self._decide(key, now, changes)

    def captured(self, last: FrameIdentity, now: Now, changes: Changes) -> None:
        """Expect the frames up to ``last``, the last one that a camera reports as captured."""
        if (known := self._sessions.get(last.session)) is None or last.sequence <= known[0].sequence:
            return
        plan = known[1]
        for frame in (*self._advance(last, plan), last):
            self._expect(frame, plan, now, changes)

    def expire(self, now: Now, changes: Changes) -> None:
        """Decide about the parts whose deadline has passed."""
        for key in [key for key, part in self._parts.items() if now.steady >= part.deadline]:
            self._decide(key, now, changes)

    def restore(self, key: str, plan: Plan, found: FrameInspected | FrameIdentity, now: Now) -> None:
        """Put back a frame of a part that was not decided before a restart."""
        frame = found.frame if isinstance(found, FrameInspected) else found
        part = self._part(key, frame, plan, now)
        if isinstance(found, FrameInspected):
            part.expected.pop(frame.frame_id, None)
            part.frames[frame.frame_id] = found
        elif frame.frame_id not in part.frames:
            part.expected[frame.frame_id] = found

    def resume(self, last: FrameIdentity, plan: Plan) -> None:
        """Put back the last frame of a session that was seen before a restart."""
        self._sessions[last.session] = last, plan

    def last_of(self, session: str) -> FrameIdentity | None:
        """Return the frame with the highest number of a session; None if none was seen."""
        known = self._sessions.get(session)
        return known[0] if known else None

    def _part(self, key: str, frame: FrameIdentity, plan: Plan, now: Now) -> Part:
        """Return the part of a frame; a frame that was captured before the others moves the deadline forward."""
        age = max(0.0, (now.wall - frame.captured_at).total_seconds())
        deadline = now.steady + plan.parts.deadline_ms / 1000 - age
        part = self._parts.setdefault(key, Part(key.partition("/")[2], plan, deadline))
        part.deadline = min(part.deadline, deadline)
        return part

    def _decide(self, key: str, now: Now, changes: Changes) -> None:
        changes.decided.append((key, self._parts.pop(key).decide(now)))

    def _advance(self, frame: FrameIdentity, plan: Plan) -> list[FrameIdentity]:
        """Note the newest frame of a session, and return those that are missing before it: numbers have no gaps."""
        known = self._sessions.pop(frame.session, None)
        if known and frame.sequence <= known[0].sequence:
            self._sessions[frame.session] = known[0], plan
            return []
        self._sessions[frame.session] = frame, plan
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        return list(_between(known[0], frame)) if known and plan.parts.of != "identity" else []

    def _expect(self, frame: FrameIdentity, plan: Plan, now: Now, changes: Changes) -> None:
        key = key_of(frame, plan)
        if plan.parts.of == "identity" or self._frames_of(key) is not None:
            return
        part = self._part(key, frame, plan, now)
        if frame.frame_id not in part.frames:
            part.expected[frame.frame_id] = frame
            changes.expected.append((key, plan, frame))


def key_of(frame: FrameIdentity, plan: Plan) -> str:
    """Return the key of a frame's part: its line, and the name of the part or the id of the part's first frame."""
    if plan.parts.of == "identity":
        return f"{frame.line}/{frame.part or frame.frame_id}"
    size = plan.parts.size or 1
    return f"{frame.line}/{frame_id(frame.session, frame.sequence // size * size)}"


def _between(before: FrameIdentity, after: FrameIdentity) -> Iterator[FrameIdentity]:
    """Yield the frames between two of a session, as if they had been captured at even intervals.

    What both have in common holds for them too; what a trigger says of one of the two is not known of them.
    """
    of_triggers = ("batch", "part", "order", "operator", "recipe")
    unknown = {name: None for name in of_triggers if getattr(before, name) != getattr(after, name)}
    steps = after.sequence - before.sequence
    interval = (after.captured_at - before.captured_at) / steps
    for sequence in range(max(before.sequence + 1, after.sequence - GAP_LIMIT), after.sequence):
        yield after.model_copy(
            update={
                **unknown,
                "frame_id": frame_id(after.session, sequence),
                "captured_at": before.captured_at + interval * (sequence - before.sequence),
            }
        )
