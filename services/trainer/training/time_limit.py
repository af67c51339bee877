"""The time that a training is given to try what is best."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

REST_SECONDS: Final = 60.0
"""For what follows the choice and does not depend on the images: compiling and proving the variants."""
REST_OF_IMAGES: Final = 1.5
"""Time of what follows and depends on the images, thresholds and heatmaps for instance, relative to their features."""


@dataclass(frozen=True)
class TimeLimit:
    """The moment at which a training should have ended, about, and what it still has to do after its choice."""

    end: float
    """On the monotonic clock, in seconds."""
    rest: float = REST_SECONDS
    """Seconds of the work after the choice."""

    @classmethod
    def of(cls, minutes: float) -> TimeLimit:
        """Return the limit of a training that begins now."""
        return cls(monotonic() + 60 * minutes)

    def allows(self, seconds: float) -> bool:
        """Return whether work of some seconds ends early enough."""
        return monotonic() + seconds + self.rest <= self.end

    def after(self, seconds: float) -> TimeLimit:
        """Return the limit for a choice of images whose features take some seconds."""
        return replace(self, rest=REST_SECONDS + REST_OF_IMAGES * seconds)
