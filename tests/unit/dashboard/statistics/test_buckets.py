from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.dashboard.statistics.buckets import BucketLength, starts_between

CET = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("step", "start", "stamp"),
    [
        (BucketLength.MINUTE, datetime(2026, 1, 31, 23, 59, tzinfo=UTC), "2026-01-31T2359"),
        (BucketLength.HOUR, datetime(2026, 1, 31, 23, tzinfo=UTC), "2026-01-31T23"),
        (BucketLength.DAY, datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31"),
    ],
)
def test_a_bucket_starts_in_utc_whatever_the_cameras_clock_says(
    step: BucketLength, start: datetime, stamp: str
) -> None:
    captured = datetime(2026, 2, 1, 0, 59, 59, 999_999, tzinfo=CET)
    assert step.start(captured) == start
    assert step.stamp(step.start(captured)) == stamp


def test_the_end_of_a_window_is_not_in_it() -> None:
    first = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
    starts = starts_between(BucketLength.MINUTE, first, datetime(2026, 1, 1, 12, 3, tzinfo=UTC))
    assert [start.minute for start in starts] == [0, 1, 2]
