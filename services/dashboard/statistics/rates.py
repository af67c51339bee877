"""Rates with the interval in which the true one lies: few frames say little, and a page should not hide that."""

from __future__ import annotations

from math import sqrt
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

Z95: Final = 1.959963984540054
"""The 97.5th percentile of the normal distribution: a two-sided interval of 95 %."""


class Rate(BaseModel):
    """A share of frames, with its 95 % interval."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"example": {"value": 0.02, "low": 0.0055, "high": 0.07}})

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1, description="lower end of the 95 % Wilson interval")
    high: float = Field(ge=0, le=1, description="upper end of the 95 % Wilson interval")


def rate(hits: int, frames: int) -> Rate | None:
    """The share of hits with its Wilson score interval; None of no frames.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927): unlike the
    textbook interval it holds for rare defects and never leaves 0 to 1.

    Raises:
        ValueError: more hits than frames, or fewer than none.
    """
    if not 0 <= hits <= frames:
        raise ValueError(f"{hits} of {frames} is no share")
    if frames == 0:
        return None
    share, weight = hits / frames, Z95**2 / frames
    centre = (share + weight / 2) / (1 + weight)
    spread = Z95 / (1 + weight) * sqrt(share * (1 - share) / frames + weight / (4 * frames))
    low = 0.0 if hits == 0 else max(0.0, centre - spread)
    high = 1.0 if hits == frames else min(1.0, centre + spread)
    return Rate(value=share, low=low, high=high)
