"""Annotations of frames by people, and the labels of a frame that follow from them.

An annotation labels one frame or several at once, or undoes an earlier annotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, NamedTuple, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from shared.label_names import LabelName
from shared.messages import Finding, FrameIdentity, FrameInspected
from shared.validation import marked

MOST_FRAMES: Final = 500
"""Most frames that one annotation may label."""

CORRECTION_TIME: Final = timedelta(minutes=1)
"""If a person gives the second annotation again within this time, the later one corrects a mistake in the earlier."""

SourceId = Annotated[str, Field(pattern=r"^(video|line)-[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""``video-<ulid>``: an uploaded video. ``line-<recipe>``: the frames of the lines that use this recipe."""

FrameKey = Annotated[str, Field(pattern=r"^([0-9]{1,7}|[0-9A-HJKMNP-TV-Z]{26}-[0-9]{9})$")]
"""A frame of a source: its number in the video, from 0, or the frame id that the camera gave it."""

AnnotationId = Annotated[str, Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$")]

Labels = dict[LabelName, bool]


class AnnotationKind(StrEnum):
    """The kind of an annotation of a frame."""

    FIRST = "first"
    """Gives the frame its labels, unless a second annotation contradicts it or an adjudication replaces it."""
    SECOND = "second"
    """The annotation of another person, who has not seen the first one."""
    ADJUDICATION = "adjudication"
    """Decides between a first and a second annotation that contradict each other."""


class InspectedFrame(BaseModel):
    """A frame of a line with its findings, stored in the annotation because Redis keeps only the newest frames."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    frame: FrameIdentity
    image_key: str
    model_version: str
    findings: dict[str, Finding]

    @model_validator(mode="after")
    def _image_is_of_the_frame(self) -> Self:
        if not self.frame.owns(self.image_key):
            raise ValueError(f"{self.image_key[:80]!r} is not below {self.frame.storage_key}/")
        return self

    @classmethod
    def of(cls, verdict: FrameInspected) -> Self | None:
        """Return the frame of a verdict, or None if its image is not stored."""
        if verdict.image_key is None:
            return None
        return cls(
            frame=verdict.frame,
            image_key=verdict.image_key,
            model_version=verdict.model_version,
            findings=verdict.findings,
        )


class Annotation(BaseModel):
    """The labels that one person gave to frames at one time, or the undoing of an earlier annotation."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: AnnotationId = Field(description="a ULID: annotations sort by their time")
    source: SourceId
    kind: AnnotationKind
    by: str
    at: AwareDatetime
    frames: tuple[FrameKey, ...] = Field(min_length=1, max_length=MOST_FRAMES)
    labels: Labels = Field(description="labels of each of the frames; empty if the annotation undoes another one")
    undoes: AnnotationId | None = Field(None, description="id of the annotation that this one undoes")
    inspected: dict[str, InspectedFrame] = Field(
        default_factory=dict, description="frames of a line with their findings, by id"
    )

    @model_validator(mode="after")
    def _labels_or_undoes(self) -> Self:
        if bool(self.labels) == bool(self.undoes):
            raise ValueError("an annotation either labels frames or undoes another annotation")
        return self


class AnnotationPair(NamedTuple):
    """The annotations of one frame by two people."""

    first: Annotation
    second: Annotation

    @property
    def differs(self) -> bool:
        return self.first.labels != self.second.labels

    @property
    def differing_labels(self) -> list[str]:
        first, second = self.first.labels, self.second.labels
        return [name for name in first if first[name] is not second.get(name)]


class FrameAnnotations(BaseModel):
    """The annotations of one frame that are not undone."""

    model_config = ConfigDict(frozen=True)

    first: Annotation | None = None
    second: Annotation | None = None
    adjudication: Annotation | None = None
    independent: AnnotationPair | None = None
    """The annotations of two people who did not know each other's labels.

    Later annotations do not alter them, except a correction or an undoing of the second one within `CORRECTION_TIME`.
    """
    first_annotators: frozenset[str] = frozenset()
    """The people who gave a first annotation, even one that was undone since.

    They may not give the second annotation, because it would not be independent.
    """

    def of(self, kind: AnnotationKind) -> Annotation | None:
        """Return the annotation of this kind; None if there is none."""
        found: Annotation | None = getattr(self, kind.value)
        return found

    def with_annotation(self, annotation: Annotation) -> FrameAnnotations:
        """Return the state after one more annotation."""
        changes: dict[str, object] = {annotation.kind.value: annotation}
        if annotation.kind is AnnotationKind.FIRST:
            changes["first_annotators"] = self.first_annotators | {annotation.by}
        elif annotation.kind is AnnotationKind.SECOND:
            pair = self.independent
            if pair is None and self.first and annotation.by not in self.first_annotators:
                pair = AnnotationPair(self.first, annotation)
            elif pair is not None and _corrects(annotation, pair.second):
                pair = pair._replace(second=annotation)
            changes["independent"] = pair
        return self.model_copy(update=changes)

    def without(self, undone: str, undoing: Annotation, remaining: Sequence[Annotation]) -> FrameAnnotations:
        """Return the state after an annotation was undone.

        Args:
            undone: id of the undone annotation.
            undoing: the annotation that undoes it.
            remaining: the annotations of the frame that are not undone, oldest first.
        """
        last = {kind.value: None for kind in AnnotationKind} | {each.kind.value: each for each in remaining}
        pair = self.independent
        if pair and pair.second.id == undone and _corrects(undoing, pair.second):
            before = last[AnnotationKind.SECOND.value]
            pair = AnnotationPair(pair.first, before) if before and before.by == pair.second.by else None
        return self.model_copy(update={**last, "independent": pair})

    def refusal(self, kind: AnnotationKind, by: str) -> str:
        """Return why a person may not give this kind of annotation to the frame; empty if they may."""
        if kind is AnnotationKind.FIRST:
            independent = self.independent.second if self.independent else None
            if by in {each.by for each in (self.second, independent) if each}:
                return marked("you gave the second annotation, so you can't give the first: adjudicate instead")
        elif kind is AnnotationKind.SECOND:
            if self.first is None:
                return marked("it has no first annotation: label it without `kind`")
            if by in self.first_annotators:
                return marked("you gave the first annotation, so another person must give the second")
        elif not self.annotated_twice and self.disputed is None:
            return marked("it was not annotated by two people: there is nothing to adjudicate")
        return ""

    @property
    def annotated_twice(self) -> bool:
        """Whether two people annotated the frame independently."""
        return self.independent is not None

    @property
    def disputed(self) -> AnnotationPair | None:
        """The two annotations that contradict each other; None if there are none.

        They are the independent pair if it differs; else the present first and second annotation, if two people gave
        them and they differ.
        """
        if self.independent and self.independent.differs:
            return self.independent
        present = AnnotationPair(self.first, self.second) if self.first and self.second else None
        return present if present and present.differs and present.first.by != present.second.by else None

    @property
    def is_contradiction(self) -> bool:
        """Whether two people contradict each other, and no adjudication decides between them.

        A later annotation that contradicts the adjudication opens the contradiction again.
        """
        if self.disputed is None:
            return False
        decided = self.adjudication
        return decided is None or any(
            each.id > decided.id and each.labels != decided.labels for each in self._first_and_second
        )

    @property
    def later(self) -> list[Annotation]:
        """The present annotations that are not among the disputed ones; without a dispute, all present annotations."""
        shown = {annotation.id for annotation in self.disputed or ()}
        return [annotation for annotation in self._first_and_second if annotation.id not in shown]

    @property
    def effective(self) -> Annotation | None:
        """The annotation whose labels count; None while two people contradict each other."""
        if self.is_contradiction:
            return None
        decided = self.adjudication
        if decided and (self.disputed or all(each.id < decided.id for each in self._first_and_second)):
            return decided
        return self.first

    @property
    def _first_and_second(self) -> list[Annotation]:
        return [annotation for annotation in (self.first, self.second) if annotation]


def _corrects(later: Annotation, second: Annotation) -> bool:
    """Return whether a later annotation corrects a second annotation: by the same person, within `CORRECTION_TIME`."""
    return later.by == second.by and later.at - second.at <= CORRECTION_TIME


UNANNOTATED: Final = FrameAnnotations()
