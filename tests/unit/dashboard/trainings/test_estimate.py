"""The estimated time of a training follows what was measured, and else a default."""

from __future__ import annotations

import pytest

from services.dashboard.trainings.estimate import Work, estimate

SMALL = Work("lite0-depths", 30, 224 * 224)


def test_without_an_earlier_training_the_default_grows_with_the_work() -> None:
    assert estimate(SMALL, []).trainings == 0
    seconds = [
        estimate(work, []).seconds
        for work in (
            SMALL,
            Work("lite0-depths", 300, 224 * 224),
            Work("lite0-depths", 300, 320 * 320),
            Work("lite0-depths", 300, 320 * 320, 5),
        )
    ]
    assert seconds == sorted(set(seconds))


def test_the_median_of_the_last_trainings_of_the_same_architecture_counts() -> None:
    twice, half = 2 * SMALL.default_seconds, SMALL.default_seconds / 2
    other = Work("compact", 30, 224 * 224)
    earlier = [(SMALL, twice), (other, other.default_seconds / 2), (SMALL, twice), (SMALL, half)]
    larger = Work("lite0-depths", 600, 224 * 224)
    assert estimate(larger, earlier).seconds == pytest.approx(2 * larger.default_seconds)
    assert estimate(larger, earlier).trainings == 3
    assert estimate(other, earlier).trainings == 1
    assert estimate(Work("seam-resnet", 30, 96 * 96), earlier).trainings == 4


def test_a_training_that_lay_still_for_days_is_no_measure() -> None:
    assert estimate(SMALL, [(SMALL, 1e6)]).trainings == 0
