"""The requests and answers of the API about lines, cameras and workers."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, Field

from services.dashboard.statistics.buckets import BucketLength
from services.dashboard.statistics.rates import Rate, rate
from services.dashboard.store.counting import Counts
from shared.messages import (
    CameraSight,
    CameraState,
    CheckReport,
    DueCheck,
    FrameInspected,
    OutputReport,
    PartAction,
    PartDecided,
    PartVerdict,
    Verdict,
)


class LineState(StrEnum):
    """What the page of a line says first."""

    OK = "ok"
    NG = "ng"
    BEHIND = "behind"
    """Frames are inspected, but so late that a verdict says nothing about the present."""
    NOT_INSPECTED = "not_inspected"
    """Product passes, or may pass, without inspection."""
    CAMERA_LOST = "camera_lost"
    CAMERA_BLIND = "camera_blind"
    """A camera sends images in which nothing can be inspected: frozen, dark, overexposed, covered or blurred."""
    STOPPED = "stopped"
    """No camera is running, and no frame waits for inspection."""


class CameraView(BaseModel):
    """A camera by its last report."""

    camera: str
    state: CameraState
    lost: bool = Field(
        description="the camera should be running, but it sends no reports, or it reports that it can't capture"
    )
    reason: str
    sight: CameraSight = Field(description="whether the camera's images can be inspected")
    frames_per_second: float
    captured: int = Field(description="frames of this run of the camera")
    dropped: int
    unreadable: int = Field(description="unreadable images of this run, which became no frames")
    triggers: int = Field(
        description="triggers of this run: captured + missed triggers; 0 if the camera is not triggered"
    )
    missed_triggers: int = Field(description="triggers of this run that came while it was busy or away")
    waiting: int = Field(description="buffered frames: those that wait in the camera's outbox")
    recipe: str | None = Field(description="recipe of its next part; null: that of the workers (INFERENCE_RECIPE)")
    reported_at: datetime = Field(description="time of the report by the camera's clock")
    received_at: datetime = Field(description="time at which the last report arrived")
    clock_skew_seconds: float = Field(
        description="camera's clock minus the dashboard's, when the report arrived; negative also if the report was "
        "delayed"
    )


class WorkerView(BaseModel):
    """An inference worker or explainer by its last report."""

    service: str
    worker: str
    host: str = Field(description="name of its machine or container")
    recipe: str | None
    model_version: str | None
    handled: int = Field(description="number of messages that the worker has handled since its start")
    messages_per_second: float = Field(description="handled by the worker between its last two reports")
    started_at: datetime | None
    reason: str = Field(description="what hinders the worker; empty if nothing does")
    lost: bool = Field(description="whether the worker has sent no report for too long")
    received_at: datetime = Field(description="time at which the last report arrived")
    reported_at: datetime


class LastFrame(BaseModel):
    """The frame whose verdict arrived last."""

    frame_id: str
    verdict: Verdict
    reason: str
    captured_at: datetime
    inspected_at: datetime
    batch: str | None
    part: str | None
    present: list[str] = Field(description="labels that are present; for exclusive classes, the class")

    @classmethod
    def of(cls, verdict: FrameInspected) -> Self:
        return cls(
            **verdict.frame.model_dump(include={"batch", "part"}),
            present=[label for label, found in verdict.findings.items() if found.present],
            frame_id=verdict.frame.frame_id,
            verdict=verdict.verdict,
            reason=verdict.reason,
            captured_at=verdict.frame.captured_at,
            inspected_at=verdict.at,
        )


class LastPart(BaseModel):
    """The part whose decision arrived last."""

    part: str
    verdict: PartVerdict
    action: PartAction
    reason: str
    captured_at: datetime
    decided_at: datetime

    @classmethod
    def of(cls, decision: PartDecided) -> Self:
        return cls(
            part=decision.part,
            verdict=decision.verdict,
            action=decision.action,
            reason=decision.reason,
            captured_at=decision.frame.captured_at,
            decided_at=decision.at,
        )


class LabelRate(BaseModel):
    """How many frames have one label, and how many are NG because of it."""

    scored: int = Field(description="frames that a model scored on this label")
    present: int = Field(description="frames that have the label")
    faults: int = Field(description="frames that this label made NG")
    fault_rate: Rate | None = Field(description="faults / scored; null without scored frames")
    presence_rate: Rate | None = Field(description="present / scored; null without scored frames")


class PartCounts(BaseModel):
    """The parts that a gateway decided about: decided = ok + NG + not inspected."""

    decided: int
    ok: int
    ng: int
    not_inspected: int = Field(
        description="no frame was NG, and a frame was missing at the deadline, came late, or has the verdict `error`"
    )
    unchecked: int = Field(description="of all, those that were decided while a check of the line was due")
    defect_rate: Rate | None = Field(description="NG parts of all parts that are ok or NG; null without such parts")

    @classmethod
    def of(cls, counts: Counts) -> Self | None:
        """Return the parts of counts; None if no gateway runs or the recipe has no parts."""
        if not counts.parts:
            return None
        return cls(
            decided=counts.parts,
            ok=counts.part_ok,
            ng=counts.part_ng,
            not_inspected=counts.part_not_inspected,
            unchecked=counts.part_unchecked,
            defect_rate=rate(counts.part_ng, counts.part_ok + counts.part_ng),
        )


class LineAccounting(BaseModel):
    """The accounting of a line's frames: captured = inspected + dropped + parked + in flight."""

    captured: int
    inspected: int = Field(description="frames with a verdict")
    ok: int
    ng: int
    error: int = Field(description="inspected frames with the verdict `error`: the image could not be used")
    dropped: int = Field(description="frames that neither the broker nor the camera's outbox accepted")
    unreadable: int = Field(
        description="images of the sources that became no frames: damaged, or sent again by a frozen camera; they are "
        "not among the captured frames"
    )
    triggers: int = Field(description="triggers of triggered cameras: captured + missed triggers")
    missed_triggers: int = Field(description="triggers that came while a camera was busy or away, and got no image")
    parked: int | None = Field(
        description="parked frames; null if the broker may have parked frames of another line (it does not say which): "
        "parked frames then count as in flight"
    )
    in_flight: int = Field(description="captured frames without a verdict so far")
    waiting: int = Field(description="buffered frames: those in flight that wait in the outbox of a camera")
    flagged: int
    explained: int = Field(description="flagged frames with heatmaps")
    unexplained: int = Field(description="flagged frames whose explanation has no heatmap")
    defect_rate: Rate | None = Field(description="NG frames of all frames that are ok or NG; null without such frames")
    defect_rates: dict[str, float] = Field(description="share of the scored frames that a label made NG, by label")
    labels: dict[str, LabelRate] = Field(description="numbers of frames, and rates with intervals, by label")
    model_versions: list[str] = Field(
        description="versions that inspected frames; the version of the newest frame first"
    )
    parts: PartCounts | None = Field(description="null where nothing decides about parts")


class GatewayView(BaseModel):
    """The gateway of a line by its last report."""

    gateway: str
    online: bool = Field(description="the signal `online` that the PLC gets: the line inspects parts")
    ready: bool = Field(description="the signal `ready` that the PLC gets: the line is online, and no check is due")
    reason: str = Field(description="why the line is not online")
    lost: bool = Field(description="whether the gateway has sent no report for too long")
    outputs: list[OutputReport]
    check: CheckReport | None = Field(None, description="the start-of-shift check that runs, or ended last")
    due_check: DueCheck | None = Field(
        None, description="the start-of-shift check that is due; null: none is, or the recipe requires none"
    )
    received_at: datetime = Field(description="time at which the last report arrived")


class OutputTest(BaseModel):
    """A test signal that was requested."""

    test_id: str = Field(description="ID of the test; the signal carries it as the name of the part")


class LineView(BaseModel):
    """The present state of a line."""

    line: str
    state: LineState
    reason: str = Field(description="why the line has this state, as one sentence")
    last_frame: LastFrame | None
    last_part: LastPart | None = Field(description="null where nothing decides about parts")
    frames_per_second: float = Field(description="verdicts per second, over the last 10 s")
    latency_ms: float | None = Field(description="median time from capture to verdict of the last 100 frames")
    behind_seconds: float | None = Field(
        description="the age of the last inspected frame when its verdict arrived, corrected by its camera's clock; "
        "null while the line is up to date"
    )
    latency_limit_seconds: float = Field(description="a line with a higher latency is behind")
    shift: int = Field(description="the number of the present shift of the day, from 1")
    recipe: str | None = Field(description="recipe of the last frame")
    model_version: str | None = Field(description="model version of the last frame")
    cameras: list[CameraView]
    gateway: GatewayView | None = Field(description="null where no gateway has reported")
    accounting: LineAccounting
    at: datetime


class LineList(BaseModel):
    """All lines."""

    lines: list[LineView]


class Bucket(BaseModel):
    """The frames captured in one minute, hour or day."""

    start: datetime
    inspected: int
    ok: int
    ng: int
    error: int
    flagged: int
    explained: int
    defect_rate: Rate | None
    labels: dict[str, LabelRate]
    frames_by_model_version: dict[str, int] = Field(description="inspected frames by model version")


class LineStatistics(BaseModel):
    """Counts and defect rates of a line's frames, by time and in total. Buckets without frames are left out."""

    line: str
    step: BucketLength
    start: datetime
    end: datetime
    total: Bucket
    buckets: list[Bucket]


class FilterValues(BaseModel):
    """The values that a filter may have."""

    lines: list[str]
    cameras: list[str]
    batches: list[str]
    models: list[str]
    labels: list[str]
    shifts: int = Field(description="shifts of a day")
