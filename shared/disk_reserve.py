"""Disk space that is held for the moment when the disk is full: deleting from a database needs some, too."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

SIZE: Final = 8 * 1024**2
"""Twice what SQLite's write-ahead log holds before it is copied into the database."""
SMALLEST_DISK: Final = 8 * SIZE
"""On a smaller disk, the reserve is an eighth of it."""


class Reserve:
    """A file that has no content, only size. Several processes may share one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def held(self) -> bool:
        """Whether the space is there."""
        return self._path.exists()

    def hold(self) -> bool:
        """Take the space, unless it would be half of what the disk has left. Whether it is held."""
        if self.held:
            return True
        with suppress(OSError):
            disk = shutil.disk_usage(self._path.parent)
            size = min(SIZE, disk.total * SIZE // SMALLEST_DISK)
            return disk.free >= 2 * size and self._allocate(size)
        return False

    def release(self) -> bool:
        """Give the space back to the disk. Whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def _allocate(self, size: int) -> bool:
        try:
            file = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                os.posix_fallocate(file, 0, size)
            finally:
                os.close(file)
        except OSError:
            with suppress(OSError):
                self._path.unlink()
            return False
        return True
