from __future__ import annotations

import pytest

from services.dashboard.quality.control_limits import LimitsFrom, limit_samples
from services.dashboard.statistics.control_chart import Sample

SHOWN = [Sample(3, 100), Sample(5, 100)]
BEFORE = [Sample(0, 0), Sample(1, 100)]


def test_the_limits_are_those_of_the_frames_that_are_shown_and_no_others_are_counted() -> None:
    def count_before() -> list[Sample]:
        pytest.fail("the window before was counted")

    assert limit_samples(LimitsFrom.WINDOW, SHOWN, count_before) == SHOWN


@pytest.mark.parametrize(("before", "chosen"), [(BEFORE, BEFORE), ([Sample(0, 0)], SHOWN), ([], SHOWN)])
def test_limits_from_before_are_those_of_the_window_before_if_it_has_frames(
    before: list[Sample], chosen: list[Sample]
) -> None:
    assert limit_samples(LimitsFrom.BEFORE, SHOWN, lambda: before) == chosen
