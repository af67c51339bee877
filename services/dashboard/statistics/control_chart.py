"""The control chart of shares (p-chart), and the run rules that detect a change of the process.

Limits after Laney ("Improved control charts for attributes", Quality Engineering 14, 2002): with thousands of frames an
hour, rates differ from hour to hour by more than binomial chance, and limits from binomial chance alone would mark
every point. Run rules of the Western Electric Statistical Quality Control Handbook (1956).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from math import ceil, exp, lgamma, log, sqrt
from statistics import fmean
from typing import Final

SIGMAS: Final = 3.0
TAIL: Final = 0.00135
"""Probability beyond three sigmas on one side of a normal distribution."""
D2: Final = 1.128
"""Mean difference of two consecutive samples, in standard deviations of a normal distribution."""
ENOUGH: Final = 5.0
"""Expected hits from which a count is close enough to a normal distribution for the run rules."""
ENOUGH_POINTS: Final = 20
"""Samples from which limits are not provisional."""


class RunRule(StrEnum):
    """The rule that marks a point."""

    BEYOND = "beyond"
    """One point beyond three sigmas."""
    TWO_OF_THREE = "two of three"
    """Two of three points in a row beyond two sigmas, on the same side."""
    FOUR_OF_FIVE = "four of five"
    """Four of five points in a row beyond one sigma, on the same side."""
    EIGHT = "eight"
    """Eight points in a row on the same side of the centre."""


ZONES: Final = ((RunRule.TWO_OF_THREE, 2, 3, 2.0), (RunRule.FOUR_OF_FIVE, 4, 5, 1.0), (RunRule.EIGHT, 8, 8, 0.0))
"""Rule, number of points, of how many in a row, beyond how many sigmas."""


@dataclass(frozen=True)
class Sample:
    """The frames of one span of time."""

    hits: int
    frames: int

    @property
    def share(self) -> float:
        """Return the share of hits; 0 if there are no frames."""
        return self.hits / self.frames if self.frames else 0.0


@dataclass(frozen=True)
class ControlLimits:
    """The mean and the variation of a process that does not change."""

    centre: float
    """the share of hits in all samples"""
    spread: float
    """how much more samples differ than by binomial chance; 1: not at all"""
    samples: int
    frames: int
    """in all samples"""

    @property
    def provisional(self) -> bool:
        """Return whether there are too few samples for reliable limits."""
        return self.samples < ENOUGH_POINTS

    def sigma(self, frames: int) -> float:
        """Return the standard deviation of the share of a sample."""
        return self.spread * sqrt(self.centre * (1 - self.centre) / frames)

    def limits(self, frames: int) -> tuple[float, float]:
        """Return the limits of the share of a sample; the upper one is at least the exact limit of rare hits."""
        if frames == 0:
            return 0.0, 1.0
        reach = SIGMAS * self.sigma(frames)
        # without hits so far, a hit is still possible (rule of succession)
        likely = max(self.centre, 1 / (self.frames + 2))
        high = max(self.centre + reach, rare_limit(frames, likely))
        return max(0.0, self.centre - reach), min(1.0, high)

    def enough(self, sample: Sample) -> bool:
        """Return whether a sample is large enough for the run rules."""
        expected = sample.frames * self.centre
        return expected >= ENOUGH and sample.frames - expected >= ENOUGH


def control_of(samples: Sequence[Sample]) -> ControlLimits | None:
    """Return the centre and the spread of samples in the order of time; None if no sample has frames."""
    some = [sample for sample in samples if sample.frames]
    frames = sum(sample.frames for sample in some)
    if not frames:
        return None
    plain = ControlLimits(sum(sample.hits for sample in some) / frames, 1.0, len(some), frames)
    if not 0 < plain.centre < 1 or len(some) < 3:
        return plain
    standard = [(sample.share - plain.centre) / plain.sigma(sample.frames) for sample in some]
    spread = fmean(abs(one - other) for one, other in pairwise(standard)) / D2
    return replace(plain, spread=max(1.0, spread))


def rare_limit(frames: int, share: float) -> float:
    """Return the share that binomial chance exceeds less often than `TAIL` if hits are rare; 0 if they are not."""
    expected = frames * share
    if not 0 < share < 1 or expected > ENOUGH**2:
        return 0.0
    beyond, hits = 1.0, 0
    while hits <= frames:
        ways = lgamma(frames + 1) - lgamma(hits + 1) - lgamma(frames - hits + 1)
        beyond -= exp(ways + hits * log(share) + (frames - hits) * log(1 - share))
        if beyond < TAIL:
            return hits / frames
        hits += 1
    return 1.0


def marks(samples: Sequence[Sample], control: ControlLimits) -> list[tuple[RunRule, ...]]:
    """Return the rules that each sample breaks, together with those before it; a sample without frames breaks none."""
    found: list[tuple[RunRule, ...]] = []
    for index, sample in enumerate(samples):
        low, high = control.limits(sample.frames)
        rules = [RunRule.BEYOND] if (sample.frames > 0 and not low <= sample.share <= high) else []
        for rule, many, of, sigmas in ZONES:
            last = samples[max(0, index + 1 - of) : index + 1]
            if len(last) == of and _runs(last, control, many, sigmas):
                rules.append(rule)
        found.append(tuple(rules))
    return found


def _runs(last: Sequence[Sample], control: ControlLimits, many: int, sigmas: float) -> bool:
    """Return whether ``many`` of the ``last`` samples, with the very last, lie beyond ``sigmas`` on one side."""
    if not all(sample.frames and control.enough(sample) for sample in last):
        return False
    sides: tuple[Callable[[float], bool], ...] = (lambda z: z > sigmas, lambda z: z < -sigmas)
    standard = [(sample.share - control.centre) / control.sigma(sample.frames) for sample in last]
    return any(side(standard[-1]) and sum(map(side, standard)) >= many for side in sides)


def frames_for_rules(control: ControlLimits) -> int | None:
    """Return how many frames a sample needs for the run rules; None if there are no hits, or only hits."""
    rarer = min(control.centre, 1 - control.centre)
    return ceil(ENOUGH / rarer) if rarer > 0 else None
