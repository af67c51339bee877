"""The frames that can be looked up: the newest of each line, in Redis.

The verdict and the explanation of a frame may come in any order, and more than once.
"""

from __future__ import annotations

import heapq
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import Any, Final, Self, cast

import structlog
from redis import Redis

from services.dashboard.settings import DashboardSettings
from services.dashboard.store.keys import Keys
from shared.messages import FrameExplained, FrameInspected, MalformedMessage, Verdict, decode

PAGE: Final = 100
"""Frames read from Redis in one round trip."""

ASKED_SECONDS: Final = 60
"""For so long a question about a frame is not asked again."""

NG_LOOKED_AT: Final = 20
"""Flagged frames among which the last NG one is searched for: the others are ok and unsure."""

_log = structlog.stdlib.get_logger("frames")

Scored = list[tuple[str, float]]
"""Members of a sorted set with their scores, as Redis gives them."""


class Kind(StrEnum):
    """In which of a line's lists a frame is. Each has a limit of its own: no flood of one kind pushes another out."""

    FLAGGED = "flagged"
    PASSED = "passed"
    ERROR = "error"

    @classmethod
    def of(cls, verdict: FrameInspected) -> Kind:
        """The list that a verdict belongs to."""
        if verdict.verdict is Verdict.ERROR:
            return cls.ERROR
        return cls.FLAGGED if verdict.flagged or verdict.verdict is Verdict.NG else cls.PASSED


@dataclass(frozen=True)
class KnownFrame:
    """What is known about a frame."""

    verdict: FrameInspected
    explanation: FrameExplained | None
    placed_at: int = field(default=0, compare=False)
    """Capture time (ms), or when it came, if it says to be of later."""

    @property
    def moment(self) -> tuple[int, str]:
        """Its place among others."""
        return self.placed_at, self.verdict.frame.frame_id


@dataclass(frozen=True)
class Asked:
    """A question about a frame that the explainer was given."""

    labels: frozenset[str]
    """Whose heatmaps; none: those that the explainer would choose."""
    known: str
    """When the explanation was made that was there before; empty when there was none."""

    @classmethod
    def about(cls, frame: KnownFrame, labels: Iterable[str]) -> Self:
        """A question that is asked now."""
        return cls(frozenset(labels), _made_at(frame))

    def is_answered(self, frame: KnownFrame) -> bool:
        """Whether an explanation came since."""
        return _made_at(frame) != self.known


class FrameIndex:
    """The frames in Redis."""

    def __init__(self, redis: Redis, keys: Keys, settings: DashboardSettings) -> None:
        self._redis = redis
        self._keys = keys
        self._seconds = settings.frame_days * 86_400
        self._limits = {
            Kind.FLAGGED: settings.flagged_frames,
            Kind.PASSED: settings.passed_frames,
            Kind.ERROR: settings.error_frames,
        }

    def keep(self, verdicts: Iterable[FrameInspected]) -> None:
        """Make frames known by their verdicts."""
        now = int(time.time() * 1000)
        oldest = now - self._seconds * 1000
        recent = [verdict for verdict in verdicts if _milliseconds(verdict) > oldest]
        if not recent:
            return
        lists: dict[tuple[str, Kind], dict[str, int]] = defaultdict(dict)
        pipeline = self._redis.pipeline(transaction=False)
        for verdict in recent:
            frame = verdict.frame
            pipeline.set(self._keys.verdict(frame.frame_id), verdict.encode(), ex=self._seconds)
            lists[frame.line, Kind.of(verdict)][frame.frame_id] = min(_milliseconds(verdict), now)
        for (line, kind), moments in lists.items():
            # the lower of two: what is read from the archive again keeps its place
            pipeline.zadd(self._keys.frames(line, kind), cast("Any", moments), lt=True)
        pipeline.execute()
        for line, kind in lists:
            self._trim(line, kind)

    def explain(self, explanations: Sequence[FrameExplained]) -> None:
        """Add explanations to frames, whether their verdicts have come or not."""
        pipeline = self._redis.pipeline(transaction=False)
        for explanation in explanations:
            pipeline.set(self._keys.explanation(explanation.frame.frame_id), explanation.encode(), ex=self._seconds)
        pipeline.execute()

    def note_asked(self, frame_id: str, asked: Asked) -> None:
        """Remember for a while that heatmaps of a frame were asked for."""
        words = [sorted(asked.labels), asked.known]
        self._redis.set(self._keys.asked(frame_id), json.dumps(words), ex=ASKED_SECONDS)

    def asked(self, frame_id: str) -> Asked | None:
        """What was asked about a frame of late; None when nothing was."""
        text = cast("str | None", self._redis.get(self._keys.asked(frame_id)))
        if text is None:
            return None
        labels, known = json.loads(text)
        return Asked(frozenset(labels), known)

    def find(self, frame_id: str) -> KnownFrame | None:
        """One frame; None when it is not known (any more)."""
        return self._read([frame_id])[0]

    def newest(
        self, line: str, kinds: Sequence[Kind] = tuple(Kind), before: tuple[int, str] | None = None
    ) -> Iterator[KnownFrame]:
        """The frames of a line, newest first, from just before a frame's `KnownFrame.moment` on."""
        yield from newest_first(self._walk(self._keys.frames(line, kind), before) for kind in kinds)

    def last_verdict(self, line: str) -> FrameInspected | None:
        """Return the last verdict of a line by capture time; None if there is none."""
        return next((frame.verdict for frame in self.newest(line)), None)

    def last_ng_verdict(self, line: str) -> FrameInspected | None:
        """Return the last NG verdict of a line by capture time; None if there is none of late."""
        flagged = (frame.verdict for frame in islice(self.newest(line, [Kind.FLAGGED]), NG_LOOKED_AT))
        return next((verdict for verdict in flagged if verdict.verdict is Verdict.NG), None)

    def size(self, line: str, kind: Kind) -> int:
        """How many frames of a kind are known."""
        return int(self._redis.zcard(self._keys.frames(line, kind)))

    def _walk(self, key: str, before: tuple[int, str] | None) -> Iterator[KnownFrame]:
        """One list, newest first, a page at a time; frames that arrive meanwhile shift nothing."""
        while True:
            highest = before[0] if before else "+inf"
            page = self._redis.zrevrangebyscore(key, highest, "-inf", start=0, num=PAGE, withscores=True)
            moments = [(int(score), frame_id) for frame_id, score in cast("Scored", page)]
            wanted = [moment for moment in moments if before is None or moment < before]
            if not wanted:
                return
            frames = self._read([frame_id for _, frame_id in wanted])
            for frame, (placed_at, _) in zip(frames, wanted, strict=True):
                if frame:
                    yield replace(frame, placed_at=placed_at)
            before = wanted[-1]

    def _read(self, frame_ids: Sequence[str]) -> list[KnownFrame | None]:
        names = [self._keys.verdict(frame_id) for frame_id in frame_ids]
        names += [self._keys.explanation(frame_id) for frame_id in frame_ids]
        texts = cast("list[str | None]", self._redis.mget(names))
        return [_known(*pair) for pair in zip(texts[: len(frame_ids)], texts[len(frame_ids) :], strict=True)]

    def _trim(self, line: str, kind: Kind) -> None:
        key = self._keys.frames(line, kind)
        too_many = self._redis.zcard(key) - self._limits[kind]
        if too_many > 0:
            popped = cast("Scored", self._redis.zpopmin(key, too_many))
            gone = [
                key
                for frame_id, _ in popped
                for key in (self._keys.verdict(frame_id), self._keys.explanation(frame_id))
            ]
            self._redis.delete(*gone)


def newest_first(lists: Iterable[Iterator[KnownFrame]]) -> Iterator[KnownFrame]:
    """Several lists that are newest first as one."""
    return heapq.merge(*lists, key=lambda frame: frame.moment, reverse=True)


def _made_at(frame: KnownFrame) -> str:
    return frame.explanation.at.isoformat() if frame.explanation else ""


def _milliseconds(verdict: FrameInspected) -> int:
    return int(verdict.frame.captured_at.timestamp() * 1000)


def _known(verdict: str | None, explanation: str | None) -> KnownFrame | None:
    """A frame from its messages; None while only its explanation has come."""
    try:
        inspected = decode(verdict.encode()) if verdict else None
        explained = decode(explanation.encode()) if explanation else None
    except MalformedMessage as error:
        _log.error("passed over a frame that can't be read", reason=str(error))
        return None
    if not isinstance(inspected, FrameInspected) or not isinstance(explained, FrameExplained | None):
        return None
    return KnownFrame(inspected, explained)
