"""A training in a process of its own, so that the trainer stays awake, can stop it, and outlives it.

The child writes one event per line, as JSON, to its standard output. It ends by itself when its standard input is
closed, as happens when the trainer is killed.
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

COMMAND: Final = "work"
GRACE_SECONDS: Final = 10.0
"""After which a child that was told to end is killed."""


class StageReached(BaseModel):
    """Something besides epochs is done now."""

    event: Literal["stage"] = "stage"
    stage: str


class EpochDone(BaseModel):
    """An epoch ended."""

    event: Literal["epoch"] = "epoch"
    epoch: int
    epochs: int
    metrics: dict[str, float]


class Finished(BaseModel):
    """The bundle is in object storage."""

    event: Literal["finished"] = "finished"
    model_version: str


class Failed(BaseModel):
    """It will never succeed."""

    event: Literal["failed"] = "failed"
    reason: str


class Postponed(BaseModel):
    """Something that it needs is away; it goes on from its checkpoint when it is started again."""

    event: Literal["postponed"] = "postponed"
    reason: str


class Died(BaseModel):
    """The process ended without a word."""

    event: Literal["died"] = "died"
    exit_code: int


Told = StageReached | EpochDone | Finished | Failed | Postponed
Event = Told | Died
_TOLD: Final[TypeAdapter[Told]] = TypeAdapter(Annotated[Told, Field(discriminator="event")])


def tell(event: Told) -> None:
    """In the child: write an event."""
    sys.stdout.write(event.model_dump_json() + "\n")
    sys.stdout.flush()


def end_with_parent() -> None:
    """In the child: from now on, end when the trainer says so, tidying up, and when it has gone, at once."""

    def watch() -> None:
        while os.read(0, 1024):
            """Nobody writes: it ends with the trainer."""
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
        """The next event; None if there was none in time. `Died` is the last, unless another last one came before."""
        try:
            return self._events.get(timeout=wait_seconds)
        except queue.Empty:
            return None

    def stop(self) -> None:
        """Tell the child to end, and wait until it has."""
        self._process.terminate()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            try:
                self._events.put(_TOLD.validate_json(line))
            except ValidationError:
                sys.stderr.write(line)
        self._events.put(Died(exit_code=self._process.wait()))


def started(training_id: str) -> AbstractContextManager[Child]:
    """Start a training in a child; whatever happens, the child is gone afterwards."""
    return following([sys.executable, "-m", "services.trainer", COMMAND, training_id])


@contextmanager
def following(command: Sequence[str]) -> Iterator[Child]:
    """Start a command that tells events."""
    process = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C at the terminal is the trainer's to answer
    )
    with process:
        if process.stdout is None:
            raise RuntimeError("the child has no output")
        child = Child(process, process.stdout)
        try:
            yield child
        finally:
            child.stop()
