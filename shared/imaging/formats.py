"""Which files are images, and which of them can be read, by the endings of their names."""

from __future__ import annotations

import os
from pathlib import PurePath, PurePosixPath
from typing import Final

READABLE: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp"}
)
"""Endings of images that are read, in lower case."""
OTHER: Final = frozenset(
    {".heic", ".heif", ".avif", ".gif", ".jp2", ".j2k", ".jxl", ".psd", ".svg", ".tga", ".exr", ".hdr", ".raw", ".dng",
     ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".ico", ".pcx", ".ppm", ".pgm", ".pbm"}
)  # fmt: skip
"""Endings of images that are not read, in lower case."""
VIDEO: Final = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv",
     ".3gp"}
)  # fmt: skip
"""Endings of videos, in lower case."""
ADDED_FILES: Final = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
"""Files that file managers add, in lower case."""


def readable_name(name: str) -> str:
    """Return the name of a file of this machine as text; one that is not in UTF-8 is read as Windows-1252."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("cp1252", "replace")
    return name


def is_readable(name: str) -> bool:
    """Return whether a file is an image that can be read, by the ending of its name."""
    return PurePath(name).suffix.lower() in READABLE


def is_other_image(name: str) -> bool:
    """Return whether a file is an image that can't be read, by the ending of its name."""
    return PurePath(name).suffix.lower() in OTHER


def is_video(name: str) -> bool:
    """Return whether a file is a video, by the ending of its name."""
    return PurePath(name).suffix.lower() in VIDEO


def is_hidden(name: str) -> bool:
    """Return whether a file is one that an archiver or a file manager added."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.name.startswith(".") or "__MACOSX" in path.parts or path.name.lower() in ADDED_FILES
