"""The folder in which a line keeps everything: for one line at a time, and never cleared without being asked."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LAYOUT: Final = "2"
"""Of what the services keep; a folder of another layout can't be used."""
MARK: Final = "made-by-seamline"
"""A file that says that the folder is the line's own, with its layout."""
LOCK: Final = "in-use"
ANNOTATIONS: Final = Path("objects/labelling/annotations")
"""The work of people, which can't be computed again."""


class StateRefused(Exception):
    """The folder can't be used; the message says in one line what to do."""


@contextmanager
def state_for_one(
    folder: Path, *, fresh: bool, may_delete: Callable[[int], bool] = lambda _annotations: False
) -> Iterator[int]:
    """Hold a state folder, new or of an earlier line, for this line alone; with ``fresh``, as if it were new.

    Yields the descriptor of the lock. Processes that inherit it hold the folder, too: when the line is killed, its
    services may go on for a moment.

    Args:
        folder: the folder.
        fresh: whether to delete what it holds.
        may_delete: asked before annotations are deleted, with their number.

    Raises:
        StateRefused: the folder holds something else, is in use, was written by another version, or holds annotations
            that may not be deleted. Nothing in it was changed.
    """
    _refuse_a_stranger(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        _take(lock, folder)
        if fresh:
            annotations = sum(1 for path in (folder / ANNOTATIONS).rglob("*") if path.is_file())
            if annotations and not may_delete(annotations):
                raise StateRefused(
                    f"{folder} holds {annotations} annotations, so nothing was deleted: add YES=1 (--yes) to delete "
                    "them, or give --state another folder"
                )
            _clear(folder)
        mark = folder / MARK
        if not mark.exists():
            mark.write_text(LAYOUT, encoding="utf-8")
        _refuse_another_layout(mark)
        yield lock
    finally:
        os.close(lock)


def _refuse_a_stranger(folder: Path) -> None:
    try:
        found = {path.name for path in folder.iterdir()} - {LOCK}
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateRefused(f"{folder} can't be read: {error.strerror}: give --state a folder") from error
    if found and MARK not in found:
        raise StateRefused(f"{folder} holds something else: give --state an empty folder, or one that does not exist")


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise StateRefused(
            f"another line uses {folder}: stop it, and wait until its services have ended, or give --state another one"
        ) from None


def _clear(folder: Path) -> None:
    """Remove all but the lock, the mark last: a folder that was cleared in part is still the line's own."""
    paths = [path for path in folder.iterdir() if path.name not in (LOCK, MARK)]
    for path in [*paths, folder / MARK]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _refuse_another_layout(mark: Path) -> None:
    found = mark.read_text(encoding="utf-8", errors="replace").strip()
    if found != LAYOUT:
        raise StateRefused(
            f"{mark.parent} was written by another version of Seamline (layout {found[:20] or '1'}, this one has "
            f"{LAYOUT}): go on with that version, give --state another folder, or start anew with FRESH=1 (--fresh), "
            "which deletes the labels, trainings and people in it"
        )
