"""Labelling as the API shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from services.dashboard.labelling.annotations.agreement import Kappa
from services.dashboard.labelling.annotations.annotation import Judged, Pair, Reading, State
from services.dashboard.labelling.annotations.log import History
from services.dashboard.labelling.queues.work import Task, differing
from services.dashboard.labelling.schemas import (
    OF_LINES,
    OF_VIDEOS,
    Contradiction,
    FrameToLabel,
    KappaView,
    LabelChoice,
    Said,
    ScoreView,
    SourceView,
    VideoView,
)
from services.dashboard.labelling.sources import Source


def source_view(source: Source, history: History) -> SourceView:
    """A source, and how far people are."""
    states = history.states.values()
    video = source.video
    return SourceView(
        source=source.id,
        name=source.name,
        recipe=source.recipe.name,
        task=source.recipe.task,
        labels=[LabelChoice.of(label) for label in source.recipe.labels],
        video=VideoView(**video.model_dump(), megabytes=video.size / 1e6) if video else None,
        frames=video.frames if video else None,
        labelled=sum(state.first is not None for state in states),
        read_twice=sum(state.read_twice for state in states),
        contradictions=sum(state.contradiction for state in states),
        counts=_counts(source, states),
        queues=list(OF_VIDEOS if video else OF_LINES),
    )


def frame_of(source: Source, task: Task, state: State, judged: Judged | None, reading: Reading) -> FrameToLabel:
    """A frame for a person; who reads it for the second time is shown nothing of what was said before."""
    blind, settling = reading is Reading.SECOND, reading is Reading.SETTLED
    first, second = (settling and state.sides) or (state.first, state.second)
    known = task.judged or judged
    return FrameToLabel(
        frame=task.frame,
        image_url=image_url(source, task.frame),
        title=title_of(source, task.frame, known),
        why=task.why,
        said=Said.of(state.of(reading)),
        first=None if blind else Said.of(first),
        second=None if blind else Said.of(second),
        later=[] if blind or not settling else _later(state),
        settled=None if blind else Said.of(state.settled),
        scores={} if blind or known is None else _scores(known),
    )


def contradictions_of(source: Source, history: History, judged: Mapping[str, Judged]) -> list[Contradiction]:
    """The frames about which two people differ, those read last first."""
    found = [
        _contradiction(source, frame, state, state.sides, judged.get(frame))
        for frame, state in history.states.items()
        if state.contradiction and state.sides
    ]
    return sorted(found, key=lambda each: each.second.record, reverse=True)


def _contradiction(source: Source, frame: str, state: State, sides: Pair, judged: Judged | None) -> Contradiction:
    return Contradiction(
        frame=frame,
        image_url=image_url(source, frame),
        title=title_of(source, frame, judged),
        first=Said.from_record(sides.first),
        second=Said.from_record(sides.second),
        later=_later(state),
        differ=differing(*sides),
    )


def _later(state: State) -> list[Said]:
    return [Said.from_record(record) for record in state.later]


def kappa_view(kappa: Kappa) -> KappaView:
    """Agreement about one label."""
    return KappaView(**asdict(kappa), frames=kappa.frames, agreed=kappa.agreed)


def image_url(source: Source, frame: str) -> str:
    """Where the image of a frame is."""
    return f"/api/labelling/sources/{source.id}/frames/{frame}/image"


def title_of(source: Source, frame: str, judged: Judged | None) -> str:
    """Where a frame is from, for people."""
    if judged is not None:
        place = judged.frame
        part = f", part {place.part}" if place.part else ""
        return f"{place.line}, {place.camera}{part}, {place.captured_at:%Y-%m-%d %H:%M:%S} UTC"
    if source.video is None:
        return frame
    if source.video.kind == "album":
        return f"{source.video.names[int(frame)]} ({int(frame) + 1} of {source.video.frames})"
    return f"frame {frame}, {int(frame) / source.video.frames_per_second:.2f} s"


def _scores(judged: Judged) -> Mapping[str, ScoreView]:
    return {
        name: ScoreView(score=found.score, threshold=found.threshold, present=found.present)
        for name, found in judged.findings.items()
    }


def _counts(source: Source, states: Iterable[State]) -> dict[str, int]:
    holding = [state.holds for state in states]
    true = Counter(name for record in holding if record for name, value in record.labels.items() if value)
    return {name: true[name] for name in source.recipe.label_names}
