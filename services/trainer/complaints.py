"""How the commands tell people what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from services.trainer.errors import TrainerError
from shared.dataset import DatasetVersionError
from shared.messaging.port import MessagingError
from shared.recipe import RecipeError
from shared.storage.port import StorageError
from shared.vision.bundle import BundleError
from shared.vision.engine import EngineError

WRONG_INPUT: Final = 2


@contextmanager
def complaints() -> Iterator[None]:
    """What people can put right is told in a line, with exit code 2 and without a traceback."""
    try:
        yield
    except (
        TrainerError,
        RecipeError,
        DatasetVersionError,
        BundleError,
        EngineError,
        StorageError,
        MessagingError,
    ) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(WRONG_INPUT) from None
