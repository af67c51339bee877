"""Lines: their states, their defect rates over time, and the accounting of their frames."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from ulid import ULID

from services.dashboard.ingest.command_publisher import CommandPublisher
from services.dashboard.lines.repository import (
    CameraRepository,
    GatewayRepository,
    LineRepository,
    ReceivedMessage,
    ThroughputRepository,
    WorkerRepository,
)
from services.dashboard.lines.schemas import (
    Bucket,
    CameraView,
    FilterValues,
    GatewayView,
    LabelRate,
    LastFrame,
    LastPart,
    LineAccounting,
    LineStatistics,
    LineView,
    OutputTest,
    PartCounts,
    WorkerView,
)
from services.dashboard.lines.state import LineFacts, state_of
from services.dashboard.settings import DashboardSettings
from services.dashboard.statistics.buckets import BucketLength, starts_between
from services.dashboard.statistics.rates import rate
from services.dashboard.store.counting import Counting, Counts
from services.dashboard.web.problems import Problem
from shared.language import gettext
from shared.messages import CameraReported, FrameInspected, OutputTestRequested
from shared.validation import marked

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
    """Answers about lines, cameras and workers."""

    def __init__(
        self,
        lines: LineRepository,
        counting: Counting,
        cameras: CameraRepository,
        workers: WorkerRepository,
        throughput: ThroughputRepository,
        *,
        gateways: GatewayRepository,
        commands: CommandPublisher,
        last_verdicts: LastVerdicts,
        parked_frames: Callable[[], int | None],
        incomplete_counts: Callable[[], bool],
        settings: DashboardSettings,
    ) -> None:
        """``parked_frames`` returns how many frames the broker has parked; None if the number is unknown.

        ``incomplete_counts`` returns whether frames are still counted from the archive.
        """
        self._lines = lines
        self._counting = counting
        self._cameras = cameras
        self._workers = workers
        self._throughput = throughput
        self._gateways = gateways
        self._commands = commands
        self._last_verdicts = last_verdicts
        self._parked_frames = parked_frames
        self._incomplete_counts = incomplete_counts
        self._ng_hold = timedelta(seconds=settings.ng_hold_seconds)
        self._shifts = settings.shift_times
        self._silence = timedelta(seconds=settings.silence_seconds)
        self._latency_limit = timedelta(seconds=settings.delay_seconds)

    def states(self) -> list[LineView]:
        """Return the present state of all lines."""
        return [self._state(line) for line in self._lines.all()]

    def state(self, line: str) -> LineView:
        """Return the present state of a line.

        Raises:
            Problem: 404: there is no such line.
        """
        self._lines.check(line)
        return self._state(line)

    def check(self, line: str) -> None:
        """Check that a line exists.

        Raises:
            Problem: 404: there is no such line.
        """
        self._lines.check(line)

    def accounting(self, line: str) -> LineAccounting:
        """Return the accounting of a line's frames.

        Raises:
            Problem: 404: there is no such line.
        """
        self._lines.check(line)
        return self._account(line, self._cameras.of_line(line), self._last(line)[0])

    def rates(self, line: str, step: BucketLength, first: datetime, last: datetime) -> LineStatistics:
        """Return the defect rates of the frames captured from ``first`` to ``last``, widened to whole buckets.

        Raises:
            Problem: 404: there is no such line; 422: there are too many buckets, or none.
        """
        self._lines.check(line)
        if first >= last:
            raise Problem(422, gettext("from: give a time before `to`"))
        if (last - first) / step.length > MOST_BUCKETS:
            raise Problem(
                422,
                gettext(
                    "step: more than %(most_buckets)s of these; take a longer step or a shorter time",
                    most_buckets=MOST_BUCKETS,
                ),
            )
        starts = starts_between(step, first, last)
        total, buckets = Counts(), []
        for start, counts in zip(starts, self._counting.buckets(line, step, starts), strict=True):
            total.add(counts)
            if counts.inspected or counts.explained:
                buckets.append(bucket_of(start, counts))
        end = starts[-1] + step.length
        whole = bucket_of(starts[0], total)
        return LineStatistics(line=line, step=step, start=starts[0], end=end, total=whole, buckets=buckets)

    def periods(self, now: datetime) -> dict[str, tuple[datetime, datetime | None]]:
        """Return the windows that a page offers, by name: start, and end (excluded); None: until now."""
        return {
            marked("Last hour"): (now - timedelta(hours=1), None),
            marked("This shift"): (self._shifts.start(now), None),
            marked("Yesterday"): self._shifts.yesterday(now),
        }

    def choices(self, line: str | None) -> FilterValues:
        """Return the values that a filter of frames may have: of one line, or of all."""
        lines = self._lines.all()
        chosen = [line] if line in lines else lines
        cameras, models = (
            sorted({name for each in chosen for name in self._counting.slices(each, kind)})
            for kind in ("camera", "model")
        )
        return FilterValues(
            lines=lines,
            cameras=cameras,
            batches=[name for each in chosen for name in self._counting.slices(each, "batch")],
            models=models,
            labels=sorted({label for each in chosen for label in self._counting.total(each).scored}),
            shifts=len(self._shifts.begin_times),
        )

    def test_output(self, line: str, output: str, by: str) -> OutputTest:
        """Request that the gateway sends a test signal, which is marked as a test, through an output.

        Raises:
            Problem: 404: there is no such line or output; 503: the broker is unavailable.
        """
        self._lines.check(line)
        gateway = self._gateways.of_line(line)
        outputs = [report.name for report in gateway.message.outputs] if gateway else []
        if output not in outputs:
            if not outputs:
                raise Problem(
                    404,
                    gettext(
                        "line %(line)s has no output %(output)r: no gateway has reported outputs of it",
                        line=line,
                        output=output,
                    ),
                )
            raise Problem(
                404,
                gettext(
                    "line %(line)s has no output %(output)r: its outputs are %(names)s",
                    line=line,
                    output=output,
                    names=", ".join(outputs),
                ),
            )
        test_id = f"test-{ULID()}"
        request = OutputTestRequested(test_id=test_id, line=line, output=output, by=by, at=datetime.now(UTC))
        self._commands.publish(request, applied=False)
        return OutputTest(test_id=test_id)

    def workers(self) -> list[WorkerView]:
        """Return the last report of each worker."""
        now = datetime.now(UTC)
        return [
            WorkerView(
                **worker.message.model_dump(exclude={"at"}),
                reported_at=worker.message.at,
                received_at=worker.at,
                lost=now - worker.at > self._silence,
            )
            for worker in self._workers.all()
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
            in_flight=None if self._incomplete_counts() else accounting.in_flight,
            ng_hold=self._ng_hold,
            silence=self._silence,
            latency_limit=self._latency_limit,
        )
        state, reason = state_of(facts)
        return LineView(
            line=line,
            state=state,
            reason=reason,
            last_frame=LastFrame.of(last.message) if last else None,
            last_part=LastPart.of(decision) if (decision := self._throughput.last_decision(line)) else None,
            frames_per_second=self._throughput.frames_per_second(line),
            latency_ms=self._throughput.latency_ms(line),
            behind_seconds=facts.behind.total_seconds() if facts.behind else None,
            latency_limit_seconds=self._latency_limit.total_seconds(),
            shift=self._shifts.number(self._shifts.start(now)),
            recipe=last.message.recipe if last else None,
            model_version=last.message.model_version if last else None,
            cameras=[
                CameraView(
                    **camera.message.model_dump(exclude={"session", "line", "at"}),
                    reported_at=camera.message.at,
                    received_at=camera.at,
                    clock_skew_seconds=camera.skew_seconds,
                    lost=facts.lost(camera),
                )
                for camera in cameras
            ],
            gateway=self._gateway(line, now),
            accounting=accounting,
            at=now,
        )

    def _gateway(self, line: str, now: datetime) -> GatewayView | None:
        report = self._gateways.of_line(line)
        if report is None:
            return None
        lost = now - report.at > self._silence
        return GatewayView(
            gateway=report.message.gateway,
            online=report.message.online and not lost,
            ready=report.message.ready and not lost,
            reason=report.message.reason,
            lost=lost,
            outputs=list(report.message.outputs),
            check=report.message.check,
            due_check=report.message.due_check,
            received_at=report.at,
        )

    def _last(self, line: str) -> tuple[ReceivedMessage[FrameInspected] | None, ReceivedMessage[FrameInspected] | None]:
        """Return the last verdict and the last NG verdict: by arrival, or by their times if Redis was just filled."""
        last, last_ng = self._throughput.last(line)
        if last is None and (verdict := self._last_verdicts.last_verdict(line)):
            last = _received_at_its_time(verdict)
        if last_ng is None and (verdict := self._last_verdicts.last_ng_verdict(line)):
            last_ng = _received_at_its_time(verdict)
        return last, last_ng

    def _account(
        self, line: str, cameras: list[ReceivedMessage[CameraReported]], last: ReceivedMessage[FrameInspected] | None
    ) -> LineAccounting:
        counts = self._counting.total(line)
        labels = _label_rates(counts)
        newest_version = last.message.model_version if last else ""
        parked = self._parked_frames()
        if parked and self._lines.all() != [line]:
            parked = None  # the broker does not say of which line the parked frames are
        return LineAccounting(
            captured=counts.captured,
            inspected=counts.inspected,
            ok=counts.ok,
            ng=counts.ng,
            error=counts.error,
            dropped=counts.dropped,
            unreadable=counts.unreadable,
            triggers=counts.triggers,
            missed_triggers=counts.missed_triggers,
            parked=parked,
            in_flight=max(0, counts.captured - counts.inspected - counts.dropped - (parked or 0)),
            waiting=sum(camera.message.waiting for camera in cameras),
            flagged=counts.flagged,
            explained=counts.explained,
            unexplained=counts.unexplained,
            defect_rate=rate(counts.ng, counts.conclusive),
            defect_rates={label: found.fault_rate.value for label, found in labels.items() if found.fault_rate},
            labels=labels,
            model_versions=sorted(counts.model, key=lambda version: (version != newest_version, version)),
            parts=PartCounts.of(counts),
        )


def bucket_of(start: datetime, counts: Counts) -> Bucket:
    """Return counts in the form of the API."""
    return Bucket(
        start=start,
        inspected=counts.inspected,
        ok=counts.ok,
        ng=counts.ng,
        error=counts.error,
        flagged=counts.flagged,
        explained=counts.explained,
        defect_rate=rate(counts.ng, counts.conclusive),
        labels=_label_rates(counts),
        frames_by_model_version=counts.model,
    )


def _label_rates(counts: Counts) -> dict[str, LabelRate]:
    rates = {}
    for label, scored in sorted(counts.scored.items()):
        faults = counts.fault.get(label, 0)
        present = counts.present.get(label, 0)
        rates[label] = LabelRate(
            scored=scored,
            present=present,
            faults=faults,
            fault_rate=rate(faults, scored),
            presence_rate=rate(present, scored),
        )
    return rates


def _received_at_its_time(verdict: FrameInspected) -> ReceivedMessage[FrameInspected]:
    """Return a verdict whose arrival is unknown, as if it arrived at its own time; a time in the future is ignored."""
    return ReceivedMessage(verdict, verdict.at if verdict.at <= datetime.now(UTC) else datetime.min.replace(tzinfo=UTC))
