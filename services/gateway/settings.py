"""Settings of a gateway."""

from __future__ import annotations

import socket
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


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
