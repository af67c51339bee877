from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dashboard.statistics.rates import rate


@pytest.mark.parametrize(
    ("hits", "frames", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (1, 10, 0.0179, 0.4042),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (2, 1000, 0.00055, 0.00726),
    ],
)
def test_the_interval_is_wilsons(hits: int, frames: int, low: float, high: float) -> None:
    found = rate(hits, frames)
    assert found is not None
    assert found.value == hits / frames
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


def test_there_is_no_rate_without_frames() -> None:
    assert rate(0, 0) is None


@pytest.mark.parametrize(("hits", "frames"), [(3, 2), (-1, 5), (1, 0)])
def test_an_impossible_share_is_refused(hits: int, frames: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        rate(hits, frames)


@given(st.integers(1, 10**7).flatmap(lambda frames: st.tuples(st.integers(0, frames), st.just(frames))))
def test_the_interval_contains_the_share_and_narrows_with_more_frames(pair: tuple[int, int]) -> None:
    hits, frames = pair
    few, many = rate(hits, frames), rate(hits * 4, frames * 4)
    assert few is not None
    assert many is not None
    assert 0 <= few.low <= few.value <= few.high <= 1
    assert many.high - many.low < few.high - few.low
