"""Assemble frames into parts, and decide about each part once: when it is complete, or at its deadline.

This module reads no clock, file or network. The deadline of a part is the capture of its first frame plus
``deadline_ms``. It is computed once, when the first verdict on the part arrives, and is stored in seconds of the steady
clock, so a later jump of the wall clock does not move it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from services.gateway.rule import Plan, rule
from shared.messages import FrameIdentity, FrameInspected, PartDecided, Verdict, frame_id

GAP_LIMIT: Final = 1_000
"""Most missing frames in a row that are expected; frames before them are ignored."""
MOST_SESSIONS: Final = 1_000
"""Most camera sessions whose last frame is remembered; the session that was seen longest ago is forgotten first."""


@dataclass(frozen=True)
class Now:
    """A moment, as the steady clock and the wall clock show it."""

    steady: float
    """Seconds of a clock that never jumps."""
    wall: datetime


@dataclass
class Part:
    """A part that is not decided yet."""

    name: str
    plan: Plan
    deadline: float
    """When the part is decided at the latest, in seconds of the steady clock."""
    frames: dict[str, FrameInspected] = field(default_factory=dict)
    """The verdicts that arrived before the deadline, by the id of their frame."""
    expected: dict[str, FrameIdentity] = field(default_factory=dict)
    """Frames without a verdict so far, by id. A gap in the sequence, or a camera's report, shows that they exist."""
    late: dict[str, FrameInspected] = field(default_factory=dict)
    """The verdicts that arrived after the deadline, by the id of their frame."""

    def take(self, verdict: FrameInspected, plan: Plan) -> FrameInspected:
        """Return a verdict as it counts for the part: *error* if another recipe inspected the part's other frames."""
        if not self.frames and not self.late:
            self.plan = plan  # the plan so far is that of a later frame, which showed that frames of this part exist
        own = self.plan.recipe.name
        if plan.recipe.name == own or verdict.verdict is Verdict.ERROR:
            return verdict
        reason = f"inspected by recipe {plan.recipe.name}, and its part by recipe {own}"
        return verdict.model_copy(update={"verdict": Verdict.ERROR, "reason": reason, "findings": {}})

    @property
    def is_complete(self) -> bool:
        """Whether all frames of the part were inspected."""
        parts = self.plan.parts
        if parts.cameras:
            seen = [frame.frame.camera for frame in self.frames.values()]
            return all(seen.count(camera) >= (parts.frames or 1) for camera in parts.cameras)
        return parts.size is not None and len(self.frames) >= parts.size

    def decide(self, now: Now) -> PartDecided:
        """Return the decision about the part."""
        verdicts = [*self.frames.values(), *self.late.values()]
        identities = [verdict.frame for verdict in verdicts] + list(self.expected.values())
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
            model_versions=tuple(dict.fromkeys(verdict.model_version for verdict in verdicts)),
            latency_ms=max(0.0, (now.wall - first.captured_at).total_seconds() * 1000),
            at=now.wall,
        )

    @property
    def _missing(self) -> int:
        """The number of frames without a verdict before the deadline."""
        parts = self.plan.parts
        if parts.size is None:
            return len(self.late)
        if parts.cameras:
            seen = [frame.frame.camera for frame in self.frames.values()]
            return sum(max(0, (parts.frames or 1) - seen.count(camera)) for camera in parts.cameras)
        return max(0, parts.size - len(self.frames))


@dataclass
class Changes:
    """The changes of parts by one message, or by the passing of deadlines; the journal stores them."""

    accepted: list[tuple[str, Plan, FrameInspected]] = field(default_factory=list)
    """Verdicts before the deadline, each with the key and the plan of its part."""
    expected: list[tuple[str, Plan, FrameIdentity]] = field(default_factory=list)
    decided: list[tuple[str, PartDecided]] = field(default_factory=list)
    late: list[tuple[str, FrameIdentity]] = field(default_factory=list)
    """Frames whose part was decided before their verdict came, each with the key of the part."""
    repeated: int = 0
    """The number of verdicts that arrived a second time."""


class Assembly:
    """The parts of all lines that are not decided yet."""

    def __init__(
        self,
        frames_of: Callable[[str], frozenset[str] | None],
        mark: Callable[[PartDecided, Plan], PartDecided] = lambda decision, _plan: decision,
    ) -> None:
        """Start without parts.

        Args:
            frames_of: returns the ids of all frames of a decided part, late frames included, by the key of the part;
                None for a part that is not decided.
            mark: returns a decision as it holds while a check of the line is due, or as it is.
        """
        self._frames_of = frames_of
        self._mark = mark
        self._parts: dict[str, Part] = {}
        self._sessions: dict[str, tuple[FrameIdentity, Plan]] = {}
        """The frame with the highest number of each session of a camera, and the plan of its last verdict."""

    @property
    def pending(self) -> int:
        """The number of parts that are not decided yet."""
        return len(self._parts)

    @property
    def next_deadline(self) -> float | None:
        """The earliest deadline of all parts in seconds of the steady clock; None if there is no part."""
        return min((part.deadline for part in self._parts.values()), default=None)

    def add(self, verdict: FrameInspected, plan: Plan, now: Now, changes: Changes) -> None:
        """Add a verdict to its part; decide about the part if it is complete, or if its deadline has passed."""
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
        verdict = part.take(verdict, plan)
        part.expected.pop(frame.frame_id, None)
        if now.steady > part.deadline:
            part.late[frame.frame_id] = verdict
        else:
            part.frames[frame.frame_id] = verdict
            changes.accepted.append((key, plan, verdict))
        if part.is_complete or now.steady > part.deadline:
            self._decide(key, now, changes)

    def captured(self, last: FrameIdentity, now: Now, changes: Changes) -> None:
        """Expect all frames of a session up to ``last``, the newest frame that its camera reports as captured."""
        newest = self._sessions.get(last.session)
        if newest is None or last.sequence <= newest[0].sequence:
            return
        plan = newest[1]
        for frame in (*self._advance(last, plan), last):
            self._expect(frame, plan, now, changes)

    def expire(self, now: Now, changes: Changes) -> None:
        """Decide about the parts whose deadline has passed."""
        for key in [key for key, part in self._parts.items() if now.steady >= part.deadline]:
            self._decide(key, now, changes)

    def restore(self, key: str, plan: Plan, found: FrameInspected | FrameIdentity, now: Now) -> None:
        """Restore a frame (or the verdict on it) of a part that was not decided before a restart."""
        frame = found.frame if isinstance(found, FrameInspected) else found
        part = self._part(key, frame, plan, now)
        if isinstance(found, FrameInspected):
            found = part.take(found, plan)
            part.expected.pop(frame.frame_id, None)
            part.frames[frame.frame_id] = found
        elif frame.frame_id not in part.frames:
            part.expected[frame.frame_id] = found

    def resume(self, last: FrameIdentity, plan: Plan) -> None:
        """Restore the newest frame of a camera session from before a restart."""
        self._sessions[last.session] = last, plan

    def last_of(self, session: str) -> FrameIdentity | None:
        """Return the frame of a session with the highest sequence; None if no frame of the session was seen."""
        newest = self._sessions.get(session)
        return newest[0] if newest else None

    def _part(self, key: str, frame: FrameIdentity, plan: Plan, now: Now) -> Part:
        """Return the part of a frame; if the frame was captured before the others, the deadline becomes earlier."""
        age = max(0.0, (now.wall - frame.captured_at).total_seconds())
        deadline = now.steady + plan.parts.deadline_ms / 1000 - age
        part = self._parts.setdefault(key, Part(key.partition("/")[2], plan, deadline))
        part.deadline = min(part.deadline, deadline)
        return part

    def _decide(self, key: str, now: Now, changes: Changes) -> None:
        part = self._parts.pop(key)
        changes.decided.append((key, self._mark(part.decide(now), part.plan)))

    def _advance(self, frame: FrameIdentity, plan: Plan) -> list[FrameIdentity]:
        """Note the newest frame of a session, and return the frames between it and the newest frame before."""
        newest = self._sessions.pop(frame.session, None)
        if newest and frame.sequence <= newest[0].sequence:
            self._sessions[frame.session] = newest[0], plan
            return []
        self._sessions[frame.session] = frame, plan
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        if newest is None or plan.parts.of == "identity" or newest[1].parts != plan.parts:
            return []  # at a change of the parts, it is not known to which part a frame between both belongs
        return list(_between(newest[0], frame))

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
    """Yield the frames between two frames of a session, at most `GAP_LIMIT`, with evenly spaced capture times.

    Fields that a trigger sets (such as ``batch``) are None in these frames if the two given frames differ in them.
    """
    trigger_fields = ("batch", "part", "order", "operator", "recipe", "encoder_count")
    unknown = {name: None for name in trigger_fields if getattr(before, name) != getattr(after, name)}
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
