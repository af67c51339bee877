"""Check a line: send the parts of its challenge set the whole way, one after the other, and record what came of it.

The images of a part go to the workers as a camera would publish them; or the cameras capture real parts, whose triggers
say that they are of a check. The verdicts decide about the part by the rule of the line, and the decision goes to the
outputs as a signal that is marked as a test. Frames, verdicts and signals of a check have types, queues and marks of
their own, so nothing counts them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

import structlog
from ulid import ULID

from services.gateway.handler import now
from services.gateway.journal import Journal
from services.gateway.part_assembly import Assembly, Changes, Now
from services.gateway.recipes import Recipes
from services.gateway.rule import Plan, rule
from services.gateway.signal_outbox import SignalOutbox
from shared.health import Health
from shared.messages import (
    CHECK_BY_CAMERA,
    REASON_LENGTH,
    ChallengePart,
    CheckedOutput,
    CheckedPart,
    CheckFrame,
    CheckFrameInspected,
    CheckReport,
    CheckRequested,
    CheckState,
    Expected,
    FrameIdentity,
    FrameInspected,
    LineChecked,
    Message,
    PartAction,
    PartDecided,
    PartVerdict,
    frame_id,
)
from shared.messaging.loop import Reject
from shared.messaging.port import Publisher
from shared.recipe import Parts

EVERY_SECONDS: Final = 0.1
"""Most seconds between two turns while a check runs."""
IDLE_SECONDS: Final = 1.0
"""Most seconds between two turns while no check runs."""
OLDEST_SECONDS: Final = 60.0
"""Seconds after which a request is refused: the person who sent it no longer waits for the signals of its check."""
SIGNALS_SECONDS: Final = 60.0
"""Most seconds from the last decision of a check to its end: signals that still wait then count as missed."""
WITHOUT_PARTS: Final = Parts()
"""How a line decides in its check, whose recipe has no section ``parts``: each image is a frame, and any NG frame makes
the part NG."""

_log = structlog.stdlib.get_logger("checks")


@dataclass
class SentPart:
    """A part whose images were sent to the workers."""

    part: ChallengePart
    frames: dict[str, FrameIdentity]
    """The frames of the images, by their ids."""
    confirms: Sequence[Future[None]]
    at: Now
    verdicts: dict[str, FrameInspected] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)
    """Frames whose verdicts came after the deadline of the part."""
    plan: Plan | None = None
    """The plan of the verdicts; None before the first verdict."""

    @property
    def is_answered(self) -> bool:
        return len(self.verdicts.keys() | self.late) == len(self.frames)


@dataclass
class RunningCheck:
    """A check that runs."""

    request: CheckRequested
    decided_at: float
    """When the check began, or the last part was decided, by the steady clock."""
    session: str = field(default_factory=lambda: str(ULID()))
    begun: int = 0
    """Frames that were sent."""
    sent: SentPart | None = None
    """The part that waits for its verdicts."""
    parts: list[CheckedPart] = field(default_factory=list)
    decisions: list[PartDecided] = field(default_factory=list)
    unanswered: bool = False
    """No worker answered about a part, or none came, so no further part is waited for."""
    decided: dict[str, frozenset[str]] = field(default_factory=dict)
    """The frames of the parts that the cameras captured and that are decided, by the keys of the parts."""

    def __post_init__(self) -> None:
        self.assembly = Assembly(self.decided.get)
        """The parts that the cameras captured and that are not decided."""

    @property
    def next_part(self) -> ChallengePart | None:
        """The part that is to be decided next; None after the last one."""
        done = len(self.parts)
        return None if self.unanswered or done == len(self.request.parts) else self.request.parts[done]


class LineChecks:
    """The checks of all lines, one at a time for each. Thread-safe."""

    def __init__(
        self,
        journal: Journal,
        recipes: Recipes,
        outbox: SignalOutbox,
        publisher: Publisher,
        clock: Callable[[], Now] = now,
        *,
        on_checked: Callable[[LineChecked], None] = lambda _record: None,
        recipe_of: Callable[[str], str | None] = lambda _line: None,
    ) -> None:
        """Continue with the records that are not published.

        Args:
            journal: stores requests and records.
            recipes: finds the plan of each verdict.
            outbox: gets the signals of checks.
            publisher: publishes frames of checks and records.
            clock: returns the present moment.
            on_checked: called with the record of each check that ended.
            recipe_of: returns the recipe of a line, by which a check without a recipe of its own is inspected.
        """
        self._recipe_of = recipe_of
        self._journal = journal
        self._recipes = recipes
        self._outbox = outbox
        self._publisher = publisher
        self._clock = clock
        self._on_checked = on_checked
        self._lock = threading.RLock()
        self._changed = threading.Event()
        """Set when there is something to do before the next turn is due."""
        self._running: dict[str, RunningCheck] = {}
        """The running check of each line, by line."""
        self._publishing: dict[str, Future[None]] = {}
        """The confirms of records, by the ids of their checks."""
        for request in journal.unfinished_checks():
            self._finish(
                RunningCheck(request, self._clock().steady),
                "the gateway was restarted while the check ran: run it again",
            )

    def begin(self, request: CheckRequested) -> None:
        """Begin a check. A request that is too old gets a record at once; one while a check runs is ignored."""
        with self._lock:
            if running := self._running.get(request.line):
                _log.info(
                    "a request for a check is ignored, because a check of the line runs",
                    line=request.line,
                    check=request.check_id,
                    running=running.request.check_id,
                )
                return
            if not self._journal.begin_check(request):
                return
            age = (self._clock().wall - request.at).total_seconds()
            if age > OLDEST_SECONDS:
                self._finish(
                    RunningCheck(request, self._clock().steady),
                    f"no gateway took the request for {age:.0f} s: run the check again",
                )
            else:
                _log.info("a check begins", line=request.line, check=request.check_id, parts=len(request.parts))
                recipe = request.recipe or self._recipe_of(request.line)
                request = request.model_copy(update={"recipe": recipe})
                self._running[request.line] = RunningCheck(request, self._clock().steady)
        self._changed.set()

    def inspected(self, messages: Sequence[Message]) -> list[Message]:
        """Take verdicts on frames of checks. Those of a part that is decided change nothing.

        Raises:
            RetryLater: object storage is unavailable, and the journal does not have a verdict's recipe yet.
            Reject: a message is no verdict on a frame of a check, or a verdict's recipe can't be used.
        """
        for message in messages:
            if not isinstance(message, CheckFrameInspected):
                raise Reject(f"a {type(message).__name__} is no verdict on a frame: it was sent to the wrong queue")
            plan = self._recipes.plan(message, WITHOUT_PARTS)
            with self._lock:
                check = self._running.get(message.frame.line)
                if message.frame.check == CHECK_BY_CAMERA:
                    self._assemble(check, message, plan)
                    continue
                sent = check.sent if check else None
                if sent is None or message.frame.frame_id not in sent.frames:
                    continue
                sent.plan = sent.plan or plan
                age = self._clock().steady - sent.at.steady
                if plan and age > plan.parts.deadline_ms / 1000:
                    sent.late.add(message.frame.frame_id)
                else:
                    sent.verdicts[message.frame.frame_id] = message
        self._changed.set()
        return []

    def run(self, stop: threading.Event, health: Health) -> None:
        """Take turns until ``stop`` is set."""
        while not stop.is_set():
            health.beat()
            self._changed.clear()
            self.turn()
            self._changed.wait(EVERY_SECONDS if self._running else IDLE_SECONDS)

    def turn(self) -> None:
        """Decide about parts that have their verdicts or their deadline, send the next ones, and publish records."""
        with self._lock:
            for check in list(self._running.values()):
                self._advance(check)
            for record in self._journal.unpublished_checks():
                confirm = self._publishing.get(record.check_id)
                if confirm is None or (confirm.done() and confirm.exception()):
                    self._publishing[record.check_id] = self._publisher.publish(record)
                elif confirm.done():
                    self._journal.mark_check_published(record.check_id)
                    del self._publishing[record.check_id]

    def report(self, line: str) -> CheckReport | None:
        """Return the check of a line that runs, or the one that ended last; None: no check is known."""
        with self._lock:
            check = self._running.get(line)
        if check:
            request = check.request
            fed = check.next_part if request.by_camera else None
            return CheckReport(
                check_id=request.check_id,
                state=CheckState.RUNNING,
                by=request.by,
                at=request.at,
                next_part=fed.name if fed else None,
            )
        record = self._journal.last_check(line)
        if record is None:
            return None
        state = CheckState.PASSED if record.passed else CheckState.FAILED
        return CheckReport(check_id=record.check_id, state=state, by=record.by, at=record.at, reason=record.reason)

    def _advance(self, check: RunningCheck) -> None:
        moment = self._clock()
        if check.request.by_camera:
            self._expect_next(check, moment)
        if (sent := check.sent) and (sent.is_answered or moment.steady - sent.at.steady >= check.request.part_seconds):
            self._decide(check, sent, moment)
        if (part := check.next_part) and check.sent is None and not check.request.by_camera:
            self._send(check, part, moment)
        elif part is None:
            wait_longer = moment.steady - check.decided_at < SIGNALS_SECONDS
            outputs = self._outbox.checked(
                check.request.line, check.request.check_id, check.decisions, wait_longer=wait_longer
            )
            if outputs is not None:
                self._finish(check, "", outputs)

    def _send(self, check: RunningCheck, part: ChallengePart, moment: Now) -> None:
        """Send the images of a part to the workers, as the camera would."""
        request = check.request
        frames = [
            CheckFrame(
                frame=FrameIdentity(
                    frame_id=frame_id(check.session, check.begun + place),
                    line=request.line,
                    camera=image.camera,
                    part=part.name,
                    captured_at=moment.wall,
                    recipe=request.recipe,
                    check=request.check_id,
                ),
                encoding=image.encoding,
                width=image.width,
                height=image.height,
                image_key=image.key,
            )
            for place, image in enumerate(part.images)
        ]
        check.begun += len(frames)
        check.sent = SentPart(
            part,
            {frame.frame.frame_id: frame.frame for frame in frames},
            [self._publisher.publish(frame) for frame in frames],
            moment,
        )

    def _decide(self, check: RunningCheck, sent: SentPart, moment: Now) -> None:
        """Decide about a part by the rule of the line, and give the decision to the outputs."""
        missing = len(sent.frames) - len(sent.verdicts)
        latency_ms = 1000 * (moment.steady - sent.at.steady)
        if sent.plan is None:
            refusal = next((error for each in sent.confirms if each.done() and (error := each.exception())), None)
            reason = f"no worker answered within {check.request.part_seconds:g} s"
            reason = f"the broker did not take its images: {refusal}" if refusal else reason
            self._give_up(check, sent.part, reason, latency_ms, moment)
        else:
            ruling = rule(sent.plan, list(sent.verdicts.values()), missing)
            decision = PartDecided(
                part=sent.part.name,
                frame=next(iter(sent.frames.values())),
                verdict=ruling.verdict,
                action=ruling.action,
                reason=ruling.reason,
                faults=ruling.faults,
                scores=dict(ruling.scores),
                frames=tuple(sorted(sent.verdicts)),
                missing=missing,
                recipe=sent.plan.recipe.name,
                model_versions=tuple(dict.fromkeys(each.model_version for each in sent.verdicts.values())),
                latency_ms=latency_ms,
                at=moment.wall,
            )
            self._compare(check, sent.part, decision, moment)
        check.sent = None

    def _assemble(self, check: RunningCheck | None, verdict: CheckFrameInspected, plan: Plan | None) -> None:
        """Add a verdict on a frame that a camera captured for a check to its part."""
        if check is None or plan is None or not check.request.by_camera:
            frame = verdict.frame
            _log.warning("a part of a check came while none by camera runs", line=frame.line, frame_id=frame.frame_id)
            return
        frame = verdict.frame.model_copy(update={"check": check.request.check_id})
        moment, changes = self._clock(), Changes()
        check.assembly.add(verdict.model_copy(update={"frame": frame}), plan, moment, changes)
        self._take(check, changes, moment)

    def _expect_next(self, check: RunningCheck, moment: Now) -> None:
        """Decide about parts that the cameras captured at their deadlines; give up if the next part does not come."""
        changes = Changes()
        check.assembly.expire(moment, changes)
        self._take(check, changes, moment)
        seconds = check.request.part_seconds
        if (part := check.next_part) and not check.assembly.pending and moment.steady - check.decided_at >= seconds:
            self._give_up(check, part, f"no part came within {seconds:g} s", 0.0, moment)

    def _take(self, check: RunningCheck, changes: Changes, moment: Now) -> None:
        """Compare the parts that were decided with those of the challenge set, in their order."""
        for key, decision in changes.decided:
            check.decided[key] = frozenset((*decision.frames, *decision.late))
            if part := check.next_part:
                self._compare(check, part, decision, moment)
            else:
                _log.warning("a check has more parts than its challenge set", check=check.request.check_id)

    def _compare(self, check: RunningCheck, part: ChallengePart, decision: PartDecided, moment: Now) -> None:
        """Note whether a part got its expected verdict, and give the decision to the outputs."""
        self._outbox.add_check(decision)
        check.decisions.append(decision)
        is_expected = decision.verdict.value == part.expected.value and set(part.defects) <= set(decision.faults)
        check.parts.append(
            CheckedPart(
                part=part,
                verdict=decision.verdict,
                action=decision.action,
                reason=decision.reason,
                faults=decision.faults,
                passed=is_expected,
                latency_ms=decision.latency_ms,
            )
        )
        check.decided_at = moment.steady

    def _give_up(self, check: RunningCheck, part: ChallengePart, reason: str, latency_ms: float, moment: Now) -> None:
        """Note that a part was not inspected, and wait for no further one."""
        not_inspected = CheckedPart(
            part=part,
            verdict=PartVerdict.NOT_INSPECTED,
            action=PartAction.REJECT,
            reason=reason,
            passed=False,
            latency_ms=latency_ms,
        )
        check.parts.append(not_inspected)
        check.unanswered, check.decided_at = True, moment.steady

    def _finish(self, check: RunningCheck, hindrance: str, outputs: tuple[CheckedOutput, ...] = ()) -> None:
        """Store the record of a check; ``hindrance`` says why it could not be run."""
        request, parts = check.request, check.parts
        reason = hindrance or reason_of(parts, len(request.parts), outputs)
        record = LineChecked(
            check_id=request.check_id,
            line=request.line,
            passed=not reason,
            reason=reason[:REASON_LENGTH],
            parts=tuple(parts),
            outputs=outputs,
            escapes=sum(each.part.expected is Expected.NG and each.verdict is PartVerdict.OK for each in parts),
            overkill=sum(each.part.expected is Expected.OK and each.verdict is PartVerdict.NG for each in parts),
            recipe=check.decisions[-1].recipe if check.decisions else None,
            model_versions=tuple(dict.fromkeys(each for one in check.decisions for each in one.model_versions)),
            by=request.by,
            requested_at=request.at,
            at=self._clock().wall,
        )
        self._journal.finish_check(record)
        self._on_checked(record)
        if self._running.get(request.line) is check:
            del self._running[request.line]
        _log.info("a check ended", line=record.line, check=record.check_id, passed=record.passed, reason=record.reason)


def reason_of(parts: Sequence[CheckedPart], count: int, outputs: Sequence[CheckedOutput]) -> str:
    """Return why a check of ``count`` parts failed, by its first part or output that failed; empty: it passed."""
    if failed := [each for each in parts if not each.passed]:
        part, reason = failed[0].part, failed[0].reason
        wanted = "ok" if part.expected is Expected.OK else "NG"
        wanted += f" by {' and '.join(part.defects)}" if part.defects else ""
        return f"{len(failed)} of {count} parts failed: {part.name} has to be {wanted}: {reason}"
    for output in outputs:
        if output.missed:
            return f"output {output.name} missed {output.missed} signals: {output.reason}"
    return ""
