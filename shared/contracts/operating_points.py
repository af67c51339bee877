"""Operating points of a model: thresholds of all labels together, with the escapes and the overkill to expect.

They are in ``evaluation.json``, below ``operating_points``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from shared.intervals import Interval
from shared.validation import marked


class OperatingPointName(StrEnum):
    """What the thresholds are chosen for."""

    FEW_ESCAPES = "few-escapes"
    BALANCED = "balanced"
    FEW_FALSE_REJECTS = "few-false-rejects"
    LEAST_COST = "least-cost"
    """Only if the recipe has a defect rate."""
    ALLOWED_OVERKILL = "allowed-overkill"
    """Only of a model that learned from good images alone."""


MEANINGS: Final = {
    OperatingPointName.FEW_ESCAPES: marked("the least overkill with at most 2 % escapes"),
    OperatingPointName.BALANCED: marked(
        "the fewest escapes with at most 20 % overkill, where that beats having no model"
    ),
    OperatingPointName.FEW_FALSE_REJECTS: marked("the fewest escapes with at most 2 % overkill"),
    OperatingPointName.LEAST_COST: marked("the least cost, by the recipe's costs and defect rate"),
    OperatingPointName.ALLOWED_OVERKILL: marked("the overkill that is allowed, 5 % by default (good images alone)"),
}
"""What the thresholds of each operating point are chosen for, in words."""


class OperatingPoint(BaseModel):
    """Thresholds of all labels, and how many verdicts are right with them on held-out images."""

    model_config = ConfigDict(frozen=True)

    thresholds: dict[str, float] = Field(description="threshold by label")
    probability: float = Field(description="probability of the likeliest fault from which on a part is NG")
    escapes: int = Field(description="NG parts that were called ok")
    ng: int = Field(description="NG parts")
    overkills: int = Field(description="ok parts that were called NG")
    ok: int = Field(description="ok parts")
    escape_rate: float | None
    overkill_rate: float | None
    verdict_accuracy: float
    cost: float = Field(description="cost per part, at the recipe's costs and defect rate")
    intervals: dict[str, Interval] = Field(description="95 % intervals, by the name of the figure")


class OperatingPoints(BaseModel):
    """The operating points of a model, and the one whose thresholds it has."""

    model_config = ConfigDict(frozen=True)

    chosen: OperatingPointName | None = Field(description="null if the thresholds were set by hand")
    images: int
    groups: int
    all_ok_right: float = Field(description="share of right verdicts if every part were called ok")
    all_ng_right: float = Field(description="share of right verdicts if every part were called NG")
    advice: tuple[str, ...] = Field((), description="why the verdicts are not usable, and what would help")
    points: dict[OperatingPointName, OperatingPoint]

    @property
    def of_model(self) -> OperatingPoint | None:
        """Return the operating point whose thresholds the model has; None if they were set by hand."""
        return self.points[self.chosen] if self.chosen else None
