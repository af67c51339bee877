"""Settings of a gateway."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings
from shared.shifts import Shifts


class GatewaySettings(ServiceSettings):
    """Settings from the environment, with the prefix ``GATEWAY_``."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", env_ignore_empty=True)

    name: str = Field(
        default_factory=socket.gethostname,
        description="name of this gateway, for people; by default the host's name",
    )
    folder: Path = Field(
        Path("var/gateway"), description="folder of the journal; on a disk that survives a restart, one per gateway"
    )
    lines: Path | None = Field(
        None, description="YAML file with the parts and outputs of lines; without one, the recipes say what a part is"
    )
    batch: int = Field(100, ge=1, le=1_000, description="largest number of verdicts in a batch")
    retention_days: float = Field(
        7, gt=0, le=365, description="days for which decisions are remembered; a frame that is older decides nothing"
    )
    lease_seconds: float = Field(
        10, gt=0, description="time without a renewal of the claim after which another gateway takes over"
    )
    silence_seconds: float = Field(
        1.5,
        gt=0,
        le=60,
        description="a camera or worker that is silent for longer, or for 2.5 times as long as usual, is not well",
    )
    report_seconds: float = Field(5, gt=0, le=60, description="time between two reports of the gateway")
    shifts: str = Field(
        "06:00,14:00,22:00", description="times at which shifts begin, by the plant's clock: as those of the dashboard"
    )
    time_zone: str = Field("UTC", description="the plant's clock, such as Europe/Berlin")

    @property
    def shift_times(self) -> Shifts:
        """The shifts, by the plant's clock."""
        return Shifts.parse(self.shifts, self.time_zone, "GATEWAY")

    @model_validator(mode="after")
    def _shifts_can_be_read(self) -> Self:
        Shifts.parse(self.shifts, self.time_zone, "GATEWAY")
        return self
