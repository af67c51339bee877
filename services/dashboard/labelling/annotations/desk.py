"""The desk at which people label: what they say is kept, or refused with the reason."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from ulid import ULID

from services.dashboard.labelling.annotations.annotation import Judged, Reading, Record, State
from services.dashboard.labelling.annotations.log import History, Ledger
from services.dashboard.labelling.annotations.rules import complaint
from services.dashboard.labelling.line_frames import LineFrames
from services.dashboard.labelling.schemas import LabelOrder, UndoOrder
from services.dashboard.labelling.sources import Source
from services.dashboard.web.problems import Problem


class Desk:
    """Writes records. An answer means that it is in object storage."""

    def __init__(self, ledger: Ledger, line_frames: LineFrames) -> None:
        self._ledger = ledger
        self._line_frames = line_frames
        self._saving: dict[tuple[str, str], str] = {}
        """By source and frame: who saves something of it right now."""
        self._lock = threading.Lock()

    def label(self, source: Source, order: LabelOrder, by: str) -> Record:
        """Keep what a person says of frames: of all of them, or of none.

        Raises:
            Problem: 404: no such frame; 409: somebody else said otherwise meanwhile, or it is not this person's turn;
                422: the recipe does not allow these labels together.
            StorageError: it was not kept.
        """
        if wrong := complaint(source.recipe, order.labels):
            raise Problem(422, f"labels: {wrong}")
        frames = list(dict.fromkeys(order.frames))
        with self._nobody_else_saves(source, frames, by):
            history = self._ledger.history(source.id, at_once=True)
            judged = self.known(source, history, frames)
            for frame in frames:
                _check_turn(history.state(frame), order, frame, by)
            record = Record(
                id=_next_id(history),
                source=source.id,
                reading=order.reading,
                by=by,
                at=datetime.now(UTC),
                frames=tuple(frames),
                labels=order.labels,
                judged=judged,
            )
            self._ledger.append(record)
        return record

    def undo(self, source: Source, order: UndoOrder, by: str) -> Record:
        """Take back what a person said: a record more, and none less.

        Raises:
            Problem: 404: there is nothing to take back; 409: somebody else said it.
            StorageError: it was not kept.
        """
        history = self._ledger.history(source.id)
        undone = _to_undo(history, order, by)
        record = Record(
            id=_next_id(history),
            source=source.id,
            reading=undone.reading,
            by=by,
            at=datetime.now(UTC),
            frames=undone.frames,
            labels={},
            undoes=undone.id,
        )
        self._ledger.append(record)
        return record

    @contextmanager
    def _nobody_else_saves(self, source: Source, frames: Sequence[str], by: str) -> Iterator[None]:
        """From the look at what was said to the record of what is said, so that nobody is overwritten in between.

        Raises:
            Problem: 409: somebody else does, at this moment.
        """
        keys = [(source.id, frame) for frame in frames]
        with self._lock:
            for key in keys:
                if (other := self._saving.get(key, by)) != by:
                    raise Problem(409, f"frame {key[1]}: {other} labels it right now; look at it, and save again")
            self._saving.update(dict.fromkeys(keys, by))
        try:
            yield
        finally:
            with self._lock:
                for key in keys:
                    self._saving.pop(key, None)

    def known(self, source: Source, history: History, frames: Sequence[str]) -> Mapping[str, Judged]:
        """What the line said of these frames; nothing of those of a video.

        Raises:
            Problem: 404: there is no such frame in this source, or its image was not kept.
        """
        if source.video is not None:
            if strange := [frame for frame in frames if source.number(frame) is None]:
                raise Problem(404, f"frame {strange[0]}: {source.name} has frames 0 to {source.video.frames - 1}")
            return {}
        found = {frame: self._line_frames.find(source.recipe.name, frame, history) for frame in frames}
        if strange := [frame for frame, judged in found.items() if judged is None]:
            raise Problem(404, f"frame {strange[0]} of this recipe is not known, or its image was not kept")
        return {frame: judged for frame, judged in found.items() if judged is not None}


def _to_undo(history: History, order: UndoOrder, by: str) -> Record:
    standing = list(history.standing())
    if order.record is None:
        own = (record for record in standing if record.by == by and record.reading is order.reading)
        found = next(own, None)
    else:
        found = next((record for record in standing if record.id == order.record), None)
    if found is None:
        raise Problem(404, "there is nothing to take back: it was never said, or is taken back already")
    if found.by != by:
        raise Problem(409, f"{found.by} said so: label the frame anew instead")
    return found


def _next_id(history: History) -> str:
    """Later than all that is known: what is said last holds, though a clock was set back since."""
    now = datetime.now(UTC)
    if history.records:
        now = max(now, ULID.from_str(history.records[-1].id).datetime + timedelta(milliseconds=1))
    return str(ULID.from_datetime(now))


def _check_turn(state: State, order: LabelOrder, frame: str, by: str) -> None:
    """Whether this person may give this reading of a frame now.

    Raises:
        Problem: 409.
    """
    if order.reading is Reading.FIRST and by in _second_readers(state):
        raise Problem(
            409, f"frame {frame}: you gave the second reading, so the first stays another person's: settle the two"
        )
    if order.reading is Reading.SECOND:
        _check_second(state, frame, by)
    if order.reading is Reading.SETTLED and not state.read_twice and state.sides is None:
        raise Problem(409, f"frame {frame} was not read by two people: there is nothing to settle")
    before = state.of(order.reading)
    if before is None or before.by == by or before.labels == order.labels:
        return
    if order.seen.get(frame) != before.id:
        said = ", ".join(name for name, value in before.labels.items() if value) or "no label"
        raise Problem(
            409, f"frame {frame}: {before.by} said {said} meanwhile; look at it, and save again to replace that"
        )


def _check_second(state: State, frame: str, by: str) -> None:
    if state.first is None:
        raise Problem(409, f"frame {frame} has no first reading yet: label it without `reading`")
    if by in state.readers:
        raise Problem(409, f"frame {frame}: you gave the first reading, so another person has to give the second")


def _second_readers(state: State) -> set[str]:
    """Who gave the second reading, and whom it was compared with."""
    pair = (state.independent.second,) if state.independent else ()
    return {record.by for record in (state.second, *pair) if record}
