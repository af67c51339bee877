"""Open zip archives, whatever tool packed them."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Final

BAD_ARCHIVE: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError, FileExistsError,
    IsADirectoryError, NotADirectoryError,
)  # fmt: skip
"""What `zipfile` raises for a broken or unusual archive, or one whose entries can't be files beside each other."""


def open_archive(file: Path) -> zipfile.ZipFile:
    """Open a zip. Names without the mark of UTF-8 are read as UTF-8 all the same (macOS writes it so), else as cp437.

    Raises:
        one of `BAD_ARCHIVE`.
    """
    try:
        return zipfile.ZipFile(file, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        return zipfile.ZipFile(file)
