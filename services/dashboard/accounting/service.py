"""The accounting of frames: by camera and by hour of capture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from services.dashboard.accounting.parked import ParkedMessages
from services.dashboard.accounting.schemas import (
    Accounting,
    CameraWhereabouts,
    HourWhereabouts,
    ParkedList,
    Unreadable,
    Whereabouts,
)
from services.dashboard.ingest.watermark import Watermark
from services.dashboard.lines.repository import CameraCounts, CameraRepository, LineRepository
from services.dashboard.statistics.steps import Step, starts_between
from services.dashboard.store.counting import Counting
from services.dashboard.web.problems import Problem
from shared.messages import FrameCaptured, FrameDeferred, FrameInspected
from shared.messaging.port import MessagingError
from shared.storage.records import unreadable

LONGEST: Final = timedelta(days=31)
"""Counts by hour and camera are kept for a few days more, unless the settings say otherwise."""
PATIENCE: Final = 0.5
"""Seconds more that an account waits for the first look at parked messages; then it is incomplete, and says so."""
UNINSPECTED: Final = {kind.__name__ for kind in (FrameCaptured, FrameDeferred, FrameInspected)}
"""Messages that, when they are parked, keep a frame from being inspected or counted."""

Place = tuple[str, str, datetime]
"""Line, camera, beginning of the hour."""


class AccountingService:
    """Says where frames are."""

    def __init__(
        self,
        register: LineRepository,
        counting: Counting,
        cameras: CameraRepository,
        watermark: Watermark,
        parked: ParkedMessages,
    ) -> None:
        self._register = register
        self._counting = counting
        self._cameras = cameras
        self._watermark = watermark
        self.parked = parked

    def account(self, first: datetime, last: datetime, line: str | None = None) -> Accounting:
        """Where the frames went that were captured from ``first`` to ``last``, widened to whole hours.

        Raises:
            Problem: 404; 422 when the time is none, or too long.
        """
        return self.overview(first, last, line)[0]

    def overview(
        self, first: datetime, last: datetime, line: str | None = None
    ) -> tuple[Accounting, ParkedList | None]:
        """The same, and the parked messages that it counts; None while the broker is away. Raises as `account`."""
        if line:
            self._register.check(line)
        if first >= last:
            raise Problem(422, "from: give a time before `to`")
        if last - first > LONGEST:
            raise Problem(422, f"from: at most {LONGEST.days} days; counts by hour and camera are not kept for longer")
        starts = starts_between(Step.HOUR, first, last)
        lines = [line] if line else self._register.all()
        found = self._look()
        parked = _places(found) if found else Counter[Place]()
        hours = [hour for name in lines for hour in self._of_line(name, starts, parked)]
        account = Accounting(
            start=starts[0],
            end=starts[-1] + Step.HOUR.length,
            total=sum(hours, Whereabouts()),
            cameras=list(_by_camera(hours)),
            hours=sorted(hours, key=lambda hour: hour.start, reverse=True),
            complete=found is not None and found.complete,
            restored=self._watermark.restored(),
            unreadable=[Unreadable(key=key, reason=reason) for key, reason in sorted(unreadable().items())],
        )
        return account, found

    def _of_line(self, line: str, starts: list[datetime], parked: Counter[Place]) -> Iterator[HourWhereabouts]:
        end = starts[-1] + Step.HOUR.length
        for camera in sorted(self._counting.slices(line, "camera")):
            taken = self._cameras.by_hour(line, camera, starts[0], end)
            counted = self._counting.buckets(line, Step.HOUR, starts, f"camera={camera}")
            for start, counts in zip(starts, counted, strict=True):
                took = taken.get(start, CameraCounts())
                where = Whereabouts.settle(
                    captured=took.captured,
                    inspected=counts.inspected,
                    dropped=took.dropped,
                    parked=parked[line, camera, start],
                )
                if where.captured:
                    yield HourWhereabouts(line=line, camera=camera, start=start, **where.model_dump())

    def _look(self) -> ParkedList | None:
        try:
            return self.parked.look(PATIENCE)
        except MessagingError:
            return None


def _places(found: ParkedList) -> Counter[Place]:
    return Counter(
        (view.line or "", view.camera or "", Step.HOUR.start(view.captured_at))
        for view in found.parked
        if view.message in UNINSPECTED and view.captured_at
    )


def _by_camera(hours: list[HourWhereabouts]) -> Iterator[CameraWhereabouts]:
    for line, camera in sorted({(hour.line, hour.camera) for hour in hours}):
        of_camera = (hour for hour in hours if (hour.line, hour.camera) == (line, camera))
        yield CameraWhereabouts(line=line, camera=camera, **sum(of_camera, Whereabouts()).model_dump())
