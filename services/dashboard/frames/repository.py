"""The repository of frames in Redis: the verdicts and explanations of the newest frames of each line.

The verdict and the explanation of a frame may arrive in any order, and more than once.
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
from services.dashboard.web.problems import Problem
from shared.language import gettext
from shared.messages import FrameExplained, FrameInspected, MalformedMessage, Verdict, decode

PAGE: Final = 100
"""Frames read from Redis in one round trip."""

REQUEST_SECONDS: Final = 60
"""Seconds within which heatmaps of a frame are not requested again."""

MOST_FLAGGED_READ: Final = 20
"""Most flagged frames that are read to find the last NG frame; the other flagged frames are ok and unsure."""

_log = structlog.stdlib.get_logger("frames")

Scored = list[tuple[str, float]]
"""Members of a sorted set with their scores."""


class FrameKind(StrEnum):
    """The lists of a line's frames. Each list has its own limit, so that frames of one kind don't displace others."""

    FLAGGED = "flagged"
    PASSED = "passed"
    ERROR = "error"

    @classmethod
    def of(cls, verdict: FrameInspected) -> FrameKind:
        """Return the list to which the frame of a verdict belongs."""
        if verdict.verdict is Verdict.ERROR:
            return cls.ERROR
        return cls.FLAGGED if verdict.flagged or verdict.verdict is Verdict.NG else cls.PASSED


@dataclass(frozen=True)
class StoredFrame:
    """The verdict and the explanation of a frame."""

    verdict: FrameInspected
    explanation: FrameExplained | None
    placed_at: int = field(default=0, compare=False)
    """Unix time in ms of the capture, or of the arrival if that is earlier."""

    @property
    def place(self) -> tuple[int, str]:
        """The frame's place in the lists: `placed_at` and the frame id."""
        return self.placed_at, self.verdict.frame.frame_id


@dataclass(frozen=True)
class HeatmapRequest:
    """A person's request for heatmaps of a frame."""

    labels: frozenset[str]
    """The labels of the heatmaps; empty: the explainer chooses the labels."""
    last_explained_at: str
    """The time of the explanation before the request; empty if there was none."""

    @classmethod
    def of(cls, frame: StoredFrame, labels: Iterable[str]) -> Self:
        return cls(frozenset(labels), _explained_at(frame))

    def is_answered(self, frame: StoredFrame) -> bool:
        """Return whether an explanation has arrived since the request."""
        return _explained_at(frame) != self.last_explained_at


class FrameRepository:
    """The frames of all lines, and the requests for their heatmaps."""

    def __init__(self, redis: Redis, keys: Keys, settings: DashboardSettings) -> None:
        self._redis = redis
        self._keys = keys
        self._seconds = settings.frame_days * 86_400
        self._limits = {
            FrameKind.FLAGGED: settings.flagged_frames,
            FrameKind.PASSED: settings.passed_frames,
            FrameKind.ERROR: settings.error_frames,
        }

    def store(self, verdicts: Iterable[FrameInspected]) -> None:
        """Store the frames of verdicts, except those older than `frame_days`."""
        now = int(time.time() * 1000)
        oldest = now - self._seconds * 1000
        recent = [verdict for verdict in verdicts if _milliseconds(verdict) > oldest]
        if not recent:
            return
        lists: dict[tuple[str, FrameKind], dict[str, int]] = defaultdict(dict)
        pipeline = self._redis.pipeline(transaction=False)
        for verdict in recent:
            frame = verdict.frame
            pipeline.set(self._keys.verdict(frame.frame_id), verdict.encode(), ex=self._seconds)
            lists[frame.line, FrameKind.of(verdict)][frame.frame_id] = min(_milliseconds(verdict), now)
        for (line, kind), moments in lists.items():
            # keep the lower of two places, so that a frame that is read again from the archive does not move
            pipeline.zadd(self._keys.frames(line, kind), cast("Any", moments), lt=True)
        pipeline.execute()
        for line, kind in lists:
            key = self._keys.frames(line, kind)
            too_many = self._redis.zcard(key) - self._limits[kind]
            if too_many > 0:
                removed = [frame_id for frame_id, _ in cast("Scored", self._redis.zpopmin(key, too_many))]
                self._redis.delete(*map(self._keys.verdict, removed), *map(self._keys.explanation, removed))

    def store_explanations(self, explanations: Sequence[FrameExplained]) -> None:
        """Store explanations, also if the verdicts of their frames have not arrived yet."""
        pipeline = self._redis.pipeline(transaction=False)
        for explanation in explanations:
            pipeline.set(self._keys.explanation(explanation.frame.frame_id), explanation.encode(), ex=self._seconds)
        pipeline.execute()

    def store_request(self, frame_id: str, request: HeatmapRequest) -> None:
        """Store a request for heatmaps of a frame, for `REQUEST_SECONDS`."""
        text = json.dumps([sorted(request.labels), request.last_explained_at])
        self._redis.set(self._keys.requested(frame_id), text, ex=REQUEST_SECONDS)

    def request_of(self, frame_id: str) -> HeatmapRequest | None:
        """Return the last request for heatmaps of a frame; None if there was none within `REQUEST_SECONDS`."""
        text = cast("str | None", self._redis.get(self._keys.requested(frame_id)))
        if text is None:
            return None
        labels, last_explained_at = json.loads(text)
        return HeatmapRequest(frozenset(labels), last_explained_at)

    def find(self, frame_id: str) -> StoredFrame | None:
        """Return one frame; None if it was never stored, or is no longer stored."""
        return self._read([frame_id])[0]

    def get(self, frame_id: str) -> StoredFrame:
        """Return one frame.

        Raises:
            Problem: 404: there is no such frame.
        """
        frame = self.find(frame_id)
        if frame is None:
            raise Problem(
                404, gettext("there is no such frame: it never existed, or it is older than the stored frames")
            )
        return frame

    def newest(
        self, line: str, kinds: Sequence[FrameKind] = tuple(FrameKind), before: tuple[int, str] | None = None
    ) -> Iterator[StoredFrame]:
        """Yield the frames of a line, newest first, from just before the place ``before`` (`StoredFrame.place`) on."""
        yield from newest_first(self._walk(self._keys.frames(line, kind), before) for kind in kinds)

    def oldest(self, line: str, kinds: Sequence[FrameKind], after: tuple[int, str]) -> Iterator[StoredFrame]:
        """Yield the frames of a line, oldest first, from just after the place ``after`` on."""
        walks = [self._walk(self._keys.frames(line, kind), after, upwards=True) for kind in kinds]
        yield from heapq.merge(*walks, key=lambda frame: frame.place)

    def place_of(self, frame: StoredFrame) -> tuple[int, str]:
        """Return the place of a frame in its list; its capture time if it is not in the list any more."""
        identity = frame.verdict.frame
        placed_at = self._redis.zscore(self._keys.frames(identity.line, FrameKind.of(frame.verdict)), identity.frame_id)
        return int(placed_at or _milliseconds(frame.verdict)), identity.frame_id

    def last_verdict(self, line: str) -> FrameInspected | None:
        """Return the last verdict of a line by capture time; None if there is none."""
        return next((frame.verdict for frame in self.newest(line)), None)

    def last_ng_verdict(self, line: str) -> FrameInspected | None:
        """Return the last NG verdict of a line by capture time; None if none of the last flagged frames is NG."""
        flagged = (frame.verdict for frame in islice(self.newest(line, [FrameKind.FLAGGED]), MOST_FLAGGED_READ))
        return next((verdict for verdict in flagged if verdict.verdict is Verdict.NG), None)

    def size(self, line: str, kind: FrameKind) -> int:
        """Return how many frames of a kind are stored."""
        return int(self._redis.zcard(self._keys.frames(line, kind)))

    def _walk(self, key: str, before: tuple[int, str] | None, *, upwards: bool = False) -> Iterator[StoredFrame]:
        """Yield one list from a place on, newest first, read in pages; frames that arrive meanwhile do not shift it.

        With ``upwards`` yield it oldest first.
        """
        while True:
            if upwards:
                page = self._redis.zrangebyscore(
                    key, before[0] if before else "-inf", "+inf", start=0, num=PAGE, withscores=True
                )
            else:
                page = self._redis.zrevrangebyscore(
                    key, before[0] if before else "+inf", "-inf", start=0, num=PAGE, withscores=True
                )
            moments = [(int(score), frame_id) for frame_id, score in cast("Scored", page)]
            rest = [moment for moment in moments if before is None or (moment > before if upwards else moment < before)]
            if not rest:
                return
            frames = self._read([frame_id for _, frame_id in rest])
            for frame, (placed_at, _) in zip(frames, rest, strict=True):
                if frame:
                    yield replace(frame, placed_at=placed_at)
            before = rest[-1]

    def _read(self, frame_ids: Sequence[str]) -> list[StoredFrame | None]:
        names = [self._keys.verdict(frame_id) for frame_id in frame_ids]
        names += [self._keys.explanation(frame_id) for frame_id in frame_ids]
        texts = cast("list[str | None]", self._redis.mget(names))
        return [_frame_of(*pair) for pair in zip(texts[: len(frame_ids)], texts[len(frame_ids) :], strict=True)]


def newest_first(lists: Iterable[Iterator[StoredFrame]]) -> Iterator[StoredFrame]:
    """Merge several lists of frames, newest first."""
    return heapq.merge(*lists, key=lambda frame: frame.place, reverse=True)


def _explained_at(frame: StoredFrame) -> str:
    return frame.explanation.at.isoformat() if frame.explanation else ""


def _milliseconds(verdict: FrameInspected) -> int:
    return int(verdict.frame.captured_at.timestamp() * 1000)


def _frame_of(verdict: str | None, explanation: str | None) -> StoredFrame | None:
    """Return a frame by its messages; None while only its explanation has arrived, or if one can't be read."""
    try:
        inspected = decode(verdict.encode()) if verdict else None
        explained = decode(explanation.encode()) if explanation else None
    except MalformedMessage as error:
        _log.error("left out a frame that can't be read", reason=str(error))
        return None
    if not isinstance(inspected, FrameInspected) or not isinstance(explained, FrameExplained | None):
        return None
    return StoredFrame(inspected, explained)
