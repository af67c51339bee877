"""Read the count of an encoder from registers of a PLC that is a Modbus TCP server."""

from __future__ import annotations

import threading
from contextlib import closing

from services.gateway.encoders.encoder import Encoder
from services.gateway.encoders.settings import ModbusEncoderSettings
from services.gateway.outputs.port import OutputUnavailable
from shared.health import Health
from shared.modbus_client import ModbusClient, PlcUnavailable

RETRY_SECONDS = 0.5
"""Seconds between two attempts after a failure."""


class ModbusEncoderReader:
    """Reads one or two registers again and again."""

    def __init__(self, settings: ModbusEncoderSettings) -> None:
        self._settings = settings

    def run(self, encoder: Encoder, stop: threading.Event, health: Health) -> None:
        """See the port."""
        with closing(self._connection()) as plc:
            failing = False
            while not stop.wait(RETRY_SECONDS if failing else self._settings.poll_ms / 1000):
                health.beat()
                try:
                    encoder.note(self._count(plc))
                    failing = False
                except PlcUnavailable as error:
                    encoder.fail(str(error))
                    failing = True

    def check(self) -> None:
        """See the port."""
        with closing(self._connection()) as plc:
            try:
                self._count(plc)
            except PlcUnavailable as error:
                raise OutputUnavailable(str(error)) from error

    def _connection(self) -> ModbusClient:
        settings = self._settings
        return ModbusClient(settings.host, settings.port, settings.unit, settings.timeout_seconds)

    def _count(self, plc: ModbusClient) -> int:
        settings = self._settings
        words = plc.read_registers(settings.address, settings.bits // 16, are_inputs=settings.registers == "input")
        if settings.low_word_first:
            words.reverse()
        return sum(word << 16 * place for place, word in enumerate(reversed(words)))
