"""Accept triggers over Modbus TCP: the PLC sets a coil and reads the answer. docs/factory.md lists the registers."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import Final

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from services.camera.errors import CameraError
from services.camera.settings import ListenAddress
from services.camera.triggers.trigger import Answer, Cause, InvalidTrigger, Trigger, TriggerOutcome
from services.camera.triggers.triggers import Triggers
from shared.modbus_server import EVERY_DEVICE, ModbusThread, ModbusUnavailable, text_of, text_registers, words

TRIGGER: Final = 0
"""The coil that the PLC sets to trigger, and clears after it has read the answer."""
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
READ_DISCRETE_INPUTS: Final = 2
READ_INPUT_REGISTERS: Final = 4
WRITE_COILS: Final = (5, 15)
"""Function codes."""


class ModbusTriggers:
    """A Modbus server with the coil of the trigger and the registers of the answer."""

    def __init__(self, triggers: Triggers, address: ListenAddress) -> None:
        """Start the server; raises `CameraError`."""
        self._triggers = triggers
        self._lock = threading.Lock()
        self._coil = False
        self._texts = [0] * TEXT * len(TEXTS)
        self._answer: Answer | None = None
        """The answer to the last trigger; None until there is an answer, and after the PLC has cleared the coil."""
        self._fired = 0
        self._missed = 0
        bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
        device = SimDevice(
            id=EVERY_DEVICE,
            simdata=(
                bits,
                list(bits),
                [SimData(0, count=len(self._texts), values=0, datatype=DataType.REGISTERS)],
                [SimData(0, count=INPUTS, values=0, datatype=DataType.REGISTERS)],
            ),
            action=self._access,
        )
        self._server = ModbusThread(device, *address)
        try:
            self._server.start()
        except ModbusUnavailable as error:
            raise CameraError(f"CAMERA_TRIGGER_MODBUS: {error}") from error

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    async def _access(
        self,
        function: int,
        _start: int,
        address: int,
        _count: int,
        registers: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Apply what the PLC writes; or, if it reads, update ``registers`` to their present values."""
        if written is None:
            if function == READ_DISCRETE_INPUTS:
                registers[0] = self._bits()
            elif function == READ_INPUT_REGISTERS:
                registers[:INPUTS] = self._inputs()
        elif function in WRITE_COILS:
            if address != TRIGGER or len(written) != 1:
                return ExcCodes.ILLEGAL_ADDRESS
            self._set(coil=bool(written[0]))
        else:
            self._texts[address : address + len(written)] = [int(value) for value in written]
        return None

    def _set(self, *, coil: bool) -> None:
        """Set the coil: fire a trigger when the coil rises, and delete the answer."""
        rises, self._coil = coil and not self._coil, coil
        with self._lock:
            self._answer = None
            self._fired += rises
            number = self._fired
        if not rises:
            return

        def take(answer: Future[Answer]) -> None:
            self._take(number, answer.result())

        texts = (text_of(self._texts[place : place + TEXT]) for place in range(0, len(self._texts), TEXT))
        try:
            trigger = Trigger.of({name: text for name, text in zip(TEXTS, texts, strict=True) if text})
        except InvalidTrigger as error:
            self._take(number, self._triggers.miss(Cause.REFUSED, str(error)))
        else:
            self._triggers.fire(trigger).add_done_callback(take)

    def _take(self, number: int, answer: Answer) -> None:
        with self._lock:
            self._missed += answer.outcome is TriggerOutcome.MISSED
            if number == self._fired and self._coil:
                self._answer = answer

    def _bits(self) -> int:
        with self._lock:
            outcome = self._answer and self._answer.outcome
        return (
            self._triggers.is_ready << READY
            | (outcome is not None) << ANSWERED
            | (outcome is TriggerOutcome.CAPTURED) << CAPTURED
            | (outcome is TriggerOutcome.MISSED) << MISSED
        )

    def _inputs(self) -> list[int]:
        registers = [0] * INPUTS
        with self._lock:
            registers[TRIGGERS : TRIGGERS + 2] = words(self._fired, 2)
            registers[MISSES : MISSES + 2] = words(self._missed, 2)
            if self._answer:
                registers[CAUSE] = CAUSES[self._answer.cause] if self._answer.cause else 0
                registers[FRAME : FRAME + FRAME_LENGTH] = text_registers(self._answer.frame_id or "", FRAME_LENGTH)
        registers[HEARTBEAT] = int(time.monotonic()) % 2
        return registers
