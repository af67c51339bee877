"""Turn sources, frames and annotations into what the API returns."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

from services.dashboard.labelling.annotations.agreement import kappa_by_label
from services.dashboard.labelling.annotations.annotation import (
    Annotation,
    AnnotationKind,
    FrameAnnotations,
    InspectedFrame,
)
from services.dashboard.labelling.annotations.log import AnnotationLog
from services.dashboard.labelling.schemas import (
    QUEUES_OF_LINES,
    QUEUES_OF_VIDEOS,
    AgreementView,
    Contradiction,
    FrameAnnotation,
    FrameToLabel,
    KappaView,
    LabelChoice,
    ScoreView,
    SourceView,
    VideoView,
)
from services.dashboard.labelling.sources import FrameSource
from shared.language import fixed, gettext


def source_view(source: FrameSource, log: AnnotationLog) -> SourceView:
    """Return a source and how many of its frames are labelled."""
    frames, video = log.frames.values(), source.video
    effective = [frame.effective for frame in frames]
    counts = Counter(name for each in effective if each for name, value in each.labels.items() if value)
    return SourceView(
        source=source.id,
        name=source.name,
        recipe=source.recipe.name,
        task=source.recipe.task,
        labels=[LabelChoice.of(label) for label in source.recipe.labels],
        video=VideoView(**video.model_dump(), megabytes=video.size / 1e6) if video else None,
        frames=video.frames if video else None,
        labelled=sum(frame.first is not None for frame in frames),
        annotated_twice=sum(frame.annotated_twice for frame in frames),
        contradictions=sum(frame.is_contradiction for frame in frames),
        counts={name: counts[name] for name in source.recipe.label_names},
        queues=list(QUEUES_OF_VIDEOS if video else QUEUES_OF_LINES),
    )


def frame_view(
    source: FrameSource,
    key: str,
    frame: FrameAnnotations,
    inspected: InspectedFrame | None,
    *,
    kind: AnnotationKind,
    reason: str = "",
) -> FrameToLabel:
    """Return a frame with its annotations. A second annotator sees neither the others' annotations nor the scores."""
    hidden, adjudicating = kind is AnnotationKind.SECOND, kind is AnnotationKind.ADJUDICATION
    first, second = (adjudicating and frame.disputed) or (frame.first, frame.second)
    scores = {} if hidden or inspected is None else inspected.findings
    return FrameToLabel(
        frame=key,
        image_url=_image_url(source, key),
        title=_title(source, key, inspected),
        reason=reason,
        annotation=_optional(frame.of(kind)),
        first=None if hidden else _optional(first),
        second=None if hidden else _optional(second),
        later=[FrameAnnotation.of(each) for each in frame.later] if adjudicating else [],
        adjudication=None if hidden else _optional(frame.adjudication),
        scores={
            name: ScoreView(score=found.score, threshold=found.threshold, present=found.present)
            for name, found in scores.items()
            if name in source.recipe.label_names
        },
    )


def agreement_view(source: FrameSource, log: AnnotationLog, start: int, limit: int) -> AgreementView:
    """Return how far two people agree, and a part of the contradictions, newest first."""
    inspected = log.inspected()
    contradictions = [
        Contradiction(
            frame=key,
            image_url=_image_url(source, key),
            title=_title(source, key, inspected.get(key)),
            first=FrameAnnotation.of(frame.disputed.first),
            second=FrameAnnotation.of(frame.disputed.second),
            later=[FrameAnnotation.of(each) for each in frame.later],
            differ=frame.disputed.differing_labels,
        )
        for key, frame in log.frames.items()
        if frame.is_contradiction and frame.disputed
    ]
    contradictions.sort(key=lambda each: each.second.id, reverse=True)
    twice = [frame for frame in log.frames.values() if frame.annotated_twice]
    return AgreementView(
        source=source.id,
        annotated_twice=len(twice),
        labels={
            name: KappaView(**asdict(kappa), frames=kappa.frames, agreed=kappa.agreed)
            for name, kappa in kappa_by_label(twice, source.recipe.label_names).items()
        },
        open=len(contradictions),
        contradictions=contradictions[start : start + limit],
        adjudicated=sum(frame.adjudication is not None and not frame.is_contradiction for frame in log.frames.values()),
    )


def _optional(annotation: Annotation | None) -> FrameAnnotation | None:
    return FrameAnnotation.of(annotation) if annotation else None


def _image_url(source: FrameSource, key: str) -> str:
    return f"/api/labelling/sources/{source.id}/frames/{key}/image"


def _title(source: FrameSource, key: str, inspected: InspectedFrame | None) -> str:
    """Return where a frame is from."""
    if inspected is not None:
        frame = inspected.frame
        part = gettext(", part %(part)s", part=frame.part) if frame.part else ""
        return f"{frame.line}, {frame.camera}{part}, {frame.captured_at:%Y-%m-%d %H:%M:%S} UTC"
    if source.video is None:
        return key
    if source.video.kind == "album":
        return gettext("frame %(frame)s, %(name)s", frame=key, name=source.video.names[int(key)])
    return gettext(
        "frame %(frame)s, %(seconds)s s", frame=key, seconds=fixed(int(key) / source.video.frames_per_second, 2)
    )
