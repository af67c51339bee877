"""Search frames, return their images, and request their heatmaps."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import nlargest
from itertools import islice, takewhile
from typing import Final

from services.dashboard.frames.filter import FrameFilter, FrameOrder
from services.dashboard.frames.repository import FrameKind, FrameRepository, HeatmapRequest, StoredFrame, newest_first
from services.dashboard.frames.schemas import (
    NOT_MEASURED,
    ExplanationState,
    ExplanationView,
    FramePage,
    FrameView,
    Trust,
)
from services.dashboard.ingest.command_publisher import CommandPublisher
from services.dashboard.lines.repository import LineRepository
from services.dashboard.web.paging import cursor_of, place_of
from services.dashboard.web.problems import Problem
from shared.imaging.codec import FILE_LIMIT
from shared.label_names import label_slug
from shared.language import gettext, reported
from shared.messages import ExplanationRequested, Verdict
from shared.storage.port import ObjectNotFound, ObjectStore, ObjectTooLarge

MOST_SORTED: Final = 5_000
"""Most frames that are sorted by score."""
MOST_SEARCHED: Final = 2_000
"""Most frames that are searched for one page, so that no request takes long; a rare label may need several pages."""
CONTENT_TYPES: Final = {"jpg": "image/jpeg", "png": "image/png"}


TrustOf = Callable[[str, str], Trust]
"""Return which heatmaps can be trusted, by the name of the recipe and the version of the model."""


@dataclass(frozen=True)
class ServedImage:
    """The bytes of an image file, and its media type."""

    content: bytes
    content_type: str


class FramesService:
    """Finds frames, returns their images and heatmaps, and requests heatmaps."""

    def __init__(
        self,
        frames: FrameRepository,
        lines: LineRepository,
        store: ObjectStore,
        commands: CommandPublisher,
        trust: TrustOf,
    ) -> None:
        self._frames = frames
        self._commands = commands
        self._trust_of = trust
        self._lines = lines
        self._store = store

    def search(self, frame_filter: FrameFilter, before: str | None, limit: int) -> FramePage:
        """Return a page of the frames that match a filter, in the filter's order.

        In an order by score there is only one page: the first ``limit`` matching frames of the `MOST_SORTED` newest
        frames within the filter's time.

        Args:
            frame_filter: the frames to find, and their order.
            before: the cursor ``next`` of the page before; None for the first page.
            limit: most frames of the page.

        Raises:
            Problem: 422: the filter is inconsistent, or ``before`` is not a cursor.
        """
        frame_filter.check()
        page: list[StoredFrame] = []
        start = min(filter(None, (place_of(before), frame_filter.search_start)), default=None)
        frames = newest_first(
            self._frames.newest(line, frame_filter.kinds, start) for line in self._lines_of(frame_filter)
        )
        walk = takewhile(lambda frame: not frame_filter.is_too_old(frame), frames)
        if frame_filter.order is not FrameOrder.NEWEST:
            newest = list(islice(walk, MOST_SORTED))
            matching = (frame for frame in newest if frame_filter.matches(frame))
            best = nlargest(limit, matching, key=frame_filter.rank)
            complete = len(newest) < MOST_SORTED
            return FramePage(frames=[FrameView.of(frame) for frame in best], next=None, complete=complete)
        following: str | None = None
        for searched, frame in enumerate(walk, start=1):
            if frame_filter.matches(frame):
                page.append(frame)
            if len(page) == limit or searched == MOST_SEARCHED:
                following = cursor_of(frame.place)
                break
        return FramePage(frames=[FrameView.of(frame) for frame in page], next=following)

    def worst(self, line: str, batch: str, captured_until: datetime, limit: int) -> list[FrameView]:
        """Return the NG frames of a batch whose faults are farthest beyond their thresholds, the worst first.

        Only the newest `MOST_SEARCHED` flagged frames of the line up to ``captured_until`` are searched.
        """
        after = int(captured_until.timestamp() * 1000) + 1
        walk = self._frames.newest(line, [FrameKind.FLAGGED], (after, ""))
        frame_filter = FrameFilter(line, Verdict.NG, batch=batch)
        found = [FrameView.of(frame) for frame in islice(walk, MOST_SEARCHED) if frame_filter.matches(frame)]
        return nlargest(limit, found, key=severity)

    def neighbours(self, frame_id: str, frame_filter: FrameFilter) -> tuple[str | None, str | None]:
        """Return the ids of the next newer and the next older frame that match a filter.

        An id is None if none of the `MOST_SEARCHED` nearest frames matches.

        Raises:
            Problem: 404: there is no such frame; 422: the filter is inconsistent.
        """
        frame_filter.check()
        place = self._frames.place_of(self._frames.get(frame_id))
        lines, kinds = self._lines_of(frame_filter), frame_filter.kinds
        newer = heapq.merge(*(self._frames.oldest(line, kinds, place) for line in lines), key=lambda frame: frame.place)
        older = newest_first(self._frames.newest(line, kinds, place) for line in lines)

        def first(walk: Iterator[StoredFrame]) -> str | None:
            near = islice(walk, MOST_SEARCHED)
            return next((frame.verdict.frame.frame_id for frame in near if frame_filter.contains(frame)), None)

        return first(newer), first(older)

    def _lines_of(self, frame_filter: FrameFilter) -> list[str]:
        return [frame_filter.line] if frame_filter.line else self._lines.all()

    def newest(self, frame_filter: FrameFilter, limit: int) -> list[FrameView]:
        """Return the newest frames that match a filter."""
        return self.search(frame_filter, None, limit).frames

    def get(self, frame_id: str) -> FrameView:
        """Return one frame.

        Raises:
            Problem: 404: there is no such frame.
        """
        frame = self._frames.get(frame_id)
        return FrameView.of(frame, self._trust(frame))

    def image(self, frame_id: str) -> ServedImage:
        """Return the image that the camera captured.

        Raises:
            Problem: 404: there is no such frame, its image is not stored, or the stored file is too large.
            StorageError: object storage is not available.
        """
        frame = self._frames.get(frame_id)
        return self._file(frame, frame.verdict.image_key, gettext("the image of this frame was not stored"))

    def overlay(self, frame_id: str) -> ServedImage:
        """Return the image with the heatmaps of its faults in the recipe's colours; raises as `image`."""
        frame = self._frames.get(frame_id)
        key = frame.explanation.overlay_key if frame.explanation else None
        return self._file(frame, key, gettext("this frame has no overlay"))

    def heatmap(self, frame_id: str, slug: str) -> ServedImage:
        """Return the heatmap of one label, named by its slug; raises as `image`."""
        frame = self._frames.get(frame_id)
        heatmaps = frame.explanation.heatmaps.items() if frame.explanation else ()
        found = next((heatmap for label, heatmap in heatmaps if label_slug(label) == slug), None)
        return self._file(frame, found.key if found else None, gettext("this frame has no heatmap of that label"))

    def explain(self, frame_id: str, labels: Collection[str], by: str) -> ExplanationView:
        """Return the heatmaps of a frame. If some are missing, request them from the explainer.

        They are not requested again within `REQUEST_SECONDS` of `services.dashboard.frames.repository`.

        Args:
            frame_id: a frame whose image is stored.
            labels: the labels of the heatmaps; empty: the labels that flagged the frame. If none did: the labels that
                are present, or else the label with the highest score.
            by: who requests them.

        Raises:
            Problem: 404: there is no such frame, it has no scores, or its image is not stored; 422: the model has no
                such label; 503: Redis is unavailable.
            MessagingError: the request was not published, or the broker did not confirm it.
            StorageError: object storage is not available.
        """
        frame = self._frames.get(frame_id)
        found = self._explanation_of(frame, labels)
        if found is not None:
            return found
        verdict, key = frame.verdict, frame.verdict.image_key
        if not key or not verdict.frame.owns(key) or not self._store.exists(key):
            raise Problem(404, gettext("the image of this frame is not stored, so nothing can be explained"))
        if labels and frame.explanation:
            labels = {*labels, *frame.explanation.heatmaps}  # the new explanation replaces the one before
        self._commands.publish(
            ExplanationRequested(verdict=verdict, labels=tuple(sorted(labels)), by=by, at=datetime.now(UTC)),
            applied=False,
        )
        self._frames.store_request(frame_id, HeatmapRequest.of(frame, labels))
        return ExplanationView.of(frame, ExplanationState.UNDER_WAY)

    def explanation(self, frame_id: str, labels: Collection[str]) -> ExplanationView:
        """Return the heatmaps of a frame, or the state of their request; request nothing.

        Raises:
            Problem: 404: there is no such frame, it has no scores, or its heatmaps are missing and were not requested;
                422: the model has no such label.
        """
        found = self._explanation_of(self._frames.get(frame_id), labels)
        if found is None:
            raise Problem(
                404, gettext("these heatmaps are not there, and were not requested in the last minute: POST here")
            )
        return found

    def _explanation_of(self, frame: StoredFrame, labels: Collection[str]) -> ExplanationView | None:
        """Return the heatmaps of a frame, or the state of their request; None if there is neither.

        Raises:
            Problem: 404: the frame has no scores; 422: the model has no such label.
        """
        verdict = frame.verdict
        if not verdict.findings:
            raise Problem(
                404,
                gettext(
                    "this frame has no scores, so nothing can be explained: %(reason)s", reason=reported(verdict.reason)
                ),
            )
        if unknown := sorted(set(labels) - verdict.findings.keys()):
            known = ", ".join(verdict.findings)
            raise Problem(
                422,
                gettext(
                    "label: the model of this frame has no %(unknown)s: its labels are %(known)s",
                    unknown=", ".join(unknown),
                    known=known,
                ),
            )
        heatmaps = frame.explanation.heatmaps.keys() if frame.explanation else set()
        if heatmaps and heatmaps >= set(labels):
            return ExplanationView.of(frame, ExplanationState.READY, self._trust(frame))
        request = self._frames.request_of(verdict.frame.frame_id)
        if request is None or not request.labels >= set(labels):
            return None
        answered = request.is_answered(frame)
        return ExplanationView.of(frame, ExplanationState.READY if answered else ExplanationState.UNDER_WAY)

    def _trust(self, frame: StoredFrame) -> Trust:
        if frame.explanation is None or not frame.explanation.heatmaps:
            return NOT_MEASURED
        return self._trust_of(frame.verdict.recipe, frame.explanation.model_version)

    def _file(self, frame: StoredFrame, key: str | None, otherwise: str) -> ServedImage:
        """Return a file of a frame. The key comes from a message, so only the frame's own files are returned.

        Raises:
            Problem: 404: there is no such file, with the text ``otherwise`` if the frame has none; or it is too large.
            StorageError: object storage is not available.
        """
        if key is None or not frame.verdict.frame.owns(key):
            raise Problem(404, otherwise)
        try:
            content = self._store.get(key, FILE_LIMIT)
        except ObjectNotFound as error:
            raise Problem(404, gettext("it is not in object storage yet, or no longer")) from error
        except ObjectTooLarge as error:
            raise Problem(
                404, gettext("it is too large to be an image of a frame: %(error)s", error=reported(error))
            ) from error
        return ServedImage(content, CONTENT_TYPES.get(key.rpartition(".")[2], "application/octet-stream"))


def severity(frame: FrameView) -> float:
    """Return how far the score of the frame's worst fault is beyond its threshold, 0 to 1; 0 if there is no fault.

    The score of a label that must not be there is above its threshold, that of a missing one is below.
    """
    faults = [found for found in frame.findings.values() if found.fault]
    return max((abs(found.score - found.threshold) for found in faults), default=0.0)
