"""The control chart of shares (p-chart), and the run rules that say when a process has changed. Counts in, marks out.

Limits after Laney ("Improved control charts for attributes", Quality Engineering 14, 2002): with thousands of frames an
hour, rates differ from hour to hour by more than chance of the binomial kind, and limits that don't know it would mark
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
"""What lies beyond three sigmas on one side of a normal distribution."""
D2: Final = 1.128
"""The mean difference of two neighbours, in standard deviations of a normal distribution."""
ENOUGH: Final = 5.0
"""Expected hits from which a count is near enough to normal for the zones of the run rules."""
ENOUGH_POINTS: Final = 20
"""Samples from which limits are more than provisional."""


class Rule(StrEnum):
    """Why a point is marked."""

    BEYOND = "beyond"
    """One point beyond three sigmas."""
    TWO_OF_THREE = "two of three"
    """Two of three points in a row beyond two sigmas, on the same side."""
    FOUR_OF_FIVE = "four of five"
    """Four of five points in a row beyond one sigma, on the same side."""
    EIGHT = "eight"
    """Eight points in a row on the same side of the centre."""


ZONES: Final = ((Rule.TWO_OF_THREE, 2, 3, 2.0), (Rule.FOUR_OF_FIVE, 4, 5, 1.0), (Rule.EIGHT, 8, 8, 0.0))
"""Rule, how many, of how many, beyond how many sigmas."""


@dataclass(frozen=True)
class Sample:
    """Frames of one stretch of time."""

    hits: int
    frames: int

    @property
    def share(self) -> float:
        """Of hits; 0 of no frames."""
        return self.hits / self.frames if self.frames else 0.0


@dataclass(frozen=True)
class Control:
    """What a process does while nothing changes."""

    centre: float
    """the share of hits in all samples"""
    spread: float
    """how much more samples differ than by binomial chance; 1: not at all"""
    samples: int
    frames: int
    """in all samples"""

    @property
    def provisional(self) -> bool:
        """Whether there are too few samples to lean on."""
        return self.samples < ENOUGH_POINTS

    def sigma(self, frames: int) -> float:
        """The standard deviation of the share of a sample."""
        return self.spread * sqrt(self.centre * (1 - self.centre) / frames)

    def limits(self, frames: int) -> tuple[float, float]:
        """Lower and upper limit of the share of a sample; the upper one never below the exact one of rare hits."""
        if frames == 0:
            return 0.0, 1.0
        reach = SIGMAS * self.sigma(frames)
        # that no hit was seen does not mean that there can be none
        likely = max(self.centre, 1 / (self.frames + 2))
        high = max(self.centre + reach, rare_limit(frames, likely))
        return max(0.0, self.centre - reach), min(1.0, high)

    def enough(self, sample: Sample) -> bool:
        """Whether the run rules may count on a sample."""
        expected = sample.frames * self.centre
        return expected >= ENOUGH and sample.frames - expected >= ENOUGH


def control_of(samples: Sequence[Sample]) -> Control | None:
    """The centre and the spread of samples in the order of time; None when there are no frames."""
    some = [sample for sample in samples if sample.frames]
    frames = sum(sample.frames for sample in some)
    if not frames:
        return None
    plain = Control(sum(sample.hits for sample in some) / frames, 1.0, len(some), frames)
    if not 0 < plain.centre < 1 or len(some) < 3:
        return plain
    standard = [(sample.share - plain.centre) / plain.sigma(sample.frames) for sample in some]
    spread = fmean(abs(one - other) for one, other in pairwise(standard)) / D2
    return replace(plain, spread=max(1.0, spread))


def rare_limit(frames: int, share: float) -> float:
    """The share that binomial chance exceeds less often than `TAIL`, where hits are rare; 0 where they are not."""
    expected = frames * share
    if not 0 < share < 1 or expected > ENOUGH**2:
        return 0.0
    beyond, hits = 1.0, 0
    while hits <= frames:
        beyond -= _chance(hits, frames, share)
        if beyond < TAIL:
            return hits / frames
        hits += 1
    return 1.0


def marks(samples: Sequence[Sample], control: Control) -> list[tuple[Rule, ...]]:
    """The rules that each sample breaks, together with those before it; samples without frames break none."""
    found: list[tuple[Rule, ...]] = []
    for index, sample in enumerate(samples):
        low, high = control.limits(sample.frames)
        rules = [Rule.BEYOND] if (sample.frames > 0 and not low <= sample.share <= high) else []
        for rule, many, of, sigmas in ZONES:
            last = samples[max(0, index + 1 - of) : index + 1]
            if len(last) == of and _runs(last, control, many, sigmas):
                rules.append(rule)
        found.append(tuple(rules))
    return found


def _runs(last: Sequence[Sample], control: Control, many: int, sigmas: float) -> bool:
    """Whether ``many`` of the ``last`` (so many) samples, and the very last, lie beyond so many sigmas on one side."""
    if not all(sample.frames and control.enough(sample) for sample in last):
        return False
    sides: tuple[Callable[[float], bool], ...] = (lambda z: z > sigmas, lambda z: z < -sigmas)
    standard = [(sample.share - control.centre) / control.sigma(sample.frames) for sample in last]
    return any(side(standard[-1]) and sum(map(side, standard)) >= many for side in sides)


def _chance(hits: int, frames: int, share: float) -> float:
    """Of so many hits (binomial)."""
    ways = lgamma(frames + 1) - lgamma(hits + 1) - lgamma(frames - hits + 1)
    return exp(ways + hits * log(share) + (frames - hits) * log(1 - share))


def frames_for_rules(control: Control) -> int | None:
    """How many frames a sample needs so that the run rules can count on it; None when nothing ever hits."""
    rarer = min(control.centre, 1 - control.centre)
    return ceil(ENOUGH / rarer) if rarer > 0 else None
