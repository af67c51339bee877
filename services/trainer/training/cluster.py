"""Read `TF_CONFIG`, which says which processes train one model together, and which of them this process is.

The format is TensorFlow's own, as in `EXAMPLE`, with an optional ``"chief": ["host:port"]`` beside the workers. Without
a chief, worker 0 is the chief.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from services.trainer.errors import TrainerError
from shared.validation import describe

VARIABLE: Final = "TF_CONFIG"
EXAMPLE: Final = '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'

Address = Annotated[str, StringConstraints(pattern=r"^[^\s:/]+:\d{1,5}$")]


class WrongCluster(TrainerError):
    """`TF_CONFIG` is wrong, or this process is not in the cluster that it describes."""


@dataclass(frozen=True)
class Rank:
    """The number of this process among the processes that train together, and their addresses."""

    index: int
    """From 0; the chief has 0."""
    addresses: tuple[str, ...]
    """The addresses of all ranks, as ``host:port``."""

    @property
    def size(self) -> int:
        """The number of ranks, including the chief."""
        return len(self.addresses)

    @property
    def address(self) -> str:
        """The address of this process."""
        return self.addresses[self.index]

    @property
    def is_chief(self) -> bool:
        """Whether this rank is the chief, which validates, saves checkpoints, reports, and writes the bundle."""
        return self.index == 0


SINGLE: Final = Rank(0, ("",))
"""The rank of a process that trains alone."""


class ClusterJobs(BaseModel):
    """The addresses of a `TF_CONFIG`."""

    model_config = ConfigDict(extra="forbid")

    chief: list[Address] = Field(default=[], max_length=1)
    worker: list[Address] = []


class ClusterTask(BaseModel):
    """The task of a `TF_CONFIG`."""

    type: Literal["chief", "worker"]
    index: int = Field(ge=0)


class ClusterConfig(BaseModel):
    """A `TF_CONFIG`."""

    cluster: ClusterJobs
    task: ClusterTask

    @model_validator(mode="after")
    def _holds_the_task(self) -> ClusterConfig:
        addresses = [*self.cluster.chief, *self.cluster.worker]
        job: list[str] = getattr(self.cluster, self.task.type)
        if self.task.index >= len(job):
            raise ValueError(f"task {self.task.type} {self.task.index} is not in the cluster, which has {len(job)}")
        if twice := next((each for each in addresses if addresses.count(each) > 1), None):
            raise ValueError(f"two tasks of the cluster have the address {twice}")
        return self


def rank_of(config: str) -> Rank:
    """Return the rank that a `TF_CONFIG` gives to this process.

    Raises:
        WrongCluster: a field is wrong; the message names it.
    """
    try:
        read = ClusterConfig.model_validate_json(config)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f"{part}: " for part in problem["loc"])
        raise WrongCluster(
            f"{VARIABLE}: {where}{describe(problem)}: give {EXAMPLE}, or unset it to train with one process"
        ) from error
    chiefs = read.cluster.chief
    index = read.task.index + (len(chiefs) if read.task.type == "worker" else 0)
    return Rank(index, (*chiefs, *read.cluster.worker))
