"""Queues of labelling: which frames of a source a person should look at, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from services.dashboard.frames.schemas import Mark
from services.dashboard.labelling.annotations.annotation import AnnotationKind, InspectedFrame
from services.dashboard.labelling.annotations.log import AnnotationLog
from services.dashboard.labelling.line_frames import LineFrames
from services.dashboard.labelling.schemas import QUEUES_OF_LINES, QUEUES_OF_VIDEOS, FrameQueue
from services.dashboard.labelling.sources import FrameSource, frame_order
from services.dashboard.labelling.suggestions import by_disagreement, by_uncertainty
from services.dashboard.web.problems import Problem
from shared.language import gettext, word


@dataclass(frozen=True)
class QueuedFrame:
    """A frame in a queue."""

    key: str
    reason: str = ""
    inspected: InspectedFrame | None = None


def kind_of(queue: FrameQueue) -> AnnotationKind:
    """Return the kind of annotation that a person gives in a queue."""
    kinds = {FrameQueue.SECOND: AnnotationKind.SECOND, FrameQueue.CONTRADICTIONS: AnnotationKind.ADJUDICATION}
    return kinds.get(queue, AnnotationKind.FIRST)


def queued_frames(
    source: FrameSource, log: AnnotationLog, queue: FrameQueue, line_frames: LineFrames, *, by: str, line: str | None
) -> Sequence[QueuedFrame]:
    """Return the frames of a queue in its order.

    Args:
        source: the source of the frames.
        log: annotations of the source.
        queue: which queue.
        line_frames: the frames of the lines.
        by: the person who will look; frames that they labelled are not in their queue of second annotations.
        line: only frames of this line, in the queues of a line; None for all lines.

    Raises:
        Problem: 422: the source has no such queue.
    """
    available = QUEUES_OF_VIDEOS if source.video else QUEUES_OF_LINES
    if queue not in available:
        raise Problem(422, gettext("queue: this source has %(available)s", available=", ".join(available)))
    frames: dict[FrameQueue, Callable[[], Iterator[QueuedFrame]]] = {
        FrameQueue.ALL: lambda: map(QueuedFrame, source.video_frames()),
        FrameQueue.UNLABELLED: lambda: (
            QueuedFrame(key) for key in source.video_frames() if log.frame(key).first is None
        ),
        FrameQueue.LABELLED: lambda: labelled_frames(log),
        FrameQueue.SECOND: lambda: for_second_annotation(log, by),
        FrameQueue.CONTRADICTIONS: lambda: contradictions(log),
        FrameQueue.MARKED: lambda: marked_frames(line_frames.marked(source.recipe.name, line), log),
        FrameQueue.UNCERTAIN: lambda: uncertain_frames(line_frames.recent(source.recipe.name, line), log),
        FrameQueue.DISAGREEMENT: lambda: disagreements(log, line),
    }
    return list(frames[queue]())


def marked_frames(frames: Iterable[tuple[InspectedFrame, Mark]], log: AnnotationLog) -> Iterator[QueuedFrame]:
    """Yield the unlabelled ones of the frames that people marked as wrongly inspected."""
    for inspected, mark in frames:
        key = inspected.frame.frame_id
        if log.frame(key).first is None:
            note = f": {mark.note}" if mark.note else ""
            wrong = gettext(
                "verdict %(verdict)s, marked as wrong by %(by)s", verdict=word(mark.verdict), by=mark.marked_by
            )
            reason = f"{wrong}{note}"
            yield QueuedFrame(key, reason, inspected)


def uncertain_frames(frames: Iterable[InspectedFrame], log: AnnotationLog) -> Iterator[QueuedFrame]:
    """Yield the unlabelled ones of some frames, the least certain first."""
    for candidate in by_uncertainty(each for each in frames if log.frame(each.frame.frame_id).first is None):
        yield QueuedFrame(candidate.frame, candidate.reason, candidate.inspected)


def labelled_frames(log: AnnotationLog) -> Iterator[QueuedFrame]:
    """Yield the labelled frames, the one labelled last first."""
    found = [(frame.first, key) for key, frame in log.frames.items() if frame.first]
    for annotation, key in sorted(found, key=lambda each: (each[0].id, frame_order(each[1])), reverse=True):
        yield QueuedFrame(key, gettext("labelled by %(by)s", by=annotation.by))


def for_second_annotation(log: AnnotationLog, by: str) -> Iterator[QueuedFrame]:
    """Yield the frames that need a second annotation, shuffled, so that the first ones are already a fair sample.

    The order is the same for everyone.
    """
    waiting = [
        key
        for key, frame in log.frames.items()
        if frame.first is not None
        and by not in frame.first_annotators
        and frame.second is None
        and not frame.annotated_twice
    ]
    for key in sorted(waiting, key=lambda key: blake2b(key.encode(), digest_size=8).digest()):
        yield QueuedFrame(key, gettext("labelled by another person"))


def contradictions(log: AnnotationLog) -> Iterator[QueuedFrame]:
    """Yield the frames about which two people contradict each other, newest first."""
    found = [(key, frame.disputed) for key, frame in log.frames.items() if frame.is_contradiction and frame.disputed]
    for key, pair in sorted(found, key=lambda item: item[1].second.id, reverse=True):
        labels = ", ".join(pair.differing_labels)
        yield QueuedFrame(
            key,
            gettext(
                "%(first)s and %(second)s differ about %(labels)s",
                first=pair.first.by,
                second=pair.second.by,
                labels=labels,
            ),
        )


def disagreements(log: AnnotationLog, line: str | None) -> Iterator[QueuedFrame]:
    """Yield the frames that people labelled otherwise than the model."""
    inspected = log.inspected()
    both = [
        (inspected[key], frame.effective.labels)
        for key, frame in log.frames.items()
        if frame.effective and key in inspected and (line is None or inspected[key].frame.line == line)
    ]
    for candidate in by_disagreement(both):
        yield QueuedFrame(candidate.frame, candidate.reason, candidate.inspected)
