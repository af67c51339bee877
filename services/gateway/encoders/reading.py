"""Read the count of an encoder from where the plant has it. Only the chosen module is imported, with its driver."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from services.gateway.encoders.encoder import Encoder, Way
from services.gateway.encoders.settings import (
    AnyEncoder,
    ModbusEncoderSettings,
    MqttEncoderSettings,
    OutputEncoderSettings,
)
from services.gateway.outputs.port import Output
from services.gateway.outputs.settings import OutputSettings
from services.gateway.part_assembly import Now
from shared.health import Health


class EncoderReader(Protocol):
    """Reads one encoder."""

    def run(self, encoder: Encoder, stop: threading.Event, health: Health) -> None:
        """Note each reading, and each failure, until ``stop`` is set."""
        ...

    def check(self) -> None:
        """Connect to where the count is, and read it if that is possible at once; raises `OutputUnavailable`."""
        ...


def open_encoder(settings: AnyEncoder, clock: Callable[[], Now]) -> Encoder:
    """Return an encoder without readings."""
    return Encoder(settings, clock, is_polled=isinstance(settings, ModbusEncoderSettings))


def way_of(settings: OutputSettings, encoder: Encoder | None) -> Way | None:
    """Return the delay and the deadline of an output in counts of its line's encoder; None if they are times."""
    if encoder is None or settings.delay_counts is None or settings.deadline_counts is None:
        return None
    return Way(encoder, settings.delay_counts, settings.deadline_counts)


def open_reader(settings: AnyEncoder, outputs: Mapping[str, Output]) -> EncoderReader:
    """Return the reader of the encoder of a line whose outputs are given."""
    match settings:
        case ModbusEncoderSettings():
            from services.gateway.encoders.modbus import ModbusEncoderReader  # noqa: PLC0415

            return ModbusEncoderReader(settings)
        case MqttEncoderSettings():
            from services.gateway.encoders.mqtt import MqttEncoderReader  # noqa: PLC0415

            return MqttEncoderReader(settings)
        case OutputEncoderSettings():
            from services.gateway.encoders.output import OutputEncoderReader  # noqa: PLC0415

            return OutputEncoderReader(outputs[settings.output])
