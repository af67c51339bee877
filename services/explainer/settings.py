"""What an explainer needs to know."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


class ExplainerSettings(ServiceSettings):
    """From the environment, with the prefix ``EXPLAINER_``."""

    model_config = SettingsConfigDict(env_prefix="EXPLAINER_", env_ignore_empty=True)

    batch: int = Field(8, ge=1, le=64, description="frames explained at once, at most")
    threads: int = Field(0, ge=0, le=1024, description="for the network; 0: the libraries' own choice")
    models: int = Field(3, ge=1, le=100, description="model versions kept in memory, the last used ones")
    image_wait_seconds: float = Field(
        30.0, ge=0, le=3600, description="how long an image that is not in object storage yet is waited for"
    )
    report_seconds: float = Field(5.0, gt=0, le=60, description="between two reports of the worker about itself")
