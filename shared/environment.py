"""Read the settings of a service from the environment."""

from __future__ import annotations

import sys
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from shared.settings import SecretFileError
from shared.validation import describe

Settings = TypeVar("Settings", bound=BaseSettings)


def read_settings(kind: type[Settings], **overrides: Any) -> Settings:
    """Read the settings of a service, or exit with one line for each wrong setting.

    Wrong values are not printed, because they may be secrets.
    """
    try:
        return kind(**overrides)
    except SecretFileError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
    except ValidationError as error:
        prefix = str(kind.model_config.get("env_prefix", "")).upper()
        for problem in error.errors():
            name = prefix + "_".join(str(part) for part in problem["loc"]).upper() if problem["loc"] else "settings"
            sys.stderr.write(f"{name}: {describe(problem)}\n")
        raise SystemExit(2) from None
