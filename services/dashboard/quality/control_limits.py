"""Choose the samples for control limits: those of the window itself, or of a window of the same length before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from services.dashboard.statistics.control_chart import Sample


class LimitsFrom(StrEnum):
    """Which frames the control limits are computed from."""

    WINDOW = "window"
    """The frames that are shown."""
    BEFORE = "before"
    """The frames of the window of the same length just before."""


def limit_samples(
    limits: LimitsFrom, samples: Sequence[Sample], samples_before: Callable[[], Sequence[Sample]]
) -> Sequence[Sample]:
    """Return the samples from which the limits are computed.

    Args:
        limits: the choice of the user.
        samples: the samples of the window that is shown; also used if no frames were captured before it.
        samples_before: returns the samples of the window before.
    """
    if limits is LimitsFrom.BEFORE:
        before = samples_before()
        if any(sample.frames for sample in before):
            return before
    return samples
