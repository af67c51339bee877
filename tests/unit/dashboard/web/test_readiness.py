"""What pages say while a server is away, or while counts are being rebuilt."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.dashboard.web.readiness import Check, Readiness


def fail() -> None:
    raise ConnectionError("refused")


@pytest.mark.parametrize(
    ("redis", "counts", "said"),
    [
        (lambda: None, lambda: None, []),
        (lambda: None, lambda: "being built from the archive", ["figures are too small"]),
        (fail, fail, ["no counts"]),
    ],
)
def test_pages_say_why_figures_are_too_small_or_missing(
    redis: Callable[[], object], counts: Callable[[], object], said: list[str]
) -> None:
    readiness = Readiness(
        {
            "redis": Check(redis, consequence="no counts"),
            "counts": Check(counts, notice="figures are too small"),
        }
    )
    readiness.start()
    readiness.close()
    assert readiness.notices() == said
    assert readiness.away() == [each for each in said if each == "no counts"]
    assert readiness.current().ready == (not said)
