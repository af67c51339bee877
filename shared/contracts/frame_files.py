"""The files of a frame in object storage: the frame, the day and the kind of each, by its key."""

from __future__ import annotations

import re
from datetime import date
from typing import Final, NamedTuple, Self

from shared.contracts.retention_rules import DataKind

FRAME_FILE: Final = re.compile(
    r"frames/(?P<line>[A-Za-z0-9_-]+)/(?P<day>\d{4}-\d\d-\d\d)/(?P<frame>[0-9A-Z]{26}-\d{9})/(?P<name>[^/]+)"
)
OWNED_FILES: Final = {
    "inference": re.compile(r"image\.[a-z.]+|captured\.[a-z]+"),
    "explainer": re.compile(r"heatmap\..+|overlay\.[a-z]+"),
}
"""The names of the files in the folder of a frame that each service removes."""


def is_owned_file(key: str, owner: str) -> bool:
    """Return whether a key is that of a file of a frame that the service ``owner`` removes."""
    match = FRAME_FILE.fullmatch(key)
    return match is not None and OWNED_FILES[owner].fullmatch(match["name"]) is not None


class FrameFile(NamedTuple):
    """A file of a frame, by its key."""

    line: str
    day: date
    """The day of the capture, in UTC."""
    frame_id: str
    kind: DataKind

    @classmethod
    def of(cls, key: str) -> Self | None:
        """Return the file under a key; None if it is no file of a frame that a service removes."""
        match = FRAME_FILE.fullmatch(key)
        if match is None:
            return None
        name = match["name"]
        first, _, rest = name.partition(".")
        kind = {"captured": DataKind.CAPTURED, "heatmap": DataKind.HEATMAPS, "overlay": DataKind.HEATMAPS}.get(first)
        if first == "image":
            kind = {"ok": DataKind.OK, "ng": DataKind.NG, "unsure": DataKind.UNSURE}.get(rest.partition(".")[0])
        if kind is None:
            return None
        try:
            return cls(match["line"], date.fromisoformat(match["day"]), match["frame"], kind)
        except ValueError:
            return None
