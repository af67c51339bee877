"""One image as a source gives it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from shared.imaging.codec import Image

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2099, 12, 31, tzinfo=UTC)
"""What a message may carry. A machine without a battery for its clock starts in 1970."""


def clock() -> datetime:
    """The time of this machine, brought within `EARLIEST` and `LATEST`."""
    return min(max(datetime.now(UTC), EARLIEST), LATEST)


@dataclass(frozen=True)
class ImageFile:
    """An image that was a file already."""

    content: bytes
    encoding: Literal["jpeg", "png"]


@dataclass(frozen=True)
class Shot:
    """An image, the file that it was read from, both, or the reason why there is neither.

    A file without an image could not be decoded: it is passed on as it is, and gets its verdict like any other.
    """

    taken_at: datetime
    image: Image | None = None
    file: ImageFile | None = None
    problem: str = ""
