"""One picture as a source gives it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.vision.codec import Picture


@dataclass(frozen=True)
class PictureFile:
    """A picture that was a file already."""

    content: bytes
    encoding: Literal["jpeg", "png"]


@dataclass(frozen=True)
class Shot:
    """A picture, the file that it was read from, both, or the reason why there is neither.

    A file without a picture could not be decoded: it is passed on as it is, and gets its verdict like any other.
    """

    taken_at: datetime
    picture: Picture | None = None
    file: PictureFile | None = None
    problem: str = ""
