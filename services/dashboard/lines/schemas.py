"""What the API says about lines."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from services.dashboard.statistics.rates import Rate
from services.dashboard.statistics.steps import Step
from shared.messages import CameraState, Verdict


class LineState(StrEnum):
    """What an operator must see of a line first."""

    OK = "ok"
    NG = "ng"
    NOT_INSPECTED = "not_inspected"
    """Product passes, or may pass, without inspection."""
    CAMERA_LOST = "camera_lost"
    STOPPED = "stopped"
    """No camera is running, and no frame waits for inspection."""


class CameraView(BaseModel):
    """A camera, as it said last."""

    camera: str
    state: CameraState
    lost: bool = Field(description="it should be running, and has said nothing for too long, or says that it can't")
    reason: str
    frames_per_second: float
    captured: int = Field(description="of this run of the camera")
    dropped: int
    waiting: int = Field(description="frames in its outbox")
    reported_at: datetime = Field(description="by the camera's clock")
    received_at: datetime = Field(description="when the last report arrived")
    clock_skew_seconds: float = Field(
        description="how far its clock was ahead when its report arrived; negative: behind, or the report waited"
    )


class WorkerView(BaseModel):
    """An inference worker or explainer, as it said last."""

    service: str
    worker: str
    model_version: str | None
    handled: int
    lost: bool = Field(description="it has said nothing for too long")
    received_at: datetime = Field(description="when the last report arrived")
    reported_at: datetime


class LastFrame(BaseModel):
    """The frame whose verdict arrived last."""

    frame_id: str
    verdict: Verdict
    reason: str
    captured_at: datetime
    inspected_at: datetime


class LabelRate(BaseModel):
    """One label in a bucket."""

    scored: int = Field(description="frames that a model scored on this label")
    present: int
    faults: int = Field(description="frames that this label made NG")
    rate: Rate | None = Field(description="faults of scored")


class Accounting(BaseModel):
    """Where every frame of a line went: captured = inspected + dropped + parked + in flight."""

    captured: int
    inspected: int
    ok: int
    ng: int
    error: int = Field(description="inspected, and found to be no image that can be inspected")
    dropped: int = Field(description="neither the broker nor the camera's outbox would take them")
    parked: int | None = Field(
        description="put aside by the broker; it does not say of which line, so null when it may be of another: "
        "then they are among those in flight"
    )
    in_flight: int = Field(description="captured, and not heard of since")
    waiting: int = Field(description="of those in flight: in an outbox of a camera, as far as it said")
    flagged: int
    explained: int = Field(description="flagged frames that got heatmaps")
    unexplained: int = Field(description="flagged frames that the explainer answered without a heatmap")
    defect_rate: Rate | None = Field(description="NG of those found ok or NG; null when there are none")
    defect_rates: dict[str, float] = Field(description="by label: frames made NG by it, of those scored on it")
    labels: dict[str, LabelRate] = Field(description="the same with counts and intervals")
    model_versions: list[str] = Field(description="that inspected; the one that inspected the last frame first")


class LineView(BaseModel):
    """A line right now."""

    line: str
    state: LineState
    reason: str = Field(description="why the line has this state, as one sentence")
    last_frame: LastFrame | None
    frames_per_second: float = Field(description="verdicts that arrived, over the last 10 s")
    delay_ms: float | None = Field(description="median from capture to verdict of the last 100 frames")
    recipe: str | None = Field(description="of the last frame")
    model_version: str | None = Field(description="of the last frame")
    cameras: list[CameraView]
    accounting: Accounting
    at: datetime


class LineList(BaseModel):
    """All lines."""

    lines: list[LineView]


class Bucket(BaseModel):
    """The frames captured in a stretch of time."""

    start: datetime
    inspected: int
    ok: int
    ng: int
    error: int
    flagged: int
    explained: int
    defect_rate: Rate | None
    labels: dict[str, LabelRate]
    models: dict[str, int] = Field(description="frames by the model version that inspected them")


class Rates(BaseModel):
    """Defect rates of a line over time, and over the whole of it. Buckets without a frame are left out."""

    line: str
    step: Step
    start: datetime
    end: datetime
    total: Bucket
    buckets: list[Bucket]


class Choices(BaseModel):
    """What can be asked for."""

    lines: list[str]
    cameras: list[str]
    batches: list[str]
    models: list[str]
    labels: list[str]
    shifts: int
