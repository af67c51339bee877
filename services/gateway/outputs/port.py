"""The port of outputs: a signal is what an output sends of one decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from services.gateway.outputs.settings import OutputSettings
from shared.label_names import LabelName
from shared.messages import FrameId, Name, OutputTestRequested, PartAction, PartDecided, PartVerdict


class OutputUnavailable(Exception):
    """The receiver can't be reached, or failed; a later try may succeed."""


class OutputRefused(Exception):
    """The receiver refuses this signal; no later try would succeed."""


class Trouble(IntEnum):
    """What is wrong with a line, as the error code of a PLC."""

    NONE = 0
    NO_CAMERA = 1
    """No camera of the line has reported."""
    CAMERA = 2
    """A camera is silent, or not running."""
    NO_WORKER = 3
    """No inference worker has reported."""
    WORKER = 4
    """Every inference worker is silent, or hindered."""
    GATEWAY = 5
    """The gateway can't decide about parts."""


@dataclass(frozen=True)
class LineStatus:
    """Whether a line is well, and the numbers of its parts."""

    trouble: Trouble
    reason: str = ""
    ok: int = 0
    ng: int = 0
    not_inspected: int = 0

    @property
    def online(self) -> bool:
        """Return whether the line inspects parts."""
        return self.trouble is Trouble.NONE


class Signal(BaseModel):
    """One decision as an output sends it. `docs/factory-signal.schema.json` is its JSON schema."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="the same in every try: a receiver that gets an id twice uses it once")
    test: bool = Field(False, description="sent by a person to test the output: no part belongs to it")
    line: Name
    part: str
    verdict: PartVerdict
    action: PartAction
    reason: str
    faults: tuple[LabelName, ...]
    scores: dict[LabelName, float]
    batch: Name | None
    order: Name | None = Field(None, description="of the trigger of the first frame, as the operator")
    operator: Name | None = None
    recipe: Name
    model_versions: tuple[Name, ...]
    frames: tuple[FrameId, ...]
    missing: int = Field(description="frames without a verdict at the deadline of the part")
    captured_at: datetime = Field(description="capture of the first frame")
    decided_at: datetime
    deadline_at: datetime | None = Field(description="after this moment the signal is not to be acted on; null: none")

    @classmethod
    def of(cls, decision: PartDecided, output: str, settings: OutputSettings) -> Self:
        """Return the signal of a decision."""
        frame = decision.frame
        deadline = None
        if settings.deadline_ms is not None:
            deadline = frame.captured_at + timedelta(milliseconds=settings.deadline_ms)
        return cls(
            id=f"{frame.line}/{decision.part}/{output}",
            line=frame.line,
            part=decision.part,
            verdict=decision.verdict,
            action=decision.action,
            reason=decision.reason,
            faults=decision.faults,
            scores=decision.scores,
            batch=frame.batch,
            order=frame.order,
            operator=frame.operator,
            recipe=decision.recipe,
            model_versions=decision.model_versions,
            frames=decision.frames,
            missing=decision.missing,
            captured_at=frame.captured_at,
            decided_at=decision.at,
            deadline_at=deadline,
        )

    def encode(self) -> bytes:
        """Return the signal as JSON."""
        return self.model_dump_json().encode()


def signal_of_test(request: OutputTestRequested) -> Signal:
    """Return the signal of a test: that of an NG part, which it marks as a test."""
    return Signal(
        id=f"test/{request.test_id}",
        test=True,
        line=request.line,
        part=request.test_id,
        verdict=PartVerdict.NG,
        action=PartAction.REJECT,
        reason=f"a test by {request.by}",
        faults=(),
        scores={},
        batch=None,
        recipe="test",
        model_versions=(),
        frames=(),
        missing=0,
        captured_at=request.at,
        decided_at=request.at,
        deadline_at=None,
    )


class Output(Protocol):
    """Sends signals to one receiver. One thread uses it."""

    @property
    def group(self) -> int:
        """Return how many signals `send` takes at once, at most."""
        ...

    @property
    def collect_seconds(self) -> float:
        """Return how long signals of one batch are collected before they are sent together."""
        ...

    @property
    def longest_pause(self) -> float:
        """Return the longest pause after a failure, in seconds."""
        ...

    @property
    def seconds_needed(self) -> float:
        """Return the time that the receiver needs for a signal: one whose deadline is nearer is missed."""
        ...

    def send(self, signals: Sequence[Signal]) -> int:
        """Send signals, and return how many of them, from the first on, the receiver has: the others are sent again.

        Raises:
            OutputUnavailable: it has none of them, as far as the output knows.
            OutputRefused: the receiver refuses them.
        """
        ...

    def show(self, status: LineStatus) -> None:
        """Show the receiver how the line is, if the protocol can; another thread may call it. It never raises."""
        ...

    def check(self) -> None:
        """Connect without sending a signal.

        Raises:
            OutputUnavailable: that fails; the message says why.
        """
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


def read_secret(file: Path | None) -> bytes | None:
    """Return the content of a file of a secret, without the end of the line; None without a file."""
    return file.read_bytes().rstrip(b"\r\n") if file else None
