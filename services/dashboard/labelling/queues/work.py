"""Queues: which frames of a source a person is to look at, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from services.dashboard.labelling.annotations.annotation import Judged, Reading, Record
from services.dashboard.labelling.annotations.log import History
from services.dashboard.labelling.line_frames import LineFrames
from services.dashboard.labelling.queues.selection import by_disagreement, by_uncertainty
from services.dashboard.labelling.schemas import OF_LINES, OF_VIDEOS, Queue
from services.dashboard.labelling.sources import Source
from services.dashboard.web.problems import Problem


@dataclass(frozen=True)
class Task:
    """A frame that waits for a person."""

    frame: str
    why: str = ""
    judged: Judged | None = None


def reading_of(queue: Queue) -> Reading:
    """Which reading a label is of that is given in a queue."""
    return {Queue.SECOND: Reading.SECOND, Queue.CONTRADICTIONS: Reading.SETTLED}.get(queue, Reading.FIRST)


class Work:
    """The queues of all sources."""

    def __init__(self, line_frames: LineFrames) -> None:
        self._line_frames = line_frames

    def queue(self, source: Source, history: History, queue: Queue, *, by: str, line: str | None) -> Sequence[Task]:
        """The frames of a queue, in its order.

        Args:
            source: of the frames.
            history: what people said of them.
            queue: which one.
            by: who will look: nobody reads twice what they labelled themselves.
            line: only frames of this one, in the queues that come from the lines; None for all.

        Raises:
            Problem: 422: this source has no such queue.
        """
        known = OF_VIDEOS if source.video else OF_LINES
        if queue not in known:
            raise Problem(422, f"queue: this source has {', '.join(known)}")
        kinds: dict[Queue, Callable[[], Sequence[Task]]] = {
            Queue.ALL: lambda: [Task(str(number)) for number in range(source.video.frames if source.video else 0)],
            Queue.UNLABELLED: lambda: list(_unlabelled(source, history)),
            Queue.LABELLED: lambda: list(_labelled(history)),
            Queue.SECOND: lambda: list(_to_read_again(history, by)),
            Queue.CONTRADICTIONS: lambda: list(_contradictions(history)),
            Queue.MARKED: lambda: list(self._marked(source, history, line)),
            Queue.UNCERTAIN: lambda: list(self._uncertain(source, history, line)),
            Queue.DISAGREEMENT: lambda: list(_disagreement(history, line)),
        }
        return kinds[queue]()

    def _marked(self, source: Source, history: History, line: str | None) -> Iterator[Task]:
        for judged, mark in self._line_frames.marked(source.recipe.name, line):
            frame = judged.frame.frame_id
            if history.state(frame).first is None:
                note = f": {mark.note}" if mark.note else ""
                yield Task(frame, f"judged {mark.verdict.value}, held to be wrong by {mark.marked_by}{note}", judged)

    def _uncertain(self, source: Source, history: History, line: str | None) -> Iterator[Task]:
        recent = self._line_frames.recent(source.recipe.name, line)
        unlabelled = [judged for judged in recent if history.state(judged.frame.frame_id).first is None]
        for candidate in by_uncertainty(unlabelled):
            yield Task(candidate.frame, candidate.why, candidate.judged)


def judged_in(history: History) -> dict[str, Judged]:
    """What the line said of each frame that was ever labelled, as the last record has it."""
    return {frame: judged for record in history.records for frame, judged in record.judged.items()}


def _unlabelled(source: Source, history: History) -> Iterator[Task]:
    for number in range(source.video.frames if source.video else 0):
        if history.state(str(number)).first is None:
            yield Task(str(number))


def _labelled(history: History) -> Iterator[Task]:
    """The last ones first."""
    done = {frame: state.first for frame, state in history.states.items() if state.first}
    for frame, record in sorted(done.items(), key=lambda item: (item[1].id, _place(item[0])), reverse=True):
        yield Task(frame, f"labelled by {record.by}")


def _to_read_again(history: History, by: str) -> Iterator[Task]:
    """In an order that is the same for everyone and follows nothing: whoever stops early has read a fair sample."""
    waiting = [
        frame
        for frame, state in history.states.items()
        if state.first is not None and by not in state.readers and state.second is None and not state.read_twice
    ]
    for frame in sorted(waiting, key=_shuffled):
        yield Task(frame, "read by another person already")


def _contradictions(history: History) -> Iterator[Task]:
    found = [(frame, state.sides) for frame, state in history.states.items() if state.contradiction and state.sides]
    for frame, (first, second) in sorted(found, key=lambda item: item[1].second.id, reverse=True):
        yield Task(frame, f"{first.by} and {second.by} differ about {', '.join(differing(first, second))}")


def _disagreement(history: History, line: str | None) -> Iterator[Task]:
    judged = judged_in(history)
    known = [
        (judged[frame], state.holds.labels)
        for frame, state in history.states.items()
        if state.holds and frame in judged and (line is None or judged[frame].frame.line == line)
    ]
    for candidate in by_disagreement(known):
        yield Task(candidate.frame, candidate.why, candidate.judged)


def differing(first: Record, second: Record) -> list[str]:
    """The labels of which two people said something else."""
    return [name for name in first.labels if first.labels[name] is not second.labels.get(name)]


def _place(frame: str) -> tuple[int, str]:
    return (int(frame), "") if frame.isdecimal() else (0, frame)


def _shuffled(frame: str) -> bytes:
    return blake2b(frame.encode(), digest_size=8).digest()
