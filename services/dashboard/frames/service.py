"""Finding frames, and the images that prove their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import nlargest
from itertools import islice, takewhile
from typing import Final

from services.dashboard.frames.filter import Wanted
from services.dashboard.frames.repository import Asked, FrameIndex, Kind, KnownFrame, newest_first
from services.dashboard.frames.schemas import (
    NOT_MEASURED,
    ExplanationState,
    ExplanationView,
    FramePage,
    FrameView,
    Trust,
)
from services.dashboard.ingest.commands import Commands
from services.dashboard.lines.register import LineRegister
from services.dashboard.web.paging import Place, cursor_of, place_of
from services.dashboard.web.problems import Problem
from shared.imaging.codec import FILE_LIMIT
from shared.messages import ExplanationRequested, FrameInspected, Verdict
from shared.storage.port import ObjectNotFound, ObjectStore, ObjectTooLarge

MOST_LOOKED_AT: Final = 2_000
"""Frames that one page looks at: a rare label takes several pages to find, and no request takes long."""
CONTENT_TYPES: Final = {"jpg": "image/jpeg", "png": "image/png"}


TrustOf = Callable[[str, str], Trust]
"""Of a recipe and a model version: whether the heatmaps of each label and direction can be trusted."""


@dataclass(frozen=True)
class Image:
    """A file that a browser shows."""

    content: bytes
    content_type: str


class FramesService:
    """Frames by what they are, and one by one."""

    def __init__(
        self, index: FrameIndex, lines: LineRegister, store: ObjectStore, commands: Commands, trust: TrustOf
    ) -> None:
        self._index = index
        self._commands = commands
        self._trust_of = trust
        self._lines = lines
        self._store = store

    def search(self, wanted: Wanted, before: str | None, limit: int) -> FramePage:
        """A page of the frames that are wanted, newest first."""
        wanted.check()
        page: list[KnownFrame] = []
        walk = takewhile(lambda frame: not wanted.too_old(frame), self._walk(wanted, place_of(before)))
        more: str | None = None
        for looked_at, frame in enumerate(walk, start=1):
            if wanted.fits(frame):
                page.append(frame)
            if len(page) == limit or looked_at == MOST_LOOKED_AT:
                more = cursor_of(frame.moment)
                break
        return FramePage(frames=[FrameView.of(frame) for frame in page], next=more)

    def worst(self, line: str, batch: str, captured_until: datetime, limit: int) -> list[FrameView]:
        """The NG frames of a batch with the highest scores of what is wrong with them, the worst first."""
        after = int(captured_until.timestamp() * 1000) + 1
        walk = self._index.newest(line, [Kind.FLAGGED], (after, ""))
        wanted = Wanted(line, Verdict.NG, batch=batch)
        found = [frame for frame in islice(walk, MOST_LOOKED_AT) if wanted.fits(frame)]
        return [FrameView.of(frame) for frame in nlargest(limit, found, key=_severity)]

    def newest(self, wanted: Wanted, limit: int) -> list[FrameView]:
        """The newest of the frames that are wanted."""
        return self.search(wanted, None, limit).frames

    def get(self, frame_id: str) -> FrameView:
        """One frame.

        Raises:
            Problem: 404.
        """
        frame = self._known(frame_id)
        return FrameView.of(frame, self._trust(frame))

    def image(self, frame_id: str) -> Image:
        """What the camera saw.

        Raises:
            Problem: 404.
            StorageError: it can't be had now.
        """
        frame = self._known(frame_id)
        return self._file(frame, frame.verdict.image_key, "the image of this frame was not kept")

    def overlay(self, frame_id: str) -> Image:
        """The image with the heatmaps of its faults in the recipe's colours; raises as `image`."""
        frame = self._known(frame_id)
        return self._file(
            frame, frame.explanation.overlay_key if frame.explanation else None, "this frame has no overlay"
        )

    def heatmap(self, frame_id: str, label: str) -> Image:
        """The heatmap of one label; raises as `image`."""
        frame = self._known(frame_id)
        found = frame.explanation.heatmaps.get(label) if frame.explanation else None
        return self._file(frame, found.key if found else None, "this frame has no heatmap of that label")

    def explain(self, frame_id: str, labels: Collection[str], by: str) -> ExplanationView:
        """The heatmaps of a frame; where there are none yet, the explainer is asked for them, once.

        Args:
            frame_id: of any frame whose image is kept.
            labels: whose heatmaps; none: those that flagged the frame, or what it shows.
            by: who asks.

        Raises:
            Problem: 404: no such frame, or its image is not there; 422: it was not inspected by such a label.
            MessagingError: nobody was asked.
        """
        frame = self._known(frame_id)
        found = self._explanation_of(frame, labels)
        if found is not None:
            return found
        there = frame.explanation.heatmaps.keys() if frame.explanation else set()
        self._ask(frame, {*labels, *there} if labels else (), by)
        return ExplanationView.of(frame, ExplanationState.UNDER_WAY)

    def explanation(self, frame_id: str, labels: Collection[str]) -> ExplanationView:
        """The heatmaps of a frame, or how far they are; nobody is asked for anything.

        Raises:
            Problem: 404: no such frame, or nobody asked for them; 422: it was not inspected by such a label.
        """
        found = self._explanation_of(self._known(frame_id), labels)
        if found is None:
            raise Problem(404, "these heatmaps are not there, and nobody has asked for them lately: POST here")
        return found

    def _explanation_of(self, frame: KnownFrame, labels: Collection[str]) -> ExplanationView | None:
        """None: they are not there, and the explainer was not asked."""
        _check_labels(frame.verdict, labels)
        there = frame.explanation.heatmaps.keys() if frame.explanation else set()
        if there and there >= set(labels):
            return ExplanationView.of(frame, ExplanationState.READY, self._trust(frame))
        asked = self._index.asked(frame.verdict.frame.frame_id)
        if asked is None or not asked.labels >= set(labels):
            return None
        return ExplanationView.of(
            frame, ExplanationState.READY if asked.is_answered(frame) else ExplanationState.UNDER_WAY
        )

    def _trust(self, frame: KnownFrame) -> Trust:
        if frame.explanation is None or not frame.explanation.heatmaps:
            return NOT_MEASURED
        return self._trust_of(frame.verdict.recipe, frame.explanation.model_version)

    def _ask(self, frame: KnownFrame, labels: Collection[str], by: str) -> None:
        """Heatmaps that are there are asked for again, since an explanation replaces the one before."""
        verdict = frame.verdict
        key = verdict.image_key
        if not key or not verdict.frame.owns(key) or not self._store.exists(key):
            raise Problem(404, "the image of this frame is not kept, so nothing can be explained")
        request = ExplanationRequested(verdict=verdict, labels=tuple(sorted(labels)), by=by, at=datetime.now(UTC))
        self._commands.give(request, noted=False)
        self._index.note_asked(verdict.frame.frame_id, Asked.about(frame, labels))

    def _known(self, frame_id: str) -> KnownFrame:
        frame = self._index.find(frame_id)
        if frame is None:
            raise Problem(404, "no such frame is known: it never was, or it is older than what is kept")
        return frame

    def _file(self, frame: KnownFrame, key: str | None, otherwise: str) -> Image:
        """A key comes from a message: only the frame's own files are shown."""
        if key is None or not frame.verdict.frame.owns(key):
            raise Problem(404, otherwise)
        try:
            content = self._store.get(key, FILE_LIMIT)
        except ObjectNotFound as error:
            raise Problem(404, "it is not in object storage yet, or no longer") from error
        except ObjectTooLarge as error:
            raise Problem(404, f"it is too large to be an image of a frame: {error}") from error
        return Image(content, CONTENT_TYPES.get(key.rpartition(".")[2], "application/octet-stream"))

    def _walk(self, wanted: Wanted, before: Place | None) -> Iterator[KnownFrame]:
        names = [wanted.line] if wanted.line else self._lines.all()
        start = min(filter(None, (before, wanted.newest)), default=None)
        return newest_first(self._index.newest(line, wanted.kinds, start) for line in names)


def _check_labels(verdict: FrameInspected, labels: Collection[str]) -> None:
    if not verdict.findings:
        raise Problem(404, f"this frame was not inspected, so nothing can be explained: {verdict.reason}")
    if unknown := sorted(set(labels) - verdict.findings.keys()):
        known = ", ".join(verdict.findings)
        raise Problem(422, f"label: this frame was not inspected by {', '.join(unknown)}: its labels are {known}")


def _severity(frame: KnownFrame) -> float:
    """How far the frame's worst fault is beyond its threshold, by presence or by absence."""
    faults = [found for found in frame.verdict.findings.values() if found.fault]
    return max((abs(found.score - found.threshold) for found in faults), default=0.0)
