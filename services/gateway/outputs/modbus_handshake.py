"""Send signals by the handshake of results, over registers of Seamline's Modbus server or of a PLC."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import structlog

from services.gateway.outputs.modbus_registers import RecipeAnswer, Registers
from services.gateway.outputs.port import LineRecipe, LineStatus, OutputUnavailable, Signal
from services.gateway.outputs.recipe_requests import RecipeRequests
from services.gateway.outputs.settings import HandshakeSettings

_log = structlog.stdlib.get_logger("outputs")


class ModbusHandshake(ABC):
    """The registers, and their handshakes. A signal counts as sent when the PLC has acknowledged it."""

    collect_seconds: Final = 0.0
    longest_pause: Final = 0.2
    """Short, so that a result is shown soon after the PLC is back."""

    def __init__(self, settings: HandshakeSettings, recipe: LineRecipe | None, plc: str) -> None:
        """``recipe`` is the recipe of the line, which the PLC may change; ``plc`` names the PLC in the audit log."""
        self.group = settings.buffer
        self._ack_seconds = settings.ack_seconds
        self.registers = Registers(settings)
        self._recipe_numbers = settings.recipe_numbers
        self._recipe_lock = threading.Lock()
        """Held while `Registers.recipe` changes."""
        self._requests = RecipeRequests(recipe, f"modbus:{plc}") if recipe else None
        self.registers.on_recipe = self._change_recipe

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
        self._show_recipe()
        self.registers.show(status)

    def _change_recipe(self, number: int) -> None:
        """Change the recipe of the line to the one with this number; 0 deletes the answer to the last request."""
        answer = RecipeAnswer.CHANGING if number else RecipeAnswer.NONE
        if number and (self._requests is None or number > len(self._recipe_numbers)):
            _log.warning("refused to change the recipe: recipe_numbers has no recipe of this number", number=number)
            answer = RecipeAnswer.REFUSED
        with self._recipe_lock:
            self.registers.recipe = replace(self.registers.recipe, requested=number, answer=answer)
        if self._requests is None or answer is not RecipeAnswer.CHANGING:
            return

        def take(refusal: str) -> None:
            self._show_recipe()
            with self._recipe_lock:
                shown = self.registers.recipe
                if shown.requested == number and shown.answer is RecipeAnswer.CHANGING:
                    answer = RecipeAnswer.REFUSED if refusal else RecipeAnswer.DONE
                    self.registers.recipe = replace(shown, answer=answer)

        self._requests.change(self._recipe_numbers[number - 1], take)

    def _show_recipe(self) -> None:
        """Show the PLC the number of the line's recipe."""
        current = self._requests.line.current if self._requests else None
        number = self._recipe_numbers.index(current) + 1 if current in self._recipe_numbers else 0
        with self._recipe_lock:
            self.registers.recipe = replace(self.registers.recipe, number=number)

    @abstractmethod
    def check(self) -> None:
        """See the port."""

    def close(self) -> None:
        """See the port."""
        if self._requests:
            self._requests.close()
