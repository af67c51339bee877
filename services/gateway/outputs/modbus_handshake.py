"""Send signals by the handshake of results, over registers of Seamline's Modbus server or of a PLC."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from services.gateway.outputs.modbus_registers import Registers
from services.gateway.outputs.port import LineStatus, OutputUnavailable, Signal
from services.gateway.outputs.settings import HandshakeSettings


class ModbusHandshake(ABC):
    """The registers, and their handshake. A signal counts as sent when the PLC has acknowledged it."""

    collect_seconds: Final = 0.0
    longest_pause: Final = 0.2
    """Short, so that a result is shown soon after the PLC is back."""

    def __init__(self, settings: HandshakeSettings) -> None:
        self.group = settings.buffer
        self._ack_seconds = settings.ack_seconds
        self.registers = Registers(settings)

    @property
    def seconds_needed(self) -> float:
        """See the port."""
        return self.registers.seconds_needed

    def send(self, signals: Sequence[Signal]) -> int:
        """See the port. A PLC that acknowledges some of the results counts as available, even if it is too slow."""
        self.check()
        moment = datetime.now(UTC)
        seconds = [
            (signal.deadline_at - moment).total_seconds() if signal.deadline_at else math.inf for signal in signals
        ]
        sent = self.registers.deliver(signals, seconds)
        if not sent and self.registers.seconds_unacknowledged >= self._ack_seconds:
            self.check()  # the PLC may have gone away meanwhile
            raise OutputUnavailable(
                "the PLC did not acknowledge a result in time" if self.registers.wanted else "the PLC has set offline"
            )
        return sent

    def show(self, status: LineStatus) -> None:
        """See the port."""
        self.registers.show(status)

    @abstractmethod
    def check(self) -> None:
        """See the port."""

    @abstractmethod
    def close(self) -> None:
        """See the port."""
