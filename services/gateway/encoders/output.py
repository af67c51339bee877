"""Take the count of an encoder that the PLC writes into registers of an output of the line."""

from __future__ import annotations

import threading
from typing import Final

from services.gateway.encoders.encoder import Encoder
from services.gateway.outputs.modbus import ModbusServer
from services.gateway.outputs.port import Output
from shared.health import Health

BEAT_SECONDS: Final = 1.0


class OutputEncoderReader:
    """Gets each count that the PLC writes."""

    def __init__(self, output: Output) -> None:
        if not isinstance(output, ModbusServer):
            raise TypeError("only an output of the type modbus has registers for a count")
        self._output = output

    def run(self, encoder: Encoder, stop: threading.Event, health: Health) -> None:
        """See the port."""
        self._output.registers.on_count = encoder.note
        while not stop.wait(BEAT_SECONDS):
            health.beat()

    def check(self) -> None:
        """See the port. The check of the output says whether the PLC can write there."""
