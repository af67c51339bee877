"""What is labelled, as tables and images to take away.

The table is the one that the first labelling tool wrote, ``<video>_data.csv``: the image's name, then True or False
for each label. ``groups.csv`` says which images must not be split (video, part or batch), ``labelled.csv`` by whom
each was labelled and when.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import IO, Final

from services.dashboard.labelling.annotations.annotation import Judged, Record
from services.dashboard.labelling.annotations.log import History, Ledger
from services.dashboard.labelling.exports.groups import groups_of
from services.dashboard.labelling.queues.work import judged_in
from services.dashboard.labelling.service import LabellingService
from services.dashboard.labelling.sources import Source
from services.dashboard.labelling.videos.reader import UnreadableVideo
from services.dashboard.labelling.videos.repository import plain_name
from shared.storage.port import ObjectNotFound

GROUPS: Final = "groups.csv"
AUTHORS: Final = "labelled.csv"
BESIDE: Final = (GROUPS, AUTHORS)
"""The tables beside that of the labels."""


@dataclass(frozen=True)
class Row:
    """One labelled image."""

    source: Source
    frame: str
    judged: Judged | None
    record: Record
    values: tuple[bool, ...]
    """In the order of the recipe's labels."""
    group: str | None
    """What must not be on two sides of a split: a video, a folder of an album, a part, a batch, or a run of frames.

    None: it is too near to two of them, so nothing learns from it.
    """

    @property
    def name(self) -> str:
        """Of its file: says where it is from."""
        video = self.source.video
        if self.judged is not None:
            return f"{self.frame}{PurePosixPath(self.judged.image_key).suffix}"
        number = f"{self.source.name}_{int(self.frame):06d}"
        if video is None or video.kind == "video":
            return f"{number}.jpg"
        path = PurePosixPath(video.names[int(self.frame)])
        return f"{number}_{plain_name(path.name)}{path.suffix.lower()}"


@dataclass(frozen=True)
class Sheet:
    """All that is labelled of one source."""

    source: Source
    rows: Sequence[Row]
    left_out: int
    """Frames of which two people contradict each other."""
    missing: int
    """Labelled frames that lack a label of the recipe."""

    @property
    def learnable(self) -> list[Row]:
        """The rows that are in a group."""
        return [row for row in self.rows if row.group is not None]


class Exports:
    """Writes tables and archives."""

    def __init__(self, labelling: LabellingService, ledger: Ledger) -> None:
        self._labelling = labelling
        self._ledger = ledger

    def sheet(self, source_id: str) -> Sheet:
        """What is labelled of a source.

        Raises:
            Problem: 404: there is no such source.
        """
        source = self._labelling.known_source(source_id)
        return _sheet(source, self._ledger.history(source.id))

    def table(self, sheet: Sheet) -> bytes:
        """The table as the first labelling tool wrote it."""
        names = sheet.source.recipe.label_names
        return written(("name", *names), ((row.name, *row.values) for row in sheet.rows))

    def archive(self, sheet: Sheet, into: IO[bytes]) -> None:
        """The table, with groups, authors and images, as a zip that a trainer reads when it is unpacked."""
        with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
            rows = []
            for row in sheet.learnable:
                if (content := self.image_of(row)) is not None:
                    archive.writestr(f"images/{row.name}", content)
                    rows.append(row)
            there = Sheet(sheet.source, rows, sheet.left_out, sheet.missing)
            archive.writestr(f"{sheet.source.name}_data.csv", self.table(there))
            for name, content in beside(rows).items():
                archive.writestr(name, content)

    def image_of(self, row: Row) -> bytes | None:
        """The file of a row; None when it is gone."""
        try:
            return self._labelling.file_of(row.source, row.frame, row.judged)
        except (UnreadableVideo, ObjectNotFound):
            return None


def beside(rows: Iterable[Row]) -> dict[str, bytes]:
    """The tables beside that of the labels."""
    listed = list(rows)
    authors = [(row.name, row.record.by, row.record.at.isoformat()) for row in listed]
    groups = [(row.name, row.group) for row in listed]
    return {GROUPS: written(("name", "group"), groups), AUTHORS: written(("name", "by", "at"), authors)}


def written(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A table: ``True`` and ``False``, no index."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def _sheet(source: Source, history: History) -> Sheet:
    judged = judged_in(history)
    names = source.recipe.label_names
    holding = {frame: state.holds for frame, state in history.states.items()}
    whole = {frame: record for frame, record in holding.items() if record and set(names) <= record.labels.keys()}
    groups = groups_of(judged[frame] for frame in whole if frame in judged)
    rows = [
        _row(source, frame, judged.get(frame), record, groups)
        for frame, record in sorted(whole.items(), key=lambda item: _order(item[0]))
        if source.video is not None or frame in judged
    ]
    left_out = sum(state.contradiction for state in history.states.values())
    return Sheet(source, rows, left_out, sum(record is not None for record in holding.values()) - len(rows))


def _row(source: Source, frame: str, judged: Judged | None, record: Record, groups: Mapping[str, str | None]) -> Row:
    values = tuple(record.labels[name] for name in source.recipe.label_names)
    row = Row(source, frame, judged, record, values, None)
    return replace(row, group=_group_in_video(row) if judged is None else groups[frame])


def _group_in_video(row: Row) -> str:
    video = row.source.video
    if video is None or video.kind == "video":
        return row.source.name
    folder = PurePosixPath(video.names[int(row.frame)]).parent
    return f"{row.source.name}/{folder}" if folder.name else row.name


def _order(frame: str) -> tuple[int, str]:
    return (int(frame), "") if frame.isdecimal() else (0, frame)
