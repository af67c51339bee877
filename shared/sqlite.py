"""SQLite databases that several processes write: transactions, and disk space that is reserved for deletions."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

RESERVE_BYTES: Final = 8 * 1024**2
"""Bytes of a reserve: twice what SQLite's write-ahead log holds before it is copied into the database."""
SMALLEST_DISK: Final = 8 * RESERVE_BYTES
"""Bytes. On a smaller disk, the reserve is an eighth of the disk."""


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run a block as one write transaction: everything in the block is written, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def free_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of the database file that hold no data."""
    pages, page_size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size"))
    return int(pages * page_size)


class Reserve:
    """Disk space that is reserved for deletions on a full disk: deleting from a database needs some space as well.

    The reserve is a file without content. Several processes may share one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def held(self) -> bool:
        """Return whether the space is reserved."""
        return self._path.exists()

    def hold(self) -> bool:
        """Reserve the space, unless it is more than half of the free space. Return whether it is reserved."""
        if self.held:
            return True
        with suppress(OSError):
            disk = shutil.disk_usage(self._path.parent)
            size = min(RESERVE_BYTES, disk.total * RESERVE_BYTES // SMALLEST_DISK)
            if disk.free < 2 * size:
                return False
            file = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                os.posix_fallocate(file, 0, size)
            except OSError:
                self._path.unlink()
                return False
            finally:
                os.close(file)
            return True
        return False

    def release(self) -> bool:
        """Give the space back to the disk. Return whether it was reserved."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
