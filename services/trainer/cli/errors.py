"""Print errors of the commands in a line."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from services.trainer.errors import TrainerError
from shared.contracts.bundle import BundleError
from shared.contracts.dataset import DatasetVersionError
from shared.datasets.tables import DatasetError
from shared.engines.port import EngineError
from shared.messaging.port import MessagingError
from shared.recipe import RecipeError
from shared.storage.port import StorageError

WRONG_INPUT: Final = 2


class UnwritableFolder(TrainerError):
    """The folder can't be written into."""


def check_writable(folder: Path) -> None:
    """Check before long work that its result can be written into a folder, which need not exist yet.

    Raises:
        UnwritableFolder: a file can't be written there.
    """
    try:
        existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        with tempfile.TemporaryFile(dir=existing):  # leaves no file
            pass
    except OSError as error:
        raise UnwritableFolder(f"{folder} can't be written into ({error.strerror}): choose another folder") from error


@contextmanager
def report_errors() -> Iterator[None]:
    """Print an error that the user can correct in one line, without a traceback, and exit with code 2."""
    try:
        yield
    except (
        TrainerError,
        DatasetError,
        RecipeError,
        DatasetVersionError,
        BundleError,
        EngineError,
        StorageError,
        MessagingError,
    ) as error:
        _refuse(str(error))
    except BrokenPipeError:  # the reader of the output has closed it: no error
        raise
    except OSError as error:
        place = f"{error.filename} can't be read or written: " if error.filename else ""
        _refuse(f"{place}{error.strerror or error}; correct this, and try again")


def _refuse(text: str) -> NoReturn:
    sys.stderr.write(f"{text}\n")
    raise SystemExit(WRONG_INPUT) from None
