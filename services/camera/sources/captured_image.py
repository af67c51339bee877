"""Describe one image as a source gives it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from shared.imaging.codec import Image

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2099, 12, 31, tzinfo=UTC)
"""The times that a message may carry. A machine without a battery for its clock starts in 1970."""


def clock() -> datetime:
    """Return the time of this machine, limited to `EARLIEST` and `LATEST`."""
    return min(max(datetime.now(UTC), EARLIEST), LATEST)


@dataclass(frozen=True)
class ImageFile:
    """The content of an image file."""

    content: bytes
    encoding: Literal["jpeg", "png"]


@dataclass(frozen=True)
class CapturedImage:
    """The pixels of an image, the file that holds it, both, or the reason why there is neither.

    A file without pixels could not be decoded: it is sent as it is, and gets a verdict like any other.
    """

    captured_at: datetime
    pixels: Image | None = None
    file: ImageFile | None = None
    problem: str = ""
