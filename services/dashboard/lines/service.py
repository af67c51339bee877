"""Lines: their state, their rates over time, and the accounting of their frames."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from services.dashboard.lines.cameras import Cameras, Heard
from services.dashboard.lines.register import LineRegister
from services.dashboard.lines.schemas import (
    Accounting,
    Bucket,
    CameraView,
    Choices,
    LabelRate,
    LastFrame,
    LineView,
    Rates,
    WorkerView,
)
from services.dashboard.lines.state import LineFacts, state_of
from services.dashboard.lines.throughput import Arrived, Pulse
from services.dashboard.lines.workers import Workers
from services.dashboard.settings import DashboardSettings
from services.dashboard.statistics.rates import rate
from services.dashboard.statistics.steps import Step, starts_between
from services.dashboard.store.counting import Counting, Counts
from services.dashboard.web.problems import Problem
from shared.messages import FrameInspected

MOST_BUCKETS: Final = 2_000


class LastVerdicts(Protocol):
    """The last verdicts of lines by their capture times."""

    def last_verdict(self, line: str) -> FrameInspected | None:
        """Return the last verdict of a line; None if there is none."""
        ...

    def last_ng_verdict(self, line: str) -> FrameInspected | None:
        """Return the last NG verdict of a line; None if there is none."""
        ...


class LinesService:
    """What is known of lines."""

    def __init__(
        self,
        register: LineRegister,
        counting: Counting,
        cameras: Cameras,
        workers: Workers,
        pulse: Pulse,
        *,
        last_verdicts: LastVerdicts,
        parked_frames: Callable[[], int | None],
        settings: DashboardSettings,
    ) -> None:
        """``parked_frames`` returns how many frames the broker has parked; None while that is unknown."""
        self._register = register
        self._counting = counting
        self._cameras = cameras
        self._workers = workers
        self._pulse = pulse
        self._last_verdicts = last_verdicts
        self._parked_frames = parked_frames
        self._ng_hold = timedelta(seconds=settings.ng_hold_seconds)
        self._shifts_of_a_day = len(settings.working_day.begin)
        self._silence = timedelta(seconds=settings.silence_seconds)

    def states(self) -> list[LineView]:
        """All lines right now."""
        return [self._state(line) for line in self._register.all()]

    def state(self, line: str) -> LineView:
        """A line right now.

        Raises:
            Problem: 404.
        """
        self._register.check(line)
        return self._state(line)

    def accounting(self, line: str) -> Accounting:
        """Where the frames of a line went.

        Raises:
            Problem: 404.
        """
        self._register.check(line)
        return self._account(line, self._cameras.of_line(line), self._last(line)[0])

    def rates(self, line: str, step: Step, first: datetime, last: datetime) -> Rates:
        """Defect rates of the frames captured from ``first`` to ``last``, widened to whole buckets.

        Raises:
            Problem: 404; 422 when there are too many buckets, or none.
        """
        self._register.check(line)
        if first >= last:
            raise Problem(422, "from: give a time before `to`")
        if (last - first) / step.length > MOST_BUCKETS:
            raise Problem(422, f"step: more than {MOST_BUCKETS} of these; take a longer step or a shorter time")
        starts = starts_between(step, first, last)
        total, buckets = Counts(), []
        for start, counts in zip(starts, self._counting.buckets(line, step, starts), strict=True):
            total.add(counts)
            if counts.inspected or counts.explained:
                buckets.append(bucket_of(start, counts))
        end = starts[-1] + step.length
        return Rates(line=line, step=step, start=starts[0], end=end, total=bucket_of(starts[0], total), buckets=buckets)

    def choices(self, line: str | None) -> Choices:
        """What can be asked for."""
        lines = self._register.all()
        asked = [line] if line in lines else lines
        slices = {
            kind: sorted({name for of in asked for name in self._counting.slices(of, kind)})
            for kind in ("camera", "model")
        }
        labels = {label for of in asked for label in self._counting.total(of).scored}
        return Choices(
            lines=lines,
            cameras=slices["camera"],
            batches=[name for of in asked for name in self._counting.slices(of, "batch")],
            models=slices["model"],
            labels=sorted(labels),
            shifts=self._shifts_of_a_day,
        )

    def workers(self) -> list[WorkerView]:
        """The workers, as they said last."""
        now = datetime.now(UTC)
        return [
            WorkerView(
                **heard.report.model_dump(include={"service", "worker", "model_version", "handled"}),
                reported_at=heard.report.at,
                received_at=heard.at,
                lost=now - heard.at > self._silence,
            )
            for heard in self._workers.all()
        ]

    def _state(self, line: str) -> LineView:
        now = datetime.now(UTC)
        cameras = self._cameras.of_line(line)
        last, last_ng = self._last(line)
        accounting = self._account(line, cameras, last)
        facts = LineFacts(
            now=now,
            cameras=cameras,
            last=last,
            last_ng=last_ng,
            in_flight=accounting.in_flight,
            ng_hold=self._ng_hold,
            silence=self._silence,
        )
        state, reason = state_of(facts)
        return LineView(
            line=line,
            state=state,
            reason=reason,
            last_frame=_last_frame(last.verdict) if last else None,
            frames_per_second=self._pulse.frames_per_second(line),
            delay_ms=self._pulse.delay_ms(line),
            recipe=last.verdict.recipe if last else None,
            model_version=last.verdict.model_version if last else None,
            cameras=[_camera_view(camera, lost=facts.lost(camera)) for camera in cameras],
            accounting=accounting,
            at=now,
        )

    def _last(self, line: str) -> tuple[Arrived | None, Arrived | None]:
        """The last verdict and the last NG one: by their arrival, or, when Redis was just filled, by their times."""
        last, last_ng = self._pulse.last(line)
        if last is None and (verdict := self._last_verdicts.last_verdict(line)):
            last = _by_its_time(verdict)
        if last_ng is None and (verdict := self._last_verdicts.last_ng_verdict(line)):
            last_ng = _by_its_time(verdict)
        return last, last_ng

    def _account(self, line: str, cameras: list[Heard], last: Arrived | None) -> Accounting:
        counts = self._counting.total(line)
        labels = {label: _label_rate(counts, label) for label in sorted(counts.scored)}
        latest = last.verdict.model_version if last else ""
        parked = self._parked_of(line)
        return Accounting(
            captured=counts.captured,
            inspected=counts.inspected,
            ok=counts.ok,
            ng=counts.ng,
            error=counts.error,
            dropped=counts.dropped,
            parked=parked,
            in_flight=max(0, counts.captured - counts.inspected - counts.dropped - (parked or 0)),
            waiting=sum(camera.report.waiting for camera in cameras),
            flagged=counts.flagged,
            explained=counts.explained,
            unexplained=counts.unexplained,
            defect_rate=rate(counts.ng, counts.conclusive),
            defect_rates={label: found.rate.value for label, found in labels.items() if found.rate},
            labels=labels,
            model_versions=sorted(counts.model, key=lambda version: (version != latest, version)),
        )

    def _parked_of(self, line: str) -> int | None:
        parked = self._parked_frames()
        return parked if parked == 0 or self._register.all() == [line] else None


def bucket_of(start: datetime, counts: Counts) -> Bucket:
    """Counts as the API shows them."""
    return Bucket(
        start=start,
        inspected=counts.inspected,
        ok=counts.ok,
        ng=counts.ng,
        error=counts.error,
        flagged=counts.flagged,
        explained=counts.explained,
        defect_rate=rate(counts.ng, counts.conclusive),
        labels={label: _label_rate(counts, label) for label in sorted(counts.scored)},
        models=counts.model,
    )


def _label_rate(counts: Counts, label: str) -> LabelRate:
    scored, faults = counts.scored.get(label, 0), counts.fault.get(label, 0)
    return LabelRate(scored=scored, present=counts.present.get(label, 0), faults=faults, rate=rate(faults, scored))


def _by_its_time(verdict: FrameInspected) -> Arrived:
    """What was inspected in the future was inspected at an unknown time."""
    at = verdict.at
    return Arrived(verdict, at if at <= datetime.now(UTC) else datetime.min.replace(tzinfo=UTC))


def _last_frame(verdict: FrameInspected) -> LastFrame:
    return LastFrame(
        frame_id=verdict.frame.frame_id,
        verdict=verdict.verdict,
        reason=verdict.reason,
        captured_at=verdict.frame.captured_at,
        inspected_at=verdict.at,
    )


def _camera_view(camera: Heard, *, lost: bool) -> CameraView:
    return CameraView(
        **camera.report.model_dump(exclude={"session", "line", "at", "refused"}),
        dropped=camera.report.refused,
        reported_at=camera.report.at,
        received_at=camera.at,
        clock_skew_seconds=camera.skew_seconds,
        lost=lost,
    )
