"""What the API says about quality over time."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from services.dashboard.frames.schemas import FrameView
from services.dashboard.statistics.comparison import Difference
from services.dashboard.statistics.control_chart import Rule
from services.dashboard.statistics.rates import Rate
from services.dashboard.statistics.windows import Every


class Point(BaseModel):
    """The frames captured in one stretch of time."""

    start: datetime
    end: datetime
    shift: int | None = Field(description="which of the day, from 1, when every point is a shift")
    frames: int = Field(description="that could be inspected")
    hits: int = Field(description="NG frames, or frames made NG by the label")
    rate: Rate | None
    low: float | None = Field(description="lower control limit; null without frames")
    high: float | None = Field(description="upper control limit")
    above: bool = Field(description="the rate is above the centre")
    rules: list[Rule] = Field(description="of Western Electric that this point breaks; empty when nothing stands out")
    enough: bool = Field(description="frames enough for the rules about several points")
    models: dict[str, int] = Field(description="frames by the model version that inspected them")


class ModelChange(BaseModel):
    """Another model inspected from here on."""

    at: datetime = Field(description="beginning of the first point in which it inspected")
    version: str


class Chart(BaseModel):
    """A control chart of shares (p-chart) after Laney."""

    start: datetime
    end: datetime
    every: Every
    label: str | None = Field(description="null: NG for whatever reason")
    frames: int
    hits: int
    rate: Rate | None
    centre: float | None = Field(description="the share that the limits are around; null without frames")
    spread: float | None = Field(description="how much more points differ than by binomial chance; 1: not at all")
    provisional: bool = Field(description="limits of fewer than 20 points")
    frames_for_rules: int | None = Field(description="frames that a point needs for the rules about several points")
    points: list[Point]
    changes: list[ModelChange]


class LabelCount(BaseModel):
    """How often a label made frames NG."""

    label: str
    faults: int
    scored: int
    rate: Rate | None
    cumulative: float = Field(description="share of this label and those before it in all faults")


class QualityView(BaseModel):
    """Quality over a window."""

    chart: Chart
    labels: list[LabelCount] = Field(description="Pareto: the most frequent first")
    inspected: int = Field(description="frames that got a verdict")
    error: int = Field(description="of those: could not be inspected, and are in no rate")


class WindowCount(BaseModel):
    """One of two windows."""

    start: datetime
    end: datetime
    frames: int
    hits: int
    rate: Rate | None


class LabelDifference(BaseModel):
    """One label in both windows."""

    label: str | None = Field(description="null: NG for whatever reason")
    window: WindowCount
    against: WindowCount
    difference: Difference | None = Field(description="window minus against; null when one of them has no frames")


class Comparison(BaseModel):
    """Two windows side by side: NG first, then each label."""

    rows: list[LabelDifference]


class BatchView(BaseModel):
    """A batch of a line."""

    line: str
    batch: str
    first_captured_at: datetime
    last_captured_at: datetime
    inspected: int
    ok: int
    ng: int
    error: int
    rate: Rate | None


class BatchList(BaseModel):
    """The batches of a line, the one with the newest frame first."""

    batches: list[BatchView]


class BatchReport(BaseModel):
    """Everything that is told about one batch."""

    batch: BatchView
    labels: list[LabelCount]
    models: dict[str, int] = Field(description="frames by the model version that inspected them")
    worst: list[FrameView] = Field(description="NG frames with the highest scores of their faults")
