"""Read the options of a training from a message or a command line."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue, TypeAdapter, ValidationError

from services.trainer.errors import TrainerError
from shared.contracts.bundle import ModelVersion
from shared.contracts.training import TrainingOptions
from shared.validation import describe


class WrongOption(TrainerError):
    """An unknown option, or an option with a wrong value."""


def read_options(given: Mapping[str, JsonValue]) -> TrainingOptions:
    """Return the options of a message or a command.

    Raises:
        WrongOption: an option is wrong; the message names the first one.
    """
    try:
        return TrainingOptions.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"])
        unknown = problem["type"] == "extra_forbidden"
        hint = f"; the options are {', '.join(TrainingOptions.model_fields)}" if unknown else ""
        raise WrongOption(f"option {name}: {describe(problem)}{hint}") from error


def shares_of(text: str) -> dict[str, JsonValue]:
    """Return the option ``shares`` of ``train,valid,test`` on a command line.

    Raises:
        WrongOption: the text has another form.
    """
    try:
        train, valid, test = (float(share) for share in text.split(","))
    except ValueError:
        raise WrongOption(f"split is three shares such as 0.78,0.20,0.02, not {text!r}") from None
    return {"train": train, "valid": valid, "test": test}


def model_version_of(text: str) -> str:
    """Return the name of a model version on a command line.

    Raises:
        WrongOption: no model version can have that name.
    """
    try:
        return TypeAdapter[str](ModelVersion).validate_python(text)
    except ValidationError as error:
        raise WrongOption(
            "model-version has at most 64 letters, digits, _ and -, starts with a letter or digit, and is neither "
            f"production nor comparisons; so it is not {text!r}"
        ) from error
