"""Take triggers from a PLC that is a Modbus TCP server: its coil is read again and again, and the answer is written."""

from __future__ import annotations

import threading
from contextlib import closing, suppress
from typing import Final

import structlog

from services.camera.settings import CameraSettings, PlcAddress
from services.camera.triggers.modbus_registers import (
    BITS,
    CHECK,
    FRAME,
    FRAME_LENGTH,
    TEXTS_LENGTH,
    TRIGGER,
    TriggerRegisters,
)
from services.camera.triggers.triggers import Triggers
from shared.modbus_client import ModbusClient, PlcUnavailable

ANSWERS: Final = CHECK + 1
"""The first coil that the camera writes, after those that the PLC writes."""
ANSWER: Final = TEXTS_LENGTH
"""The first register of the answer in the block, after the texts."""
ANSWER_LENGTH: Final = FRAME + FRAME_LENGTH
TIMEOUT_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 1.0
"""Seconds between two attempts to connect."""
CLOSING_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)


class ModbusClientTriggers:
    """A client of a PLC, which connects again after it loses the connection.

    A coil that is set when the client has just connected was set before: its trigger is too old, and is missed. That
    also holds for a coil that was set before the connection was lost, because the PLC may have set it again meanwhile.
    """

    def __init__(self, triggers: Triggers, plc: PlcAddress, settings: CameraSettings) -> None:
        self._registers = TriggerRegisters(triggers)
        self._plc = plc
        self._coil = settings.trigger_plc_coil
        self._register = settings.trigger_plc_register
        self._poll_seconds = settings.trigger_plc_poll_ms / 1000
        self._unit = settings.trigger_plc_unit
        self._was_set = False
        """Whether the coil was set at the last read."""
        self._written: tuple[tuple[bool, ...], list[int]] | None = None
        """The bits and registers of the answer as the PLC has them; None after a new connection."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._exchange_until_closed, name="triggers", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write that the camera is not ready any more, and disconnect."""
        self._stop.set()
        self._thread.join(CLOSING_SECONDS)

    def _exchange_until_closed(self) -> None:
        failure = ""
        with closing(ModbusClient(self._plc.host, self._plc.port, self._unit, TIMEOUT_SECONDS)) as plc:
            while not self._stop.wait(RETRY_SECONDS if failure else self._poll_seconds):
                before = failure
                try:
                    self._exchange(plc)
                    failure = ""
                except PlcUnavailable as error:
                    self._written, failure = None, str(error)
                    self._was_set = False
                    self._registers.set([], coil=False)
                if failure and failure != before:
                    log.warning("no triggers over Modbus TCP", reason=failure)
            with suppress(PlcUnavailable):
                plc.write_coils(self._coil + ANSWERS, [False] * BITS)

    def _exchange(self, plc: ModbusClient) -> None:
        """Read the coils of the PLC, and write what has changed of the answer."""
        coils = plc.read_coils(self._coil, ANSWERS)
        is_set = coils[TRIGGER]
        if is_set != self._was_set:
            texts = plc.read_registers(self._register, TEXTS_LENGTH) if is_set else []
            away = "" if self._written else "it came while the camera was not connected to the PLC"
            self._was_set = is_set
            self._registers.set(texts, away, coil=is_set, check=coils[CHECK])
        bits, answer = self._registers.bits, self._registers.inputs[:ANSWER_LENGTH]
        written_bits, written_answer = self._written or (None, None)
        if answer != written_answer:
            plc.write_registers(self._register + ANSWER, answer)
        if bits != written_bits:  # last: they announce the answer
            plc.write_coils(self._coil + ANSWERS, bits)
        self._written = bits, answer
