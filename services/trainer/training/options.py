"""The options of a training, as people give them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue, TypeAdapter, ValidationError

from services.trainer.errors import TrainerError
from shared.contracts.bundle import ModelVersion
from shared.contracts.training import TrainingOptions


class WrongOption(TrainerError):
    """An option that a training does not have, or a value that it can't take."""


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


def model_version_of(text: str) -> str:
    """The name of a model version, as a command line has it.

    Raises:
        WrongOption: no model can be called so.
    """
    try:
        return TypeAdapter[str](ModelVersion).validate_python(text)
    except ValidationError as error:
        raise WrongOption(
            "model-version is at most 64 letters, digits, _ and -, after a letter or digit, neither production nor "
            f"comparisons, and not {text!r}"
        ) from error
