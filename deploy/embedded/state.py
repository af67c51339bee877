"""The state folder of the demo: one line uses it at a time, and it is deleted only on request."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LAYOUT: Final = "2"
"""Version of the folder's layout; a folder with another layout can't be used."""
MARK_FILE: Final = "made-by-seamline"
"""A file that marks the folder as a state folder, and holds the version of its layout."""
LOCK_FILE: Final = "in-use"
ANNOTATIONS: Final = Path("objects/labelling/annotations")
"""Folder of the annotations, which can't be computed again."""


class StateRefused(Exception):
    """The folder can't be used; the message says in one line what to do."""


@contextmanager
def state_for_one(
    folder: Path, *, fresh: bool, may_delete: Callable[[int], bool] = lambda _annotations: False
) -> Iterator[int]:
    """Lock a state folder for one line; with ``fresh``, delete its content first.

    Yields the descriptor of the lock. Processes that inherit the descriptor hold the lock too, because the services may
    continue for a moment after the line was killed.

    Args:
        folder: the folder.
        fresh: whether to delete the content of the folder.
        may_delete: returns whether annotations may be deleted; it gets their number.

    Raises:
        StateRefused: the folder holds something else, is in use, was written by another version, or holds annotations
            that may not be deleted. The folder is unchanged.
    """
    _check_owner(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        _lock(lock, folder)
        if fresh:
            annotations = sum(1 for path in (folder / ANNOTATIONS).rglob("*") if path.is_file())
            if annotations and not may_delete(annotations):
                raise StateRefused(
                    f"{folder} holds {annotations} annotations, so nothing was deleted: add YES=1 (--yes) to delete "
                    "them, or give --state another folder"
                )
            _delete_content(folder)
        mark = folder / MARK_FILE
        if not mark.exists():
            mark.write_text(LAYOUT, encoding="utf-8")
        _check_layout(mark)
        yield lock
    finally:
        os.close(lock)


def _check_owner(folder: Path) -> None:
    """Check that a folder is empty, missing or a state folder."""
    try:
        names = {path.name for path in folder.iterdir()} - {LOCK_FILE}
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateRefused(f"{folder} can't be read: {error.strerror}: give --state a folder") from error
    if names and MARK_FILE not in names:
        raise StateRefused(f"{folder} holds something else: give --state an empty folder, or one that does not exist")


def _lock(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise StateRefused(
            f"another line uses {folder}: stop it, and wait until its services have ended, or give --state another one"
        ) from None


def _delete_content(folder: Path) -> None:
    """Delete everything but the lock. The mark is deleted last: a folder deleted in part is still a state folder."""
    paths = [path for path in folder.iterdir() if path.name not in (LOCK_FILE, MARK_FILE)]
    for path in [*paths, folder / MARK_FILE]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _check_layout(mark: Path) -> None:
    layout = mark.read_text(encoding="utf-8", errors="replace").strip()
    if layout != LAYOUT:
        raise StateRefused(
            f"{mark.parent} was written by another version of Seamline (layout {layout[:20] or '1'}, this one has "
            f"{LAYOUT}): go on with that version, give --state another folder, or start anew with FRESH=1 (--fresh), "
            "which deletes the labels, trainings and people in it"
        )
