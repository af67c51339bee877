"""Marks of frames whose verdict a person calls wrong, for labelling.

A mark is the object ``marks/<line>/<day>/<frame id>.json`` in object storage. It is not in Redis, because it can't be
computed again from the archive.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from heapq import nlargest
from typing import Final

from services.dashboard.frames.pending_removals import PendingRemovals
from services.dashboard.frames.repository import FrameRepository
from services.dashboard.frames.schemas import FrameView, Mark, MarkList
from shared.messages import FrameIdentity
from shared.storage.port import ObjectStore
from shared.storage.records import read_or_skip

FOLDER: Final = "marks"


class Marks:
    """The marks in object storage."""

    def __init__(self, store: ObjectStore, frames: FrameRepository) -> None:
        self._store = store
        self._frames = frames
        self._removals = PendingRemovals(store)

    def mark(self, frame_id: str, note: str, by: str) -> Mark:
        """Mark a frame, or replace its mark.

        Raises:
            Problem: 404: there is no such frame; 409: its files are being removed.
            StorageError: the mark was not stored.
        """
        verdict = self._frames.get(frame_id).verdict
        self._removals.refuse([frame_id])
        mark = Mark(
            **verdict.model_dump(include={"verdict", "recipe", "model_version", "image_key"}),
            frame=verdict.frame,
            note=note,
            marked_by=by,
            marked_at=datetime.now(UTC),
        )
        self._store.put(_key(verdict.frame), mark.model_dump_json().encode(), "application/json")
        return mark

    def unmark(self, frame_id: str) -> None:
        """Remove the mark of a frame.

        Raises:
            Problem: 404: there is no such frame.
        """
        self._store.delete(_key(self._frames.get(frame_id).verdict.frame))

    def find(self, frame: FrameView) -> Mark | None:
        """Return the mark of a frame; None if it has none."""
        return self._read(_key(frame))

    def marked_among(self, frames: Iterable[FrameView]) -> set[str]:
        """Return the ids of the frames that are marked. This lists one folder for each line and day of the frames."""
        folders = {_folder(frame) for frame in frames}
        return {key.rpartition("/")[2].removesuffix(".json") for folder in folders for key in self._store.keys(folder)}

    def newest(self, line: str | None, limit: int) -> MarkList:
        """Return the marks by capture time, newest first."""
        found = self._store.keys(f"{FOLDER}/{line}/" if line else f"{FOLDER}/")
        marks = (key for key in found if key.count("/") == 3)
        keys = nlargest(
            limit, marks, key=lambda key: key.split("/")[2:]
        )  # by day, then by the frame id, which begins with the time of its session
        return MarkList(marks=[mark for key in keys if (mark := self._read(key))])

    def _read(self, key: str) -> Mark | None:
        return read_or_skip(key, lambda: Mark.model_validate_json(self._store.get(key)))


def _folder(frame: FrameIdentity | FrameView) -> str:
    return f"{FOLDER}/{frame.line}/{frame.captured_at.astimezone(UTC):%Y-%m-%d}/"


def _key(frame: FrameIdentity | FrameView) -> str:
    return f"{_folder(frame)}{frame.frame_id}.json"
