"""Unpack a zip of labelled images: limited in number and size, and never outside its folder."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final

from shared.datasets.tables import DatasetError
from shared.imaging.formats import is_hidden

MOST_FILES: Final = 200_000
MOST_BYTES: Final = 16 * 2**30
"""Of all files, unpacked."""
MOST_RATIO: Final = 200
"""How much larger than the zip its content may be; images and annotations of real datasets stay below 20."""
FREE_BYTES: Final = 64 * 2**20
"""Content that is unpacked at any ratio."""
BAD_ARCHIVE: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError,
)  # fmt: skip
"""What `zipfile` raises for a broken or unusual archive."""


def unpacked(file: Path, folder: Path, most_bytes: int = MOST_BYTES) -> Path:
    """Unpack a zip into a folder. Return the folder, or the only folder in it.

    Raises:
        DatasetError: the zip is broken, too large, or holds a path that leads out of it.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [each for each in archive.infolist() if not each.is_dir() and not is_hidden(each.filename)]
            _check(file, entries, most_bytes)
            for entry in entries:
                path = folder / _path_of(file, entry)
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target)
    except BAD_ARCHIVE as error:
        raise DatasetError([f"{file.name}: can't be unpacked ({error}): pack it again, without a password"]) from error
    below = list(folder.iterdir())
    return below[0] if len(below) == 1 and below[0].is_dir() and below[0].name.lower() != "images" else folder


def _check(file: Path, entries: list[zipfile.ZipInfo], most_bytes: int) -> None:
    size = sum(entry.file_size for entry in entries)
    allowed = max(MOST_RATIO * file.stat().st_size, FREE_BYTES)
    if len(entries) > MOST_FILES:
        raise DatasetError([f"{file.name}: has more than {MOST_FILES:,} files: make several of it"])
    if size > most_bytes:
        raise DatasetError([f"{file.name}: has more than {most_bytes / 1e9:.0f} GB unpacked: make several of it"])
    if size > allowed:
        raise DatasetError([f"{file.name}: grows more than {MOST_RATIO} times when it is unpacked, as no images do"])


def _path_of(file: Path, entry: zipfile.ZipInfo) -> PurePosixPath:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    is_link = (entry.external_attr >> 16) & 0o170000 == 0o120000
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or is_link or "\0" in entry.filename:
        raise DatasetError([f"{file.name}: {entry.filename[:80]!r} leads out of the zip: pack it again"])
    return path
