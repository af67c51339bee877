"""Unpack a zip of labelled images into a folder, with limits on the number and the size of files."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final

from shared.datasets.tables import DatasetError
from shared.imaging.formats import is_hidden

MOST_FILES: Final = 200_000
MOST_BYTES: Final = 16 * 2**30
"""Most bytes of all files together, after unpacking."""
MOST_COMPRESSION_RATIO: Final = 200
"""Most bytes after unpacking per byte of the zip; images and annotations of real datasets stay below 20."""
UNCHECKED_BYTES: Final = 64 * 2**20
"""Content up to this size is unpacked whatever its compression ratio is."""
BAD_ARCHIVE: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError,
)  # fmt: skip
"""What `zipfile` raises for a broken or unusual archive."""


def unpack(file: Path, folder: Path, most_bytes: int = MOST_BYTES) -> Path:
    """Unpack a zip into a folder, and return the folder of the dataset.

    It is the only folder in ``folder``, unless that is called ``images``; otherwise ``folder`` itself.

    Raises:
        DatasetError: the zip is broken or has a password, has too many files, is too large or compressed too much, or
            contains a link or a path outside of the folder.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir() and not is_hidden(entry.filename)]
            _check(file, entries, most_bytes)
            for entry in entries:
                path = folder / _path_of(file, entry)
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target)
    except BAD_ARCHIVE as error:
        raise DatasetError([f"{file.name}: can't be unpacked ({error}): pack it again, without a password"]) from error
    content = list(folder.iterdir())
    # a single folder `images` is the content of the dataset, any other single folder is a wrapper around it
    is_wrapped = len(content) == 1 and content[0].is_dir() and content[0].name.lower() != "images"
    return content[0] if is_wrapped else folder


def _check(file: Path, entries: list[zipfile.ZipInfo], most_bytes: int) -> None:
    size = sum(entry.file_size for entry in entries)
    allowed = max(MOST_COMPRESSION_RATIO * file.stat().st_size, UNCHECKED_BYTES)
    if len(entries) > MOST_FILES:
        raise DatasetError([f"{file.name}: has more than {MOST_FILES:,} files: split it into several zips"])
    if size > most_bytes:
        raise DatasetError(
            [f"{file.name}: has more than {most_bytes / 1e9:.0f} GB unpacked: split it into several zips"]
        )
    if size > allowed:
        raise DatasetError(
            [f"{file.name}: is compressed more than {MOST_COMPRESSION_RATIO}:1, which is not plausible for images"]
        )


def _path_of(file: Path, entry: zipfile.ZipInfo) -> PurePosixPath:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or is_link or "\0" in entry.filename:
        raise DatasetError(
            [
                f"{file.name}: {entry.filename[:80]!r} is a link, or a path outside of the folder: pack the zip "
                "without it"
            ]
        )
    return path
