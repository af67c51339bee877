"""The port of outputs, and the signal: what an output sends of one decision."""

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
    """The receiver can't be reached or failed; a later attempt may succeed."""


class OutputRefused(Exception):
    """The receiver refuses signals; no later attempt would succeed."""

    def __init__(self, reason: str, signals: int | None = None) -> None:
        """``signals`` is how many of the signals were refused, from the first on; None: all."""
        super().__init__(reason)
        self.signals = signals


class CannotChange(Exception):
    """The recipe of a line can't be changed to this one; the message says why, and what to do."""


class LineRecipe(Protocol):
    """The recipe of one line, which a receiver may change."""

    @property
    def current(self) -> str | None:
        """The recipe of the line; None: that of the workers."""
        ...

    @property
    def choices(self) -> tuple[str, ...]:
        """The recipes that have a model in production."""
        ...

    def change(self, recipe: str, by: str) -> None:
        """Let another recipe inspect the next parts.

        Raises:
            CannotChange: no model of the recipe is in production, or object storage is unavailable.
        """
        ...


class Trouble(IntEnum):
    """Why a line does not inspect parts, as an error code for PLCs."""

    NONE = 0
    NO_CAMERA = 1
    """No camera of the line has reported."""
    CAMERA = 2
    """A camera is silent, or not running."""
    NO_WORKER = 3
    """No inference worker has reported."""
    WORKER = 4
    """All inference workers are silent, or report why they do not work."""
    GATEWAY = 5
    """The gateway can't decide about parts."""


@dataclass(frozen=True)
class LineStatus:
    """Whether a line inspects parts, the reason if it does not, the parts by verdict, and what inspects them."""

    trouble: Trouble
    reason: str = ""
    ok: int = 0
    ng: int = 0
    not_inspected: int = 0
    recipe: str = ""
    """The recipe of the last verdict on the line; empty before the first one."""
    model_version: str = ""
    check_due: str = ""
    """Why a check of the line is due; empty if none is."""

    @property
    def ready(self) -> bool:
        """Whether parts may be inspected: the line is online, and no check is due."""
        return self.online and not self.check_due

    @property
    def online(self) -> bool:
        """Whether the line inspects parts."""
        return self.trouble is Trouble.NONE


class Signal(BaseModel):
    """One decision as an output sends it. `docs/factory-signal.schema.json` is its JSON schema."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="id of the signal, the same in every attempt; a receiver must use each id only once")
    test: bool = Field(False, description="of a test or a check: no part of production belongs to it")
    check: Name | None = Field(None, description="of the start-of-shift check that it belongs to; it is a test, too")
    line: Name
    part: str
    verdict: PartVerdict
    action: PartAction
    reason: str
    faults: tuple[LabelName, ...]
    scores: dict[LabelName, float]
    batch: Name | None
    order: Name | None = Field(None, description="order of the trigger of the first frame")
    operator: Name | None = None
    recipe: Name
    model_versions: tuple[Name, ...]
    frames: tuple[FrameId, ...]
    missing: int = Field(description="frames without a verdict at the deadline of the part")
    unchecked: bool = Field(False, description="decided while a check of the line was due")
    captured_at: datetime = Field(description="capture of the first frame")
    decided_at: datetime
    deadline_at: datetime | None = Field(description="after this moment the signal is not to be acted on; null: none")

    @classmethod
    def of(cls, decision: PartDecided, output: str, settings: OutputSettings) -> Self:
        """Return the signal of a decision. That of a part of a check is marked as a test."""
        frame = decision.frame
        deadline = None
        if settings.time_limit_ms is not None:
            deadline = frame.captured_at + timedelta(milliseconds=settings.time_limit_ms)
        of_check = f"check/{frame.check}/" if frame.check else ""
        return cls(
            id=f"{of_check}{frame.line}/{decision.part}/{output}",
            test=frame.check is not None,
            check=frame.check,
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
            unchecked=decision.unchecked,
            captured_at=frame.captured_at,
            decided_at=decision.at,
            deadline_at=deadline,
        )

    def encode(self) -> bytes:
        """Return the signal as JSON."""
        return self.model_dump_json().encode()


def signal_of_test(request: OutputTestRequested) -> Signal:
    """Return the signal of a test: a signal of an NG part that is marked as a test."""
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
    """Sends signals to one receiver. Only one thread uses it, except for `show`."""

    @property
    def group(self) -> int:
        """The most signals that `send` takes at once."""
        ...

    @property
    def collect_seconds(self) -> float:
        """The seconds for which signals of one batch are collected before they are sent together."""
        ...

    @property
    def longest_pause(self) -> float:
        """The longest pause after a failure, in seconds."""
        ...

    @property
    def seconds_needed(self) -> float:
        """The seconds that the receiver needs for a signal. A signal is missed if its deadline is nearer."""
        ...

    def send(self, signals: Sequence[Signal]) -> int:
        """Send signals. Return how many of them the receiver has, from the first on; the other signals are sent again.

        Raises:
            OutputUnavailable: as far as the output knows, the receiver has none of the signals.
            OutputRefused: the receiver refuses the signals.
        """
        ...

    def show(self, status: LineStatus) -> None:
        """Show the receiver the status of the line, if the protocol can. Any thread may call it; it never raises."""
        ...

    def check(self) -> None:
        """Connect without sending a signal.

        Raises:
            OutputUnavailable: the receiver can't be reached; the message says why.
        """
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


def read_secret(file: Path | None) -> bytes | None:
    """Return the secret in a file, without a line break at its end; None if there is no file."""
    return file.read_bytes().rstrip(b"\r\n") if file else None
