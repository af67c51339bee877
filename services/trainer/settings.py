"""Settings of the trainer, from the environment: ``TRAINER_…``."""

from __future__ import annotations

import socket
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings


class TrainerSettings(ServiceSettings):
    """What the trainer needs to know."""

    model_config = SettingsConfigDict(env_prefix="TRAINER_")

    name: str = Field(
        default_factory=socket.gethostname,
        description="of this trainer, for people; by default the host's",
    )
    work_folder: Path = Field(
        Path("var/trainings"),
        description="gets the images of the training under way; a training that a trainer left is taken up at once "
        "by the next one of the same work folder, and after the lease by any other",
    )
    dataset_folder: Path | None = Field(
        None, description="requests may name folders below this one as datasets; without it, object storage alone"
    )
    weights_folder: Path | None = Field(
        None,
        description="weights to start from, by architecture: `MobileNetV3Small.weights.h5`; an architecture without a "
        "file there starts from what is installed",
    )
    initial_model: Path | None = Field(
        None, description="folder of a bundle that is promoted at the start where its recipe has no model yet"
    )
    lease_seconds: float = Field(
        60.0, gt=0, description="how long a training stays with a trainer that is not heard of any more"
    )
