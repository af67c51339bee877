"""Control charts: the limits of the literature, and rules that mark only the patterns that they name."""

from __future__ import annotations

import random

import pytest

from services.dashboard.statistics.control_chart import ControlLimits, RunRule, Sample, control_of, marks, rare_limit
from services.dashboard.statistics.difference import difference

CALM = ControlLimits(0.1, 1.0, 30, 30_000)
FRAMES = 900
SIGMA = 0.01
"""Standard deviation of samples of `FRAMES` under `CALM`."""


def at(*sigmas: float) -> list[Sample]:
    """Return samples at these distances from the centre, in standard deviations."""
    return [Sample(round((0.1 + z * SIGMA) * FRAMES), FRAMES) for z in sigmas]


def last_marks(*sigmas: float) -> tuple[RunRule, ...]:
    return marks(at(*sigmas), CALM)[-1]


def test_limits_are_three_sigmas_from_the_centre_by_the_size_of_each_sample() -> None:
    assert list(CALM.limits(900)) == pytest.approx([0.07, 0.13])
    assert list(CALM.limits(8100)) == pytest.approx([0.09, 0.11])
    assert list(ControlLimits(0.1, 2.0, 30, 30_000).limits(900)) == pytest.approx([0.04, 0.16])


def test_the_centre_is_the_share_of_all_frames_not_the_mean_of_shares() -> None:
    control = control_of([Sample(1, 10), Sample(10, 1000), Sample(0, 0)])
    assert control is not None
    assert control.centre == pytest.approx(11 / 1010)
    assert control_of([Sample(0, 0)]) is None


def test_chance_alone_leaves_the_limits_binomial() -> None:
    dice = random.Random(5)
    samples = [Sample(sum(dice.random() < 0.05 for _ in range(500)), 500) for _ in range(400)]
    control = control_of(samples)
    assert control is not None
    assert 1.0 <= control.spread < 1.15
    beyond = [mark for mark in marks(samples, control) if RunRule.BEYOND in mark]
    assert len(beyond) <= 3


def test_rates_that_wander_more_than_chance_widen_the_limits() -> None:
    dice = random.Random(6)
    samples = [Sample(round(90_000 * dice.gauss(0.05, 0.005)), 90_000) for _ in range(60)]
    control = control_of(samples)
    assert control is not None
    assert control.spread == pytest.approx(0.005 / (0.05 * 0.95 / 90_000) ** 0.5, rel=0.25)
    assert sum(RunRule.BEYOND in mark for mark in marks(samples, control)) <= 1


@pytest.mark.parametrize(
    ("sigmas", "rule"),
    [
        ((0, 0, 3.2), RunRule.BEYOND),
        ((0, 0, -3.2), RunRule.BEYOND),
        ((2.3, 0, 2.3), RunRule.TWO_OF_THREE),
        ((-2.3, -2.3), None),
        ((0, -2.3, -2.3), RunRule.TWO_OF_THREE),
        ((2.3, 0, -2.3), None),
        ((1.3, 1.3, 0, 1.3, 1.3), RunRule.FOUR_OF_FIVE),
        ((1.3, 1.3, 1.3, 1.3, 0), None),
        ((-1.3, -1.3, 1.3, -1.3, -1.3), RunRule.FOUR_OF_FIVE),
        ((0.4,) * 8, RunRule.EIGHT),
        ((0.4,) * 7, None),
        ((-0.4,) * 8, RunRule.EIGHT),
        ((0.4, 0.4, 0.4, -0.4, 0.4, 0.4, 0.4, 0.4), None),
    ],
)
def test_a_rule_marks_its_points_and_no_others(sigmas: tuple[float, ...], rule: RunRule | None) -> None:
    assert last_marks(*sigmas) == ((rule,) if rule else ())


def test_a_raised_rate_is_signalled() -> None:
    dice = random.Random(2)
    rates = [0.02] * 30 + [0.03] * 10
    samples = [Sample(sum(dice.random() < share for _ in range(1500)), 1500) for share in rates]
    control = control_of(samples[:30])
    assert control is not None
    found = marks(samples, control)
    assert not any(RunRule.BEYOND in mark for mark in found[:30])
    assert any(found[30:])


def test_samples_too_small_for_the_zones_take_no_part_in_runs() -> None:
    control = ControlLimits(0.001, 1.0, 30, 30_000)
    assert not any(marks([Sample(0, 100)] * 30, control))
    assert not control.enough(Sample(0, 100))
    assert control.enough(Sample(0, 5000))


def test_one_rare_defect_in_a_small_sample_is_no_signal() -> None:
    control = ControlLimits(0.01, 1.0, 30, 3_000)
    assert 0.01 + 3 * control.sigma(30) < 2 / 30
    assert marks([Sample(2, 30)], control) == [()]
    assert marks([Sample(4, 30)], control) == [(RunRule.BEYOND,)]
    assert rare_limit(30, 0.01) == pytest.approx(3 / 30)
    assert rare_limit(100_000, 0.01) == 0.0


def test_a_first_defect_ever_is_no_signal_and_a_flood_is() -> None:
    control = control_of([Sample(0, 100)] * 20)
    assert control is not None
    assert marks([Sample(1, 100), Sample(30, 100), Sample(0, 0)], control) == [(), (RunRule.BEYOND,), ()]


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_intervals_of_a_difference_are_those_of_newcombes_paper(
    counts: tuple[int, int, int, int], low: float, high: float
) -> None:
    found = difference(*counts)
    assert found is not None
    assert [found.low, found.high] == pytest.approx([low, high], abs=6e-5)
    assert found.certain is (low > 0)


def test_there_is_no_difference_without_frames() -> None:
    assert difference(1, 10, 0, 0) is None
