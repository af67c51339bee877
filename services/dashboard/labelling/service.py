"""Labelling: sources, queues, frames and annotations."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from services.dashboard.labelling.annotating import AnnotationService
from services.dashboard.labelling.annotations.annotation import Annotation, AnnotationKind
from services.dashboard.labelling.annotations.repository import AnnotationRepository
from services.dashboard.labelling.frame_queues import kind_of, queued_frames
from services.dashboard.labelling.images import FrameImages
from services.dashboard.labelling.line_frames import LineFrames
from services.dashboard.labelling.schemas import (
    AgreementView,
    AnnotationPage,
    AnnotationView,
    FrameQueue,
    FrameToLabel,
    LabelRequest,
    QueuePage,
    SourceList,
    SourceView,
    UndoRequest,
)
from services.dashboard.labelling.sources import FrameSources
from services.dashboard.labelling.videos.repository import VideoExists, VideoRepository, digest_of
from services.dashboard.labelling.videos.sandbox import scan_in_sandbox
from services.dashboard.labelling.views import agreement_view, frame_view, source_view
from services.dashboard.recipes.service import RecipesService
from services.dashboard.web.paging import Paging
from services.dashboard.web.problems import Problem
from shared.imaging.video import UnreadableMedia
from shared.language import gettext, translated
from shared.recipe import RecipeError, parse_recipe
from shared.storage.port import ObjectNotFound


@dataclass(frozen=True)
class AnnotationFilter:
    """Which annotations are requested; None allows any value."""

    source: str | None = None
    by: str | None = None
    label: str | None = None
    kind: AnnotationKind | None = None
    first: datetime | None = None
    last: datetime | None = None

    def matches(self, annotation: Annotation) -> bool:
        return (
            (self.by is None or annotation.by == self.by)
            and (self.label is None or annotation.labels.get(self.label, False))
            and (self.kind is None or annotation.kind is self.kind)
            and (self.first is None or annotation.at >= self.first)
            and (self.last is None or annotation.at < self.last)
        )


class LabellingService:
    """What people may see and do with frames and labels."""

    def __init__(
        self,
        sources: FrameSources,
        videos: VideoRepository,
        annotations: AnnotationRepository,
        images: FrameImages,
        line_frames: LineFrames,
        *,
        recipes: RecipesService,
    ) -> None:
        self._sources = sources
        self._recipes = recipes
        self._videos = videos
        self._annotations = annotations
        self._images = images
        self._line_frames = line_frames
        self._annotating = AnnotationService(annotations, line_frames)

    def sources(self, paging: Paging) -> SourceList:
        """Return the sources: the lines by recipe, then the videos, newest first."""
        shown, more = paging.page(self._sources.all(), lambda source: source.place)
        return SourceList(
            sources=[source_view(source, self._annotations.log(source.id)) for source in shown], next=more
        )

    def names(self) -> dict[str, str]:
        """Return the names of the sources by their id, in the same order."""
        return {source.id: source.name for source in self._sources.all()}

    def source(self, source_id: str) -> SourceView:
        """Return one source.

        Raises:
            Problem: 404: there is no such source.
        """
        source = self._sources.get(source_id)
        return source_view(source, self._annotations.log(source.id))

    def lines(self) -> list[str]:
        """Return the lines by which the queues of a recipe may be filtered."""
        return self._line_frames.lines()

    def recipes(self) -> list[str]:
        """Return the names of the recipes by which a video may be labelled."""
        return self._recipes.names()

    def recipe_yaml(self, name: str, uploaded_yaml: str) -> str:
        """Return the recipe file for a video: the uploaded one, or else the saved one, or that of the models.

        Raises:
            Problem: 422: neither is given, or the recipe can't be used.
        """
        if uploaded_yaml:
            try:
                parse_recipe(uploaded_yaml, "recipe", translated)
            except RecipeError as error:
                raise Problem(422, translated(error)) from error
            return uploaded_yaml
        if not name:
            raise Problem(422, gettext("recipe: choose the recipe by which the video is labelled, or give one as YAML"))
        if name not in self._recipes.names():
            raise Problem(
                422,
                gettext(
                    "recipe: there is no recipe %(name)r: save it first, or give the recipe itself, as YAML", name=name
                ),
            )
        return self._recipes.get(name).recipe_yaml

    def add_video(self, path: Path, *, name: str, recipe_yaml: str, by: str) -> SourceView:
        """Scan and store an uploaded file.

        Raises:
            Problem: 409: the file was uploaded before; 422: the file can't be read.
            StorageError: the file was not stored.
        """
        try:
            self._videos.check_new(digest_of(path), recipe_yaml)
            content = scan_in_sandbox(path)
            video = self._videos.add(path, content, name=name, recipe_yaml=recipe_yaml, by=by)
        except VideoExists as error:
            raise Problem(409, translated(error)) from error
        except UnreadableMedia as error:
            raise Problem(422, f"{name}: {translated(error)}") from error
        return self.source(video.source)

    def queue(
        self, source_id: str, queue: FrameQueue, *, by: str, line: str | None = None, start: int = 0, limit: int = 100
    ) -> QueuePage:
        """Return a part of a queue.

        Raises:
            Problem: 404: there is no such source; 422: the source has no such queue.
        """
        source = self._sources.get(source_id)
        log = self._annotations.log(source.id)
        queued = queued_frames(source, log, queue, self._line_frames, by=by, line=line)
        kind = kind_of(queue)
        inspected = {} if source.video else log.inspected()
        frames = [
            frame_view(
                source,
                each.key,
                log.frame(each.key),
                each.inspected or inspected.get(each.key),
                kind=kind,
                reason=each.reason,
            )
            for each in queued[start : start + limit]
        ]
        return QueuePage(source=source.id, queue=queue, kind=kind, total=len(queued), start=start, frames=frames)

    def place_in_video(self, source_id: str, frame: str | None) -> int:
        """Return the number of a frame of a video, or without a frame that of the first unlabelled one.

        Raises:
            Problem: 404: there is no such source.
        """
        source = self._sources.get(source_id)
        if frame is not None:
            return source.frame_number(frame) or 0
        log = self._annotations.log(source.id)
        return next((int(key) for key in source.video_frames() if log.frame(key).first is None), 0)

    def frame(self, source_id: str, frame: str, kind: AnnotationKind) -> FrameToLabel:
        """Return one frame, for an annotation of this kind.

        Raises:
            Problem: 404: there is no such source or frame.
        """
        source = self._sources.get(source_id)
        log = self._annotations.log(source.id)
        inspected = self._annotating.find_frames(source, log, [frame])
        return frame_view(source, frame, log.frame(frame), inspected.get(frame), kind=kind)

    def image(self, source_id: str, frame: str, width: int | None = None) -> bytes:
        """Return the image of a frame as a JPEG or PNG file, made no wider than ``width`` pixels if given.

        Raises:
            Problem: 404: there is no such frame, or its image is not stored.
            StorageError: object storage is not available.
        """
        source = self._sources.get(source_id)
        inspected = self._annotating.find_frames(source, self._annotations.log(source.id), [frame]).get(frame)
        try:
            if width is None:
                return self._images.get(source, frame, inspected)
            return self._images.thumbnail(source, frame, inspected, width)
        except (UnreadableMedia, ObjectNotFound) as error:
            raise Problem(
                404,
                gettext("the image of frame %(frame)s can't be read: %(error)s", frame=frame, error=translated(error)),
            ) from error

    def label(self, source_id: str, request: LabelRequest, by: str) -> AnnotationView:
        """Store an annotation; raises as `AnnotationService.label`."""
        source = self._sources.get(source_id)
        return AnnotationView.of(self._annotating.label(source, request, by), source.name)

    def undo(self, source_id: str, request: UndoRequest, by: str) -> AnnotationView:
        """Undo an annotation; raises as `AnnotationService.undo`."""
        source = self._sources.get(source_id)
        return AnnotationView.of(self._annotating.undo(source, request, by), source.name)

    def annotations(self, requested: AnnotationFilter, before: str | None, limit: int) -> AnnotationPage:
        """Return the requested annotations, newest first, starting before an id."""
        sources = [requested.source] if requested.source else self._annotations.sources()
        annotations = [each for source in sources for each in self._annotations.log(source).annotations]
        undone = {each.undoes for each in annotations}
        names = {source: source for source in sources}
        for source in sources:
            with suppress(Problem):  # a source whose recipe is gone still has annotations
                names[source] = self._sources.get(source).name
        found = sorted(
            (each for each in annotations if requested.matches(each) and (before is None or each.id < before)),
            key=lambda each: each.id,
            reverse=True,
        )
        shown = [AnnotationView.of(each, names[each.source], undone=each.id in undone) for each in found[:limit]]
        return AnnotationPage(annotations=shown, next=shown[-1].id if len(found) > limit else None)

    def people(self) -> list[str]:
        """Return everyone who ever labelled a frame."""
        sources = self._annotations.sources()
        return sorted({each.by for source in sources for each in self._annotations.log(source).annotations})

    def agreement(self, source_id: str, *, start: int = 0, limit: int = 100) -> AgreementView:
        """Return how far two people agree about a source, and a part of the contradictions.

        Raises:
            Problem: 404: there is no such source.
        """
        source = self._sources.get(source_id)
        return agreement_view(source, self._annotations.log(source.id), start, limit)
