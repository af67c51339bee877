"""The coil of the trigger, and the bits and registers of its answer. docs/factory.md lists them.

They are in Seamline's own Modbus server, or are copied to and from those of a PLC.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

from services.camera.triggers.trigger import Answer, Cause, InvalidTrigger, Trigger, TriggerOutcome
from services.camera.triggers.triggers import Triggers
from shared.modbus_server import text_of, text_registers, words

TRIGGER: Final = 0
"""The coil that the PLC sets to trigger, and clears after it has read the answer."""
CHECK: Final = 1
"""The coil that says that the parts of the next triggers are those of a check."""
READY, ANSWERED, CAPTURED, MISSED = range(4)
"""The numbers of the discrete inputs. *answered* falls when the PLC clears the coil."""
TEXT: Final = 32
"""Holding registers per text, with two ASCII characters in each and zeros after the text."""
TEXTS: Final = ("part", "batch", "order", "operator", "recipe")
"""The texts in the holding registers, in this order; the PLC writes them before it sets the coil."""
TRIGGERS: Final = 0
MISSES: Final = 2
"""Input registers of two counters (32 bits, the high word first) since the start of the camera."""
CAUSE: Final = 4
HEARTBEAT: Final = 5
"""Input register that changes between 0 and 1 each second."""
FRAME: Final = 16
FRAME_LENGTH: Final = 18
INPUTS: Final = 64

CAUSES: Final = {Cause.BUSY: 1, Cause.AWAY: 2, Cause.LATE: 3, Cause.REFUSED: 4, Cause.DROPPED: 5}
BITS: Final = 4
"""Number of the discrete inputs."""
TEXTS_LENGTH: Final = TEXT * len(TEXTS)


class TriggerRegisters:
    """The handshake of triggers: the PLC sets the coil, reads the answer, and clears the coil. Thread-safe."""

    def __init__(self, triggers: Triggers) -> None:
        self._triggers = triggers
        self._lock = threading.Lock()
        self._coil = False
        self._answer: Answer | None = None
        """The answer to the last trigger; None until there is an answer, and after the PLC has cleared the coil."""
        self._fired = 0
        self._missed = 0

    def set(self, texts: Sequence[int], away: str = "", *, coil: bool, check: bool = False) -> None:
        """Set the coil: fire a trigger when the coil rises, and delete the answer.

        Args:
            texts: the registers of the texts.
            away: why a trigger gets no image now, although the camera can capture; empty if it may get one.
            coil: whether the PLC has set the coil.
            check: whether the part in view is one of a check.
        """
        rises, self._coil = coil and not self._coil, coil
        with self._lock:
            self._answer = None
            self._fired += rises
            number = self._fired
        if not rises:
            return

        def take(answer: Future[Answer]) -> None:
            self._take(number, answer.result())

        fields = (text_of(list(texts[place : place + TEXT])) for place in range(0, len(texts), TEXT))
        try:
            given = {name: text for name, text in zip(TEXTS, fields, strict=True) if text}
            trigger = Trigger.of({**given, "check": check})
        except InvalidTrigger as error:
            self._take(number, self._triggers.miss(Cause.REFUSED, str(error)))
        else:
            self._triggers.fire(trigger, away).add_done_callback(take)

    @property
    def bits(self) -> tuple[bool, ...]:
        """The discrete inputs, by their numbers."""
        with self._lock:
            outcome = self._answer and self._answer.outcome
        return (
            self._triggers.is_ready,
            outcome is not None,
            outcome is TriggerOutcome.CAPTURED,
            outcome is TriggerOutcome.MISSED,
        )

    @property
    def inputs(self) -> list[int]:
        """The input registers."""
        registers = [0] * INPUTS
        with self._lock:
            registers[TRIGGERS : TRIGGERS + 2] = words(self._fired, 2)
            registers[MISSES : MISSES + 2] = words(self._missed, 2)
            if self._answer:
                registers[CAUSE] = CAUSES[self._answer.cause] if self._answer.cause else 0
                registers[FRAME : FRAME + FRAME_LENGTH] = text_registers(self._answer.frame_id or "", FRAME_LENGTH)
        registers[HEARTBEAT] = int(time.monotonic()) % 2
        return registers

    def _take(self, number: int, answer: Answer) -> None:
        with self._lock:
            self._missed += answer.outcome is TriggerOutcome.MISSED
            if number == self._fired and self._coil:
                self._answer = answer
