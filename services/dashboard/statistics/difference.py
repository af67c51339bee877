"""Compare two shares."""

from __future__ import annotations

from math import hypot

from pydantic import BaseModel, ConfigDict, Field

from services.dashboard.statistics.rates import rate


class Difference(BaseModel):
    """The difference of two shares."""

    model_config = ConfigDict(frozen=True)

    value: float = Field(ge=-1, le=1)
    low: float = Field(ge=-1, le=1, description="lower end of the 95 % interval")
    high: float = Field(ge=-1, le=1, description="upper end of the 95 % interval")
    certain: bool = Field(description="the interval excludes zero: the two differ by more than chance")


def difference(hits: int, frames: int, other_hits: int, other_frames: int) -> Difference | None:
    """Return the difference of two shares with its 95 % interval; None if one of them has no frames.

    R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine 17
    (1998), method 10: computed from their Wilson intervals, so that it is valid for rare defects too.
    """
    one, other = rate(hits, frames), rate(other_hits, other_frames)
    if one is None or other is None:
        return None
    value = one.value - other.value
    low = max(-1.0, value - hypot(one.value - one.low, other.high - other.value))
    high = min(1.0, value + hypot(one.high - one.value, other.value - other.low))
    return Difference(value=value, low=low, high=high, certain=not low <= 0 <= high)
