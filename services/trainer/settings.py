"""Settings of the trainer, from the environment: ``TRAINER_…``."""

from __future__ import annotations

import socket
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


class TrainerSettings(ServiceSettings):
    """Settings of the trainer."""

    model_config = SettingsConfigDict(env_prefix="TRAINER_")

    name: str = Field(
        default_factory=socket.gethostname,
        description="display name of this trainer; by default the host's name",
    )
    work_folder: Path = Field(
        Path("var/trainings"),
        description="folder for the images of the running training; a trainer that starts with the same folder "
        "continues an interrupted training immediately, any other trainer when the lease of its claim is over",
    )
    dataset_folder: Path | None = Field(
        None, description="folder whose subfolders may be requested as datasets; unset: datasets of object storage only"
    )
    weights_folder: Path | None = Field(
        None,
        description="folder of initial weights, one file per architecture, such as `MobileNetV3Small.weights.h5`; "
        "an architecture without a file starts from installed weights, or from random weights",
    )
    initial_model: Path | None = Field(
        None, description="folder of a bundle that is promoted at the start if its recipe has no model yet"
    )
    lease_seconds: float = Field(
        60.0, gt=0, description="lease of a claim: the time for which it holds after its trainer last renewed it"
    )
