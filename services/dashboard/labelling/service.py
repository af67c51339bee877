"""Labelling: what people look at, what they say, and how far they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from services.dashboard.labelling.annotations.agreement import by_label
from services.dashboard.labelling.annotations.annotation import Judged, Reading, Record
from services.dashboard.labelling.annotations.desk import Desk
from services.dashboard.labelling.annotations.log import Ledger
from services.dashboard.labelling.line_frames import LineFrames
from services.dashboard.labelling.queues.work import Task, Work, judged_in, reading_of
from services.dashboard.labelling.schemas import (
    AgreementView,
    FrameToLabel,
    LabelOrder,
    Queue,
    QueuePage,
    RecordPage,
    RecordView,
    SourceList,
    SourceView,
    UndoOrder,
)
from services.dashboard.labelling.shown import contradictions_of, frame_of, kappa_view, source_view
from services.dashboard.labelling.sources import Source, Sources, checked_recipe
from services.dashboard.labelling.videos.reader import UnreadableVideo
from services.dashboard.labelling.videos.repository import KnownVideo, Videos, digest_of
from services.dashboard.labelling.videos.sandbox import look_through_apart
from services.dashboard.labelling.videos.thumbnails import Thumbnails
from services.dashboard.web.paging import Paging, Place, newest
from services.dashboard.web.problems import Problem
from shared.imaging.codec import FILE_LIMIT
from shared.storage.port import ObjectNotFound, ObjectStore, ObjectTooLarge


@dataclass(frozen=True)
class Wanted:
    """Which records; None: any."""

    source: str | None = None
    by: str | None = None
    label: str | None = None
    reading: Reading | None = None
    first: datetime | None = None
    last: datetime | None = None

    def fits(self, record: Record) -> bool:
        """Whether a record is one of them."""
        return (
            (self.by is None or record.by == self.by)
            and (self.label is None or record.labels.get(self.label, False))
            and (self.reading is None or record.reading is self.reading)
            and (self.first is None or record.at >= self.first)
            and (self.last is None or record.at < self.last)
        )


class LabellingService:
    """What people may do with frames and labels."""

    def __init__(self, store: ObjectStore, videos: Videos, ledger: Ledger, line_frames: LineFrames) -> None:
        self._store = store
        self._videos = videos
        self._ledger = ledger
        self._desk = Desk(ledger, line_frames)
        self._work = Work(line_frames)
        self._line_frames = line_frames
        self._sources = Sources(store, videos)
        self._thumbnails = Thumbnails()

    def sources(self, paging: Paging) -> SourceList:
        """The sources of frames: the lines by recipe, then the videos, the newest first."""
        shown, more = paging.part(self._sources.all(), _place)
        return SourceList(sources=[self._view(source) for source in shown], next=more)

    def names(self) -> dict[str, str]:
        """What the sources are called, in the same order, by id."""
        return {source.id: source.name for source in self._sources.all()}

    def source(self, source: str) -> SourceView:
        """One of them.

        Raises:
            Problem: 404.
        """
        return self._view(self._sources.get(source))

    def lines(self) -> list[str]:
        """The lines by which the queues of a recipe may be narrowed."""
        return self._line_frames.lines()

    def recipes(self) -> list[str]:
        """Those that a video may be labelled by without giving one."""
        return self._sources.recipes()

    def recipe_for(self, name: str | None, text: str | None) -> str:
        """The recipe for a video, from its name or from what a person gave.

        Raises:
            Problem: 422: none was given, or it can't be used.
        """
        if text:
            checked_recipe(text)
            return text
        if not name:
            raise Problem(422, "recipe: say by which recipe the video is to be labelled, or give one as YAML")
        if name not in self._sources.recipes():
            raise Problem(422, f"recipe: there are no models of a recipe {name!r}: give the recipe itself, as YAML")
        return self._sources.recipe_yaml(name)

    def take_video(self, path: Path, *, name: str, recipe_yaml: str, by: str) -> SourceView:
        """Take in an uploaded file: it is answered when all of it is stored.

        Raises:
            Problem: 409: it is here already; 422: it can't be read.
            StorageError: it was not kept.
        """
        try:
            self._videos.check_new(digest_of(path), recipe_yaml)
            content = look_through_apart(path)
            video = self._videos.keep(path, content, name=name, recipe_yaml=recipe_yaml, by=by)
        except KnownVideo as error:
            raise Problem(409, str(error)) from error
        except UnreadableVideo as error:
            raise Problem(422, f"{name}: {error}") from error
        return self.source(video.source)

    def queue(
        self, source_id: str, queue: Queue, *, by: str, line: str | None = None, start: int = 0, limit: int = 100
    ) -> QueuePage:
        """A part of a queue.

        Raises:
            Problem: 404: no such source; 422: it has no such queue.
        """
        source = self._sources.get(source_id)
        history = self._ledger.history(source.id)
        tasks = self._work.queue(source, history, queue, by=by, line=line)
        reading = reading_of(queue)
        judged = {} if source.video else judged_in(history)
        shown = tasks[start : start + limit]
        frames = [frame_of(source, task, history.state(task.frame), judged.get(task.frame), reading) for task in shown]
        return QueuePage(source=source.id, queue=queue, reading=reading, total=len(tasks), start=start, frames=frames)

    def place_in_video(self, source_id: str, frame: str | None) -> int:
        """The number of a frame of a video; of none, the first one that nobody labelled.

        Raises:
            Problem: 404: there is no such source.
        """
        source = self._sources.get(source_id)
        if frame is not None:
            return source.number(frame) or 0
        history = self._ledger.history(source.id)
        numbers = range(source.video.frames if source.video else 0)
        return next((number for number in numbers if history.state(str(number)).first is None), 0)

    def frame(self, source_id: str, frame: str, reading: Reading) -> FrameToLabel:
        """One frame, for a reading.

        Raises:
            Problem: 404.
        """
        source = self._sources.get(source_id)
        history = self._ledger.history(source.id)
        judged = self._desk.known(source, history, [frame]).get(frame)
        return frame_of(source, Task(frame), history.state(frame), judged, reading)

    def image(self, source_id: str, frame: str, width: int | None = None) -> bytes:
        """The image of a frame as JPEG or PNG, as it is or made no wider than ``width``.

        Raises:
            Problem: 404: it is not there.
            StorageError: it can't be had now.
        """
        source = self._sources.get(source_id)
        judged = self._desk.known(source, self._ledger.history(source.id), [frame]).get(frame)
        try:
            if width is None:
                return self.file_of(source, frame, judged)
            return self._thumbnails.get((source.id, frame, width), width, lambda: self.file_of(source, frame, judged))
        except (UnreadableVideo, ObjectNotFound) as error:
            raise Problem(404, f"the image of frame {frame} can't be had: {error}") from error

    def file_of(self, source: Source, frame: str, judged: Judged | None) -> bytes:
        """The image file of a known frame.

        Raises:
            UnreadableVideo, ObjectNotFound: it is not there.
        """
        if source.video is not None:
            return self._videos.image(source.video, int(frame))
        if judged is None or not judged.frame.owns(judged.image_key):
            raise ObjectNotFound(f"frame {frame} has no image")
        try:
            return self._store.get(judged.image_key, FILE_LIMIT)
        except ObjectTooLarge as error:
            raise UnreadableVideo(str(error)) from error

    def label(self, source_id: str, order: LabelOrder, by: str) -> RecordView:
        """Keep what a person says; raises as `Desk.label`."""
        source = self._sources.get(source_id)
        return RecordView.of(self._desk.label(source, order, by), source.name, undone=False)

    def undo(self, source_id: str, order: UndoOrder, by: str) -> RecordView:
        """Take it back; raises as `Desk.undo`."""
        source = self._sources.get(source_id)
        return RecordView.of(self._desk.undo(source, order, by), source.name, undone=False)

    def records(self, wanted: Wanted, before: str | None, limit: int) -> RecordPage:
        """Who labelled what when, newest first."""
        page = list(islice(self._records(wanted, before), limit + 1))
        more = page[limit - 1].record if len(page) > limit else None
        return RecordPage(records=page[:limit], next=more)

    def people(self) -> list[str]:
        """Who ever labelled anything."""
        return sorted(
            {record.by for source in self._ledger.sources() for record in self._ledger.history(source).records}
        )

    def agreement(self, source_id: str, *, start: int = 0, limit: int = 100) -> AgreementView:
        """Two readings of the same frames, label by label, and a part of the contradictions.

        Raises:
            Problem: 404.
        """
        source = self._sources.get(source_id)
        history = self._ledger.history(source.id)
        judged = judged_in(history)
        found = contradictions_of(source, history, judged)
        twice = [state for state in history.states.values() if state.read_twice]
        return AgreementView(
            source=source.id,
            read_twice=len(twice),
            labels={name: kappa_view(kappa) for name, kappa in by_label(twice, source.recipe.label_names).items()},
            open=len(found),
            contradictions=found[start : start + limit],
            settled=sum(state.settled is not None and not state.contradiction for state in history.states.values()),
        )

    def known_source(self, source: str) -> Source:
        """A source for those who export; raises as `source`."""
        return self._sources.get(source)

    def _view(self, source: Source) -> SourceView:
        return source_view(source, self._ledger.history(source.id))

    def _records(self, wanted: Wanted, before: str | None) -> Iterator[RecordView]:
        names = [wanted.source] if wanted.source else self._ledger.sources()
        histories = {name: self._ledger.history(name) for name in names}
        undone = {record.undoes for history in histories.values() for record in history.records}
        found = (record for history in histories.values() for record in history.records)
        known = {name: self._name(name) for name in names}
        for record in sorted(found, key=lambda each: each.id, reverse=True):
            if wanted.fits(record) and (before is None or record.id < before):
                yield RecordView.of(record, known[record.source], undone=record.id in undone)

    def _name(self, source: str) -> str:
        """A source whose recipe is gone keeps its records."""
        with suppress(Problem):
            return self._sources.get(source).name
        return source


def _place(source: Source) -> Place:
    """The lines by recipe, then the videos, the newest first."""
    return newest(source.video.uploaded_at, source.id) if source.video else (-sys.maxsize, source.id)
