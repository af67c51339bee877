"""What `TF_CONFIG` says: which processes train one model together, and which of them this one is.

The format is TensorFlow's own, as in `EXAMPLE`, with an optional ``"chief": ["host:port"]`` beside the workers. Without
a chief, worker 0 is it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from services.trainer.errors import TrainerError

VARIABLE: Final = "TF_CONFIG"
EXAMPLE: Final = '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'

Address = Annotated[str, StringConstraints(pattern=r"^[^\s:/]+:\d{1,5}$")]
Role = Literal["chief", "worker"]


class WrongCluster(TrainerError):
    """`TF_CONFIG` names no cluster that can train, or this process is not in it."""


@dataclass(frozen=True)
class Seat:
    """The place of this process among those that train together."""

    index: int
    """The chief is 0."""
    addresses: tuple[str, ...]
    """Of all processes."""

    @property
    def workers(self) -> int:
        """How many they are, with the chief."""
        return len(self.addresses)

    @property
    def address(self) -> str:
        """That the others find it at."""
        return self.addresses[self.index]

    @property
    def is_chief(self) -> bool:
        """Whether it validates, keeps checkpoints, reports, and writes the bundle."""
        return self.index == 0


ALONE: Final = Seat(0, ("",))


class _Jobs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    chief: list[Address] = Field(default=[], max_length=1)
    worker: list[Address] = []


class _Task(BaseModel):
    type: Role
    index: int = Field(ge=0)


class _Config(BaseModel):
    cluster: _Jobs
    task: _Task

    @model_validator(mode="after")
    def _fits(self) -> _Config:
        everyone = [*self.cluster.chief, *self.cluster.worker]
        job: list[str] = getattr(self.cluster, self.task.type)
        if self.task.index >= len(job):
            raise ValueError(f"task {self.task.type} {self.task.index} is not in the cluster, which has {len(job)}")
        if twice := next((each for each in everyone if everyone.count(each) > 1), None):
            raise ValueError(f"two of the cluster have the address {twice}")
        return self


def seat_of(config: str) -> Seat:
    """The place that a `TF_CONFIG` gives to this process.

    Raises:
        WrongCluster: it says something else, in the field that the message names.
    """
    try:
        read = _Config.model_validate_json(config)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f"{part}: " for part in problem["loc"])
        raise WrongCluster(
            f"{VARIABLE}: {where}{problem['msg'].removeprefix('Value error, ')}: give {EXAMPLE}, "
            "or unset it to train alone"
        ) from error
    everyone = [*read.cluster.chief, *read.cluster.worker]
    index = read.task.index + (len(read.cluster.chief) if read.task.type == "worker" else 0)
    return Seat(index, tuple(everyone))
