"""Run a training or a measurement in a child process, so that the trainer survives if the child dies.

The child writes one event per line, as JSON, to its standard output. It ends when its standard input is closed, which
happens when the trainer ends or is killed.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Annotated, Final, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

TRAIN: Final = "work"
MEASURE: Final = "measure"
COMPARISON: Final = "comparison"
THRESHOLDS: Final = "thresholds"
GRACE_SECONDS: Final = 10.0
"""Seconds between the request to end and the killing of a child."""


class StageReached(BaseModel):
    """The child has begun a stage other than an epoch."""

    event: Literal["stage"] = "stage"
    stage: str


class EpochDone(BaseModel):
    """An epoch ended."""

    event: Literal["epoch"] = "epoch"
    epoch: int
    epochs: int
    metrics: dict[str, float]


class Finished(BaseModel):
    """The result is in object storage."""

    event: Literal["finished"] = "finished"
    model_version: str | None = None
    """The version that a training made; None for a measurement."""


class Failed(BaseModel):
    """The work will never succeed."""

    event: Literal["failed"] = "failed"
    reason: str


class Postponed(BaseModel):
    """A server or disk that the work needs is not available; the work continues when it is started again."""

    event: Literal["postponed"] = "postponed"
    reason: str


class Died(BaseModel):
    """The process ended without a last event."""

    event: Literal["died"] = "died"
    exit_code: int


Reported = StageReached | EpochDone | Finished | Failed | Postponed
Event = Reported | Died
_REPORTED: Final[TypeAdapter[Reported]] = TypeAdapter(Annotated[Reported, Field(discriminator="event")])


def report(event: Reported) -> None:
    """In the child: write an event."""
    sys.stdout.write(event.model_dump_json() + "\n")
    sys.stdout.flush()


def end_with_parent() -> None:
    """In the child: from now on, exit cleanly at a SIGTERM, and immediately when the trainer is gone."""

    def watch() -> None:
        while os.read(0, 1024):
            """The trainer writes nothing, so `read` returns only when the trainer has ended."""
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


class Child:
    """In the trainer: a running child."""

    def __init__(self, process: subprocess.Popen[str], lines: IO[str]) -> None:
        self._process = process
        self._events: queue.Queue[Event] = queue.Queue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()

    def next_event(self, wait_seconds: float) -> Event | None:
        """Return the next event; None if there is none within the time. The last event is `Died`."""
        try:
            return self._events.get(timeout=wait_seconds)
        except queue.Empty:
            return None

    def stop(self) -> None:
        """Terminate the child, and wait until it has ended."""
        self._process.terminate()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            try:
                self._events.put(_REPORTED.validate_json(line))
            except ValidationError:
                sys.stderr.write(line)
        self._events.put(Died(exit_code=self._process.wait()))


def start_child(*command: str) -> AbstractContextManager[Child]:
    """Start a command of the trainer in a child process, which is stopped at the end of the block."""
    return start_process([sys.executable, "-m", "services.trainer", *command])


@contextmanager
def start_process(command: Sequence[str]) -> Iterator[Child]:
    """Start a command that reports events; it is stopped at the end of the block."""
    process = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C at the terminal then reaches the trainer only
    )
    with process:
        if process.stdout is None:
            raise RuntimeError("the child has no output")
        child = Child(process, process.stdout)
        try:
            yield child
        finally:
            child.stop()
