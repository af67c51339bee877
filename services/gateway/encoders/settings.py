"""The settings of a line's encoder in the file of the lines."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.gateway.outputs.settings import BrokerSettings, Port, Seconds, Unit
from shared.messages import Name


class EncoderSettings(BaseModel):
    """The settings that all encoders have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    remedy: ClassVar[str]
    """What to do when the count can't be read."""

    bits: Literal[16, 32] = Field(32, description="width of the count: after 2^bits - 1 it begins again at 0")
    most_back: int = Field(
        100, ge=0, description="counts that it may run back between two readings; further is a jump, such as a reset"
    )
    most_per_second: int | None = Field(
        None,
        gt=0,
        description="largest speed, in counts per second; faster is a jump; unset: no forward jump is noticed",
    )
    silence_seconds: Seconds | None = Field(
        None, description="the count is unknown after this time without a reading; unset: it counts as standing still"
    )

    @property
    def farthest(self) -> int:
        """The most counts between two positions whose order can be told."""
        return (1 << (self.bits - 1)) - 1


class ModbusEncoderSettings(EncoderSettings):
    """A count in registers of a PLC that is a Modbus TCP server: one register for 16 bits, two for 32."""

    remedy: ClassVar[str] = "switch the PLC on, or correct host, port, unit, address or registers"

    type: Literal["modbus"]
    host: str = Field(min_length=1)
    port: Port = 502
    unit: Unit = 1
    address: int = Field(ge=0, le=65_534)
    registers: Literal["holding", "input"] = "holding"
    low_word_first: bool = Field(False, description="of the two registers, the first one has the low bits")
    poll_ms: Annotated[int, Field(ge=1, le=1_000)] = Field(10, description="time between two readings")
    timeout_seconds: Seconds = 1.0


class MqttEncoderSettings(EncoderSettings, BrokerSettings):
    """A count on a topic of an MQTT broker: a number, or a JSON document with the field ``count``."""

    type: Literal["mqtt"]
    topic: str = Field(min_length=1, pattern=r"^[^#+]+$", description="topic of the count, without wildcards")


class OutputEncoderSettings(EncoderSettings):
    """A count that the PLC writes into registers of an output of the line of the type ``modbus``."""

    remedy: ClassVar[str] = "correct the output"

    type: Literal["output"]
    output: Name
    silence_seconds: Seconds | None = 2.0


AnyEncoder = Annotated[ModbusEncoderSettings | MqttEncoderSettings | OutputEncoderSettings, Field(discriminator="type")]
