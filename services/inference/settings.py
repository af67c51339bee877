"""Settings of an inference worker."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from shared.messages import Name
from shared.settings import ServiceSettings


class InferenceSettings(ServiceSettings):
    """Settings from the environment, with the prefix ``INFERENCE_``."""

    model_config = SettingsConfigDict(env_prefix="INFERENCE_", env_ignore_empty=True)

    recipe: Name = Field(
        description="name of the recipe whose model in production inspects the frames that name no recipe"
    )
    models: int = Field(
        4,
        ge=2,
        le=100,
        description="most recipes whose models the worker holds; the model that no frame needed for the longest time "
        "is given up first, and never that of `INFERENCE_RECIPE`",
    )
    engine: Literal["openvino", "tensorflow"] = Field("openvino", description="library that runs the network")
    variant: Literal["auto", "fp32", "int8"] = Field(
        "auto", description="variant of the network, for OpenVINO; auto: int8, the fastest, if the model has it"
    )
    threads: int = Field(1, ge=0, le=1024, description="threads of the network; 0: one for each physical core")
    batch: int = Field(16, ge=1, le=256, description="largest number of frames in a batch")
    batch_wait_ms: float = Field(5.0, ge=0, le=1000, description="time for which a batch waits for more frames")
    model_check_seconds: float = Field(
        10.0, gt=0, le=3600, description="time between two checks of the model in production"
    )
    storage_wait_seconds: float = Field(
        2.0, gt=0, le=60, description="time for which a batch waits for object storage before it defers its images"
    )
    storage_pause_seconds: float = Field(
        5.0, gt=0, le=600, description="time for which object storage is not called after a failure"
    )
    live_seconds: float = Field(
        1.0, ge=0, le=3600, description="time between two stored live images of a camera; 0: none are stored"
    )
    report_seconds: float = Field(5.0, gt=0, le=60, description="time between two reports of the worker")

    @field_validator("engine")
    @classmethod
    def _check_engine(cls, engine: str) -> str:
        if find_spec(engine) is None:
            raise ValueError(f"{engine} is not installed here: install its packages, or choose another engine")
        return engine
