"""What may be chosen for a training."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from services.trainer.errors import TrainerError
from services.trainer.split import Shares
from shared.vision.bundle import Form


class WrongOption(TrainerError):
    """An option that a training does not have, or a value that it can't take."""


class Precision(StrEnum):
    """The numbers that a training reckons in; what is kept is float32 in any case."""

    AUTO = "auto"
    """Mixed where this machine is known to be quicker so with this architecture, and float32 elsewhere."""
    FLOAT32 = "float32"
    MIXED = "mixed"
    """Half as many bits in most layers: float16 on a GPU with tensor cores, bfloat16 on a processor that has it."""


class TrainingOptions(BaseModel):
    """Options of one training; kept in its bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(30, ge=1, le=1000)
    patience: int = Field(10, ge=1, description="epochs without a better validation before it stops early")
    batch_size: int = Field(32, ge=1, le=1024)
    learning_rate: float | None = Field(None, gt=0, description="at its highest; None for the architecture's own")
    weight_decay: float | None = Field(None, ge=0, description="None for the architecture's own")
    precision: Precision = Field(Precision.AUTO, description="of the numbers that most layers reckon in")
    seed: int = Field(0, ge=0)
    shares: Shares = Shares()
    forms: tuple[Form, ...] = Field((Form.FP32, Form.INT8), description="of the network, for inference")
    mistakes: int = Field(12, ge=0, le=100, description="of the test part, the worst, kept with their pictures")
    report: bool = Field(True, description="keep report.html with the model")
    skip_problems: bool = Field(False, description="pass over wrong rows and unreadable pictures")

    @field_validator("forms")
    @classmethod
    def _full_precision_is_kept(cls, forms: tuple[Form, ...]) -> tuple[Form, ...]:
        if Form.FP32 not in forms:
            raise ValueError("fp32 is always made: the others come from it")
        return forms


def read_options(given: Mapping[str, JsonValue]) -> TrainingOptions:
    """Options as a message or a command brings them.

    Raises:
        WrongOption: the first that is wrong.
    """
    try:
        return TrainingOptions.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"])
        known = f"; there are {', '.join(TrainingOptions.model_fields)}" if problem["type"] == "extra_forbidden" else ""
        raise WrongOption(f"option {name}: {problem['msg'].removeprefix('Value error, ')}{known}") from error


def shares_of(text: str) -> dict[str, JsonValue]:
    """The option ``shares`` of ``train,valid,test`` as a command line has them.

    Raises:
        WrongOption: it is something else.
    """
    try:
        train, valid, test = (float(part) for part in text.split(","))
    except ValueError:
        raise WrongOption(f"split is three shares such as 0.78,0.20,0.02, and not {text!r}") from None
    return {"train": train, "valid": valid, "test": test}
