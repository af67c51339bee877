"""The requests and answers of the API about quality over time."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from services.dashboard.frames.schemas import FrameView
from services.dashboard.lines.schemas import PartCounts
from services.dashboard.quality.filter import ComparedBy
from services.dashboard.statistics.control_chart import RunRule
from services.dashboard.statistics.difference import Difference
from services.dashboard.statistics.rates import Rate
from services.dashboard.statistics.windows import Subgroup
from shared.messages import LineChecked


class Point(BaseModel):
    """The frames captured in one point of a chart."""

    start: datetime
    end: datetime
    shift: int | None = Field(description="number of the shift in the day, from 1, if every point is a shift")
    frames: int = Field(description="frames that are ok or NG, or that were scored on the label")
    hits: int = Field(description="NG frames, or frames made NG by the label")
    rate: Rate | None
    low: float | None = Field(description="lower control limit; null without frames")
    high: float | None = Field(description="upper control limit")
    above: bool = Field(description="whether the rate is above the centre")
    rules: list[RunRule] = Field(description="Western Electric rules that this point breaks; empty if it breaks none")
    enough: bool = Field(description="whether there are enough frames for the rules about several points")
    models: dict[str, int] = Field(description="inspected frames by model version")


class ModelChange(BaseModel):
    """A point at which another model began to inspect."""

    at: datetime = Field(description="beginning of the first point with verdicts of the model")
    version: str


class Chart(BaseModel):
    """A control chart of shares (p-chart) after Laney."""

    start: datetime
    end: datetime
    subgroup: Subgroup
    label: str | None = Field(description="null: all NG frames")
    frames: int
    hits: int
    rate: Rate | None
    centre: float | None = Field(
        description="centre line: the overall share of the frames that make the limits; null without frames"
    )
    spread: float | None = Field(
        description="σz: the deviation of the points divided by that of binomial chance; at least 1"
    )
    provisional: bool = Field(description="whether the limits come from fewer than 20 points")
    frames_for_rules: int | None = Field(description="frames that a point needs for the rules about several points")
    points: list[Point]
    changes: list[ModelChange]


class LabelCount(BaseModel):
    """How many frames a label made NG."""

    label: str
    faults: int
    scored: int
    rate: Rate | None
    cumulative: float = Field(description="share of all faults that this label and those before it have")


class QualityView(BaseModel):
    """Quality over a window."""

    chart: Chart
    labels: list[LabelCount] = Field(description="Pareto: the most frequent first")
    inspected: int = Field(description="frames with a verdict")
    error: int = Field(description="inspected frames with the verdict `error`, which are in no rate")
    parts: PartCounts | None = Field(description="null if nothing decides about parts")


class GroupCount(BaseModel):
    """The frames of one model, batch, camera or shift."""

    name: str
    frames: int
    hits: int
    rate: Rate | None


class Breakdown(BaseModel):
    """The rates of a window by model, batch, camera or shift; groups without frames are left out."""

    by: ComparedBy
    label: str | None = Field(description="null: all NG frames")
    groups: list[GroupCount]


class WindowCount(BaseModel):
    """One of two windows."""

    start: datetime
    end: datetime
    frames: int
    hits: int
    rate: Rate | None


class LabelDifference(BaseModel):
    """One label in both windows."""

    label: str | None = Field(description="null: all NG frames")
    window: WindowCount
    against: WindowCount
    difference: Difference | None = Field(description="window minus against; null if one of them has no frames")


class WindowComparison(BaseModel):
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
    parts: PartCounts | None = Field(description="null if nothing decides about parts")


class BatchList(BaseModel):
    """The batches of a line, the one with the newest frame first."""

    batches: list[BatchView]


class BatchReport(BaseModel):
    """The report of a batch."""

    batch: BatchView
    labels: list[LabelCount]
    models: dict[str, int] = Field(description="inspected frames by model version")
    worst: list[FrameView] = Field(description="the NG frames whose faults are farthest beyond their thresholds")
    checks: list[LineChecked] = Field(
        description="start-of-shift checks of the line during the batch, and the last one before; no count has them"
    )
