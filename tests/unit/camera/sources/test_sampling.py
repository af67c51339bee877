from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.camera.sources.sampling import Sampling


def taken(sampling: Sampling, times: list[float]) -> list[int]:
    return [position for position, at in enumerate(times) if sampling.takes(at)]


def test_every_image_is_taken_when_nothing_is_asked() -> None:
    assert taken(Sampling(), [0.0, 0.04, 0.08]) == [0, 1, 2]


def test_every_third_image_is_taken_from_the_first_on() -> None:
    assert taken(Sampling(every_nth=3), [number / 25 for number in range(10)]) == [0, 3, 6, 9]


@pytest.mark.parametrize(("most", "expected"), [(10, 100), (25, 250), (12.5, 125), (1, 10), (100, 250)])
def test_a_video_of_25_per_second_gives_the_rate_that_was_asked_for(most: float, expected: int) -> None:
    assert len(taken(Sampling(most_per_second=most), [number * 0.04 for number in range(250)])) == expected


def test_both_limits_hold_together() -> None:
    positions = taken(Sampling(every_nth=2, most_per_second=5), [number / 20 for number in range(40)])
    assert positions == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]


def test_after_a_gap_the_rate_is_not_caught_up_on() -> None:
    times = [0.0, 0.5, 60.0, 60.1, 60.2, 60.5, 60.6, 61.0]
    assert taken(Sampling(most_per_second=2), times) == [0, 1, 2, 5, 7]


@given(
    gaps=st.lists(st.floats(0.001, 0.5), min_size=1, max_size=300),
    most=st.floats(0.5, 60),
)
def test_there_are_never_more_images_than_asked_for(gaps: list[float], most: float) -> None:
    times, at = [], 0.0
    for gap in gaps:
        times.append(at := at + gap)
    chosen = [times[position] for position in taken(Sampling(most_per_second=most), times)]
    seconds = chosen[-1] - chosen[0]
    assert len(chosen) <= seconds * most * 1.01 + 2


def test_the_rate_after_sampling_is_known() -> None:
    assert Sampling(every_nth=5).rate_of(25) == 5
    assert Sampling(most_per_second=4).rate_of(25) == 4
    assert Sampling(every_nth=10, most_per_second=4).rate_of(25) == 2.5
