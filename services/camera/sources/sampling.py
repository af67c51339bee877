"""Choose which images of a source become frames."""

from __future__ import annotations

import math


class Sampling:
    """Take every nth image, and at most a number of images per second of the source's own time."""

    def __init__(self, every_nth: int = 1, most_per_second: float = 0) -> None:
        self._every_nth = every_nth
        self._interval = 1 / most_per_second if most_per_second else 0.0
        # the times of a video are rounded: an image may come slightly before it is due
        self._tolerance = self._interval / 1000
        self._seen = 0
        self._due = -math.inf

    def rate_of(self, frames_per_second: float) -> float:
        """Return how many images per second are taken from a source of that rate."""
        rate = frames_per_second / self._every_nth
        return min(rate, 1 / self._interval) if self._interval else rate

    def takes(self, at: float) -> bool:
        """Return whether the next image is taken.

        Args:
            at: the time of the image in seconds, rising from image to image.
        """
        position, self._seen = self._seen, self._seen + 1
        if position % self._every_nth:
            return False
        if not self._interval:
            return True
        late = at - self._due
        if late < -self._tolerance:
            return False
        # count from when it was due, so that the mean rate is right; after a gap, start again
        self._due = (at if late >= self._interval else self._due) + self._interval
        return True
