"""Marks: frames whose verdict a person holds to be wrong, kept for labelling.

One object each, ``marks/<line>/<day>/<frame id>.json``, beside the frames in object storage: a mark is a person's work,
and can't be counted again from anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from heapq import nlargest
from typing import Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from services.dashboard.frames.repository import FrameIndex
from services.dashboard.frames.schemas import FrameView
from services.dashboard.web.problems import Problem
from shared.messages import FrameIdentity, Verdict
from shared.storage.port import ObjectStore
from shared.storage.records import readable

FOLDER: Final = "marks"


class MarkOrder(BaseModel):
    """Why a verdict is wrong."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"note": "a shadow, no break"}})

    note: str = Field("", max_length=500)


class Mark(BaseModel):
    """A frame whose verdict a person holds to be wrong."""

    frame: FrameIdentity
    verdict: Verdict = Field(description="what the line said, wrongly")
    recipe: str
    model_version: str
    image_key: str | None = Field(description="in object storage; null when the image was not kept")
    note: str
    marked_by: str
    marked_at: AwareDatetime

    @model_validator(mode="after")
    def _key_is_of_the_frame(self) -> Self:
        if self.image_key is not None and not self.frame.owns(self.image_key):
            raise ValueError(f"{self.image_key[:80]!r} is not below {self.frame.storage_key}/")
        return self


class MarkList(BaseModel):
    """The marked frames, those captured last first."""

    marks: list[Mark]


class Marks:
    """The marks in object storage."""

    def __init__(self, store: ObjectStore, index: FrameIndex) -> None:
        self._store = store
        self._index = index

    def mark(self, frame_id: str, note: str, by: str) -> Mark:
        """Mark a frame; marking it again replaces the mark.

        Raises:
            Problem: 404: no such frame is known.
            StorageError: it was not marked.
        """
        frame = self._index.find(frame_id)
        if frame is None:
            raise Problem(404, "no such frame is known: it never was, or it is older than what is kept")
        verdict = frame.verdict
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
        """Take a mark back.

        Raises:
            Problem: 404: no such frame is known.
        """
        frame = self._index.find(frame_id)
        if frame is None:
            raise Problem(404, "no such frame is known: it never was, or it is older than what is kept")
        self._store.delete(_key(frame.verdict.frame))

    def find(self, frame: FrameView) -> Mark | None:
        """The mark of a frame."""
        return self._read(_key(frame))

    def among(self, frames: Iterable[FrameView]) -> set[str]:
        """The ids of the frames that are marked: one listing for each line and day of them."""
        folders = {_folder(frame) for frame in frames}
        return {key.rpartition("/")[2].removesuffix(".json") for folder in folders for key in self._store.keys(folder)}

    def newest(self, line: str | None, limit: int) -> MarkList:
        """The marked frames, those captured last first."""
        found = self._store.keys(f"{FOLDER}/{line}/" if line else f"{FOLDER}/")
        keys = nlargest(limit, (key for key in found if key.count("/") == 3), key=_by_day)
        return MarkList(marks=[mark for key in keys if (mark := self._read(key))])

    def _read(self, key: str) -> Mark | None:
        return readable(key, lambda: Mark.model_validate_json(self._store.get(key)))


def _folder(frame: FrameIdentity | FrameView) -> str:
    return f"{FOLDER}/{frame.line}/{frame.captured_at.astimezone(UTC):%Y-%m-%d}/"


def _key(frame: FrameIdentity | FrameView) -> str:
    return f"{_folder(frame)}{frame.frame_id}.json"


def _by_day(key: str) -> tuple[str, str]:
    """A frame's id begins with the time at which its session began."""
    _, _, day, name = key.split("/")
    return day, name
