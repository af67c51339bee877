"""Settings of an explainer."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


class ExplainerSettings(ServiceSettings):
    """Settings from the environment, with the prefix ``EXPLAINER_``."""

    model_config = SettingsConfigDict(env_prefix="EXPLAINER_", env_ignore_empty=True)

    batch: int = Field(8, ge=1, le=64, description="largest number of frames in a batch")
    threads: int = Field(0, ge=0, le=1024, description="threads of the network; 0: the default of the libraries")
    models: int = Field(3, ge=1, le=100, description="model versions in memory; the last used ones stay")
    image_wait_seconds: float = Field(
        30.0, ge=0, le=3600, description="time to wait for an image that is not in object storage yet"
    )
    report_seconds: float = Field(5.0, gt=0, le=60, description="time between two reports of the worker")
