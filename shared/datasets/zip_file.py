"""Unpack a zip of labelled images into a folder, with limits on the number and the size of files."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Final

from shared.archives import BAD_ARCHIVE, open_archive
from shared.datasets.tables import DatasetError
from shared.imaging.formats import is_hidden, is_readable

MOST_FILES: Final = 200_000
MOST_BYTES: Final = 16 * 2**30
"""Most bytes of all files together, after unpacking."""
MOST_COMPRESSION_RATIO: Final = 200
"""Most bytes after unpacking per byte of the zip; images and annotations of real datasets stay below 20."""
LONGEST_NAME: Final = 255
"""Most bytes of the name of a file or a folder on usual disks."""
UNCHECKED_BYTES: Final = 64 * 2**20
"""Content up to this size is unpacked whatever its compression ratio is."""


def unpack(file: Path, folder: Path, most_bytes: int = MOST_BYTES) -> Path:
    """Unpack a zip into a folder, and return the folder of the dataset.

    It is ``folder`` itself, or, where that holds one folder and nothing else, that folder, and so on; but no folder
    that is called ``images``, and below the first one no folder of images alone, which is a class.

    Raises:
        DatasetError: the zip is broken or has a password, has too many files, is too large or compressed too much,
            contains a link or a path outside of the folder, or has two entries of one path.
    """
    try:
        with open_archive(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir() and not is_hidden(entry.filename)]
            _check(file, entries, most_bytes)
            for entry in entries:
                path = folder / _path_of(file, entry)
                if path.exists():
                    raise DatasetError([f"{file.name}: has two files {entry.filename[:80]!r}: pack it again"])
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target)
    except BAD_ARCHIVE as error:
        raise DatasetError([f"{file.name}: can't be unpacked ({error}): pack it again, without a password"]) from error
    # a single folder `images` is the content of the dataset, any other single folder is a wrapper around it
    top = folder
    while len(content := list(folder.iterdir())) == 1 and content[0].is_dir() and content[0].name.lower() != "images":
        is_class = all(is_readable(path.name) for path in content[0].iterdir())
        if is_class and folder != top:
            break
        folder = content[0]
    return folder


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
    if any(len(part.encode(errors="replace")) > LONGEST_NAME for part in path.parts):
        raise DatasetError([f"{file.name}: {path.name[:40]!r}… is longer than {LONGEST_NAME} bytes: rename the file"])
    is_outside = path.is_absolute() or not path.parts or ".." in path.parts or ":" in path.parts[0]
    if is_outside or is_link or "\0" in entry.filename:
        raise DatasetError(
            [
                f"{file.name}: {entry.filename[:80]!r} is a link, or a path outside of the folder: pack the zip "
                "without it"
            ]
        )
    return path
