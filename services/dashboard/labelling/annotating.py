"""Add annotations, or refuse them with the reason."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from ulid import ULID

from services.dashboard.labelling.annotations.annotation import Annotation, InspectedFrame
from services.dashboard.labelling.annotations.log import AnnotationLog
from services.dashboard.labelling.annotations.repository import AnnotationRepository
from services.dashboard.labelling.annotations.rules import label_error
from services.dashboard.labelling.line_frames import LineFrames
from services.dashboard.labelling.schemas import LabelRequest, UndoRequest
from services.dashboard.labelling.sources import FrameSource
from services.dashboard.web.problems import Problem
from shared.language import gettext, translated


class AnnotationService:
    """Adds annotations to the logs. A returned annotation is in object storage."""

    def __init__(self, repository: AnnotationRepository, line_frames: LineFrames) -> None:
        self._repository = repository
        self._line_frames = line_frames
        self._saving: dict[tuple[str, str], str] = {}
        """The person who is saving an annotation of a frame, by source and frame."""
        self._lock = threading.Lock()

    def label(self, source: FrameSource, request: LabelRequest, by: str) -> Annotation:
        """Store an annotation of all the requested frames, or of none.

        Raises:
            Problem: 404: there is no such frame; 409: another person labelled it meanwhile, this person may not give
                this kind of annotation, or a retention rule is removing the frame; 422: the recipe does not allow these
                labels together.
            StorageError: The annotation was not stored.
        """
        if error := label_error(source.recipe, request.labels):
            raise Problem(422, gettext("labels: %(error)s", error=error))
        frames = list(dict.fromkeys(request.frames))
        with self._reserved(source, frames, by):
            log = self._repository.log(source.id, without_waiting=True)
            inspected = self.find_frames(source, log, frames)
            if inspected:
                self._line_frames.removals.refuse(inspected)
            for key in frames:
                if refusal := log.frame(key).refusal(request.kind, by):
                    raise Problem(409, gettext("frame %(key)s: %(refusal)s", key=key, refusal=translated(refusal)))
                before = log.frame(key).of(request.kind)
                if (
                    before is not None
                    and before.by != by
                    and before.labels != request.labels
                    and request.seen.get(key) != before.id
                ):
                    saved = ", ".join(name for name, value in before.labels.items() if value) or gettext("no label")
                    raise Problem(
                        409,
                        gettext(
                            "frame %(key)s: %(by)s saved %(saved)s meanwhile; look at it, and save again to replace it",
                            key=key,
                            by=before.by,
                            saved=saved,
                        ),
                    )
            annotation = Annotation(
                id=_next_id(log),
                source=source.id,
                kind=request.kind,
                by=by,
                at=datetime.now(UTC),
                frames=tuple(frames),
                labels=request.labels,
                inspected=dict(inspected),
            )
            self._repository.append(annotation)
        return annotation

    def undo(self, source: FrameSource, request: UndoRequest, by: str) -> Annotation:
        """Store an annotation that undoes an earlier one of the same person.

        Raises:
            Problem: 404: there is nothing to undo; 409: the annotation is another person's.
            StorageError: the annotation was not stored.
        """
        log = self._repository.log(source.id)
        candidates = log.not_undone()
        if request.annotation is None:
            found = next((each for each in candidates if each.by == by and each.kind is request.kind), None)
        else:
            found = next((each for each in candidates if each.id == request.annotation), None)
        if found is None:
            raise Problem(404, gettext("there is nothing to undo: no such annotation, or it is undone already"))
        if found.by != by:
            raise Problem(409, gettext("this is an annotation of %(by)s: label the frame again instead", by=found.by))
        annotation = Annotation(
            id=_next_id(log),
            source=source.id,
            kind=found.kind,
            by=by,
            at=datetime.now(UTC),
            frames=found.frames,
            labels={},
            undoes=found.id,
        )
        self._repository.append(annotation)
        return annotation

    def find_frames(self, source: FrameSource, log: AnnotationLog, keys: Sequence[str]) -> Mapping[str, InspectedFrame]:
        """Check that the source has these frames, and return those of a line by their key.

        Raises:
            Problem: 404: the source has no such frame, or its image is not stored.
        """
        if source.video is not None:
            if unknown := [key for key in keys if source.frame_number(key) is None]:
                raise Problem(
                    404,
                    gettext(
                        "frame %(unknown)s: %(name)s has frames 0 to %(frames)s",
                        unknown=unknown[0],
                        name=source.name,
                        frames=source.video.frames - 1,
                    ),
                )
            return {}
        frames = {}
        for key in keys:
            found = self._line_frames.find(source.recipe.name, key, log)
            if found is None:
                raise Problem(
                    404, gettext("frame %(key)s: no such frame of this recipe, or its image is not stored", key=key)
                )
            frames[key] = found
        return frames

    @contextmanager
    def _reserved(self, source: FrameSource, frames: Sequence[str], by: str) -> Iterator[None]:
        """Let one person at a time check and save annotations of these frames.

        Raises:
            Problem: 409: another person is saving one of them.
        """
        keys = [(source.id, frame) for frame in frames]
        with self._lock:
            for key in keys:
                if (other := self._saving.get(key, by)) != by:
                    raise Problem(
                        409,
                        gettext(
                            "frame %(key)s: %(other)s is labelling it now; look at it, and save again",
                            key=key[1],
                            other=other,
                        ),
                    )
            self._saving.update(dict.fromkeys(keys, by))
        try:
            yield
        finally:
            with self._lock:
                for key in keys:
                    self._saving.pop(key, None)


def _next_id(log: AnnotationLog) -> str:
    """Return an id later than all in the log, so that the last annotation counts although a clock was set back."""
    now = datetime.now(UTC)
    if log.annotations:
        now = max(now, ULID.from_str(log.annotations[-1].id).datetime + timedelta(milliseconds=1))
    return str(ULID.from_datetime(now))
