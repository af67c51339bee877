"""The type of a time in a query."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime

EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2201, 1, 1, tzinfo=UTC)


def bounded(moment: datetime) -> datetime:
    """Check that a time is within `EARLIEST` and `LATEST`, so that windows around it fit the calendar; return it.

    Raises:
        ValueError: the time is before `EARLIEST` or after `LATEST`.
    """
    if not EARLIEST <= moment <= LATEST:
        raise ValueError(f"give a time from {EARLIEST:%Y-%m-%d} to {LATEST:%Y-%m-%d}")
    return moment


QueryTime = Annotated[AwareDatetime, AfterValidator(bounded)]
"""A time with a zone, from `EARLIEST` to `LATEST`."""
