"""Set a coil of a PLC or of an I/O module for a time with each signal, so that a gate opens."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Final

import structlog

from services.gateway.outputs.port import LineStatus, OutputUnavailable, Signal
from services.gateway.outputs.settings import ModbusCoilSettings
from shared.modbus_client import ModbusClient, PlcUnavailable

RETRY_SECONDS: Final = 0.2
"""Seconds between two attempts to clear the coil."""
CLOSING_SECONDS: Final = 10.0

_log = structlog.stdlib.get_logger("outputs")


class ModbusCoil:
    """A coil that is set with a signal, and cleared after the pulse. A signal during a pulse makes it longer.

    A thread clears the coil. It starts with the first status or signal, and clears the coil then, too: a gateway that
    was killed may have left it set.
    """

    group: Final = 1
    collect_seconds: Final = 0.0
    longest_pause: Final = 0.2
    seconds_needed: Final = 0.0

    def __init__(self, settings: ModbusCoilSettings) -> None:
        self._settings = settings
        self._changed = threading.Condition()
        """Held while the connection is in use."""
        self._plc = self._connection()
        self._clear_at: float | None = 0.0
        """When the coil is to be cleared, in seconds of the steady clock; None if it is cleared."""
        self._thread: threading.Thread | None = None
        self._closed = False

    def send(self, signals: Sequence[Signal]) -> int:
        """See the port."""
        self._start()
        with self._changed:
            try:
                self._plc.write_coils(self._settings.coil, [True])
            except PlcUnavailable as error:
                raise OutputUnavailable(str(error)) from error
            finally:  # also without an answer: the coil may be set then
                self._clear_at = time.monotonic() + self._settings.pulse_ms / 1000
                self._changed.notify_all()
        return len(signals)

    def show(self, status: LineStatus) -> None:  # noqa: ARG002  of the port
        """See the port. A coil shows no status."""
        self._start()

    def check(self) -> None:
        """See the port. The coil is read, over a connection of its own."""
        with closing(self._connection()) as plc:
            try:
                plc.read_coils(self._settings.coil, 1)
            except PlcUnavailable as error:
                raise OutputUnavailable(str(error)) from error

    def close(self) -> None:
        """See the port. The coil is cleared."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread:
            self._thread.join(CLOSING_SECONDS)

    def _start(self) -> None:
        """Start the thread, unless it runs. Two threads may call it: that of the signals, and that of the status."""
        if self._thread is None:
            with self._changed:
                if self._thread is None and not self._closed:
                    self._thread = threading.Thread(target=self._clear_until_closed, name="modbus coil", daemon=True)
                    self._thread.start()

    def _connection(self) -> ModbusClient:
        settings = self._settings
        return ModbusClient(settings.host, settings.port, settings.unit, settings.timeout_seconds)

    def _clear_until_closed(self) -> None:
        failing = False
        with self._changed, closing(self._plc):
            while not self._closed or self._clear_at is not None:
                left = None if self._clear_at is None else self._clear_at - time.monotonic()
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                try:
                    self._plc.write_coils(self._settings.coil, [False])
                except PlcUnavailable as error:
                    if self._closed:
                        return
                    if not failing:
                        _log.error("a coil can't be cleared; it is tried again", reason=str(error))
                    failing = True
                    self._changed.wait(RETRY_SECONDS)
                else:
                    self._clear_at, failing = None, False
