"""The annotation log of one source, and the labels that follow from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from services.dashboard.labelling.annotations.annotation import (
    UNANNOTATED,
    Annotation,
    FrameAnnotations,
    InspectedFrame,
)


class AnnotationLog:
    """The annotations of one source, oldest first, and the state of each frame. Several threads may read it."""

    def __init__(self) -> None:
        self.annotations: Sequence[Annotation] = ()
        self.frames: Mapping[str, FrameAnnotations] = {}

    def add(self, annotations: Sequence[Annotation]) -> None:
        """Add annotations in any order. Replace the collections, because other threads may be reading the old ones."""
        newest = self.annotations[-1].id if self.annotations else ""
        if len(annotations) == 1 and annotations[0].undoes is None and annotations[0].id > newest:
            self.annotations = [*self.annotations, *annotations]
            self.frames = {**self.frames, **_annotated(self.frames, annotations[0])}
        elif annotations:
            self.annotations = sorted([*self.annotations, *annotations], key=lambda each: each.id)
            self.frames = frames_of(self.annotations)

    def frame(self, key: str) -> FrameAnnotations:
        """Return the annotations of one frame."""
        return self.frames.get(key, UNANNOTATED)

    def not_undone(self) -> Iterator[Annotation]:
        """Yield the annotations that label and are not undone, newest first."""
        undone = {annotation.undoes for annotation in self.annotations}
        return (each for each in reversed(self.annotations) if each.undoes is None and each.id not in undone)

    def inspected(self) -> dict[str, InspectedFrame]:
        """Return the annotated frames of a line by id, each with the findings in its newest annotation."""
        return {key: frame for annotation in self.annotations for key, frame in annotation.inspected.items()}


def frames_of(annotations: Sequence[Annotation]) -> dict[str, FrameAnnotations]:
    """Return the state of each frame after annotations, which are ordered by id."""
    frames: dict[str, FrameAnnotations] = {}
    remaining: dict[str, list[Annotation]] = defaultdict(list)
    undone: set[str] = set()
    for annotation in annotations:
        if annotation.undoes is not None:
            undone.add(annotation.undoes)
            for key in annotation.frames:
                remaining[key] = [each for each in remaining[key] if each.id not in undone]
                before = frames.get(key, UNANNOTATED)
                frames[key] = before.without(annotation.undoes, annotation, remaining[key])
        elif annotation.id not in undone:
            for key in annotation.frames:
                remaining[key].append(annotation)
            frames.update(_annotated(frames, annotation))
    return {key: frame for key, frame in frames.items() if frame != UNANNOTATED}


def _annotated(frames: Mapping[str, FrameAnnotations], annotation: Annotation) -> dict[str, FrameAnnotations]:
    return {key: frames.get(key, UNANNOTATED).with_annotation(annotation) for key in annotation.frames}
