"""Rates with their confidence intervals, which are wide for few frames."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from shared.intervals import proportion


class Rate(BaseModel):
    """A share of frames, with its 95 % interval."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"example": {"value": 0.02, "low": 0.0055, "high": 0.07}})

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1, description="lower end of the 95 % Wilson interval")
    high: float = Field(ge=0, le=1, description="upper end of the 95 % Wilson interval")


def rate(hits: int, frames: int) -> Rate | None:
    """Return the share of hits with its Wilson score interval; None if there are no frames.

    Raises:
        ValueError: there are more hits than frames, or a number is negative.
    """
    interval = proportion(hits, frames)
    return Rate(value=hits / frames, low=interval[0], high=interval[1]) if interval else None
