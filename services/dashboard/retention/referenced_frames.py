"""The frames that labels, marks and open batches refer to: their files are never removed.

A dataset version has its images under their digests, and no rule removes these. Its frames are labelled as well.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from services.dashboard.frames.marks import FOLDER as MARKS
from services.dashboard.labelling.annotations.repository import AnnotationRepository
from services.dashboard.lines.repository import LineRepository
from services.dashboard.store.counting import Counting
from shared.contracts.frame_files import FrameFile
from shared.storage.port import ObjectStore

OPEN_FOR: Final = timedelta(days=1)
"""A batch without new frames for this time is closed, unless it is the newest of its line."""


@dataclass(frozen=True)
class OpenBatch:
    """A batch that may get more frames."""

    line: str
    name: str
    first: date
    """Day of the capture of its first frame, by UTC."""
    last: date


@dataclass(frozen=True)
class ReferencedFrames:
    """The frames that must stay."""

    frames: Collection[str] = frozenset()
    """Ids of the labelled and marked frames."""
    open_batches: Collection[OpenBatch] = ()

    def labelled(self, file: FrameFile) -> bool:
        """Return whether a label or a mark refers to the frame of a file."""
        return file.frame_id in self.frames

    def hold(self, file: FrameFile) -> bool:
        """Return whether a file must stay. An open batch holds all frames of its line on its days."""
        return self.labelled(file) or any(
            batch.line == file.line and batch.first <= file.day <= batch.last for batch in self.open_batches
        )


class ReferencedFramesReader:
    """Reads the ids of the labelled and marked frames, and the open batches."""

    def __init__(self, store: ObjectStore, lines: LineRepository, counting: Counting) -> None:
        self._store = store
        self._lines = lines
        self._counting = counting
        self._annotations = AnnotationRepository(store)

    def read(self) -> ReferencedFrames:
        """Return the frames that must stay now.

        Raises:
            StorageError, redis.exceptions.RedisError: nothing may be removed.
        """
        frames = {key.rpartition("/")[2].removesuffix(".json") for key in self._store.keys(f"{MARKS}/")}
        for source in self._annotations.sources():
            frames |= self._annotations.log(source).inspected().keys()
        return ReferencedFrames(frozenset(frames), self.open_batches())

    def open_batches(self) -> list[OpenBatch]:
        """Return the newest batch of each line, and every other one that had a frame within the last day."""
        found = []
        for line in self._lines.all():
            for place, name in enumerate(self._counting.slices(line, "batch")):
                seen = self._counting.seen(line, f"batch={name}")
                if seen is None:
                    continue
                first, last = (datetime.fromtimestamp(moment, UTC) for moment in seen)
                if place > 0 and datetime.now(UTC) - last > OPEN_FOR:
                    break
                found.append(OpenBatch(line, name, first.date(), last.date()))
        return found

    def close(self) -> None:
        """Stop the background thread."""
        self._annotations.close()
