"""The accounting of frames: by camera and by hour of capture."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from services.dashboard.accounting.parked import ParkedMessages
from services.dashboard.accounting.schemas import (
    Accounting,
    Balance,
    CameraBalance,
    HourBalance,
    ParkedList,
    UnreadableObject,
)
from services.dashboard.ingest.watermark import Watermark
from services.dashboard.lines.repository import CameraCounts, CameraRepository, LineRepository
from services.dashboard.settings import LONGEST_ACCOUNT_DAYS
from services.dashboard.statistics.buckets import BucketLength, starts_between
from services.dashboard.store.counting import Counting
from services.dashboard.web.problems import Problem
from shared.language import gettext
from shared.messages import FrameCaptured, FrameDeferred, FrameInspected, FrameReturned
from shared.messaging.port import MessagingError
from shared.storage.records import unreadable_records

LONGEST: Final = timedelta(days=LONGEST_ACCOUNT_DAYS)
"""Counts by hour and camera are stored for a few days more, unless the settings shorten this."""
PARKED_SECONDS: Final = 0.5
"""The accounting waits this long for the parked messages, so that a page is answered well within the time limit of a
request. Without a list it is incomplete, and says so."""
UNINSPECTED: Final = {kind.__name__ for kind in (FrameCaptured, FrameDeferred, FrameReturned, FrameInspected)}
"""Types of messages whose frames are not inspected or counted while the message is parked."""

Place = tuple[str, str, datetime]
"""Line, camera, beginning of the hour."""


class AccountingService:
    """Answers about the accounting of frames."""

    def __init__(
        self,
        lines: LineRepository,
        counting: Counting,
        cameras: CameraRepository,
        watermark: Watermark,
        parked: ParkedMessages,
    ) -> None:
        self._lines = lines
        self._counting = counting
        self._cameras = cameras
        self._watermark = watermark
        self.parked = parked

    def account(self, first: datetime, last: datetime, line: str | None = None) -> Accounting:
        """Return what became of the frames that were captured from ``first`` to ``last``, widened to whole hours.

        Raises:
            Problem: 404: there is no such line; 422: the window is empty or too long.
        """
        return self.overview(first, last, line)[0]

    def overview(
        self, first: datetime, last: datetime, line: str | None = None
    ) -> tuple[Accounting, ParkedList | None]:
        """Return the same with the parked messages, which are None while the broker is away; raises as `account`."""
        if line:
            self._lines.check(line)
        if first >= last:
            raise Problem(422, gettext("from: give a time before `to`"))
        if last - first > LONGEST:
            raise Problem(
                422,
                gettext("from: at most %(days)s days; counts by camera and hour expire after that", days=LONGEST.days),
            )
        starts = starts_between(BucketLength.HOUR, first, last)
        lines = [line] if line else self._lines.all()
        found: ParkedList | None = None
        with suppress(MessagingError):
            found = self.parked.look(PARKED_SECONDS)
        parked = Counter(
            (view.line or "", view.camera or "", BucketLength.HOUR.start(view.captured_at))
            for view in (found.parked if found else [])
            if view.message in UNINSPECTED and view.captured_at
        )
        hours = [hour for name in lines for hour in self._of_line(name, starts, parked)]
        by_camera: dict[tuple[str, str], Balance] = defaultdict(Balance)
        for hour in hours:
            by_camera[hour.line, hour.camera] += hour
        account = Accounting(
            start=starts[0],
            end=starts[-1] + BucketLength.HOUR.length,
            total=sum(hours, Balance()),
            cameras=[
                CameraBalance(line=line, camera=camera, **by_camera[line, camera].model_dump())
                for line, camera in sorted(by_camera)
            ],
            hours=sorted(hours, key=lambda hour: hour.start, reverse=True),
            complete=found is not None and found.complete,
            restored=self._watermark.last_restoration(),
            unreadable_objects=[
                UnreadableObject(key=key, reason=reason) for key, reason in sorted(unreadable_records().items())
            ],
        )
        return account, found

    def _of_line(self, line: str, starts: list[datetime], parked: Counter[Place]) -> Iterator[HourBalance]:
        end = starts[-1] + BucketLength.HOUR.length
        reported = {camera.message.camera for camera in self._cameras.of_line(line)}
        for camera in sorted(reported.union(self._counting.slices(line, "camera"))):
            by_hour = self._cameras.by_hour(line, camera, starts[0], end)
            counted = self._counting.buckets(line, BucketLength.HOUR, starts, f"camera={camera}")
            for start, counts in zip(starts, counted, strict=True):
                balance = Balance.settle(
                    inspected=counts.inspected,
                    parked=parked[line, camera, start],
                    camera=by_hour.get(start, CameraCounts()),
                )
                if balance.captured or balance.unreadable or balance.missed_triggers:
                    yield HourBalance(line=line, camera=camera, start=start, **balance.model_dump())
