"""The kinds of stored data, the retention rules that say how long each kind stays, and the service that removes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, Self


class DataKind(StrEnum):
    """The kinds of stored data; a retention rule names a kind."""

    OK = "ok"
    """Images of frames that are ok and not unsure."""
    NG = "ng"
    UNSURE = "unsure"
    """Images of frames that are ok and unsure."""
    CAPTURED = "captured"
    """Images above 1 MiB as their camera stored them, before inspection."""
    HEATMAPS = "heatmaps"
    """Heatmaps and overlays."""
    ARCHIVE = "archive"
    """The archived messages from which the projection is computed."""
    AUDIT = "audit"
    REFERENCED = "labelled"
    """Files of frames that are labelled or marked."""
    VIDEOS = "videos"
    """Uploaded videos and albums, and the annotations."""
    DATASETS = "datasets"
    MODELS = "models"
    OTHER = "other"


KINDS_WITH_RULES: Final = (
    DataKind.OK,
    DataKind.NG,
    DataKind.UNSURE,
    DataKind.CAPTURED,
    DataKind.HEATMAPS,
    DataKind.ARCHIVE,
    DataKind.AUDIT,
)
"""The kinds that rules may remove."""
UNITS: Final = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
OWNERS: Final = {
    DataKind.OK: "inference",
    DataKind.NG: "inference",
    DataKind.UNSURE: "inference",
    DataKind.CAPTURED: "inference",
    DataKind.HEATMAPS: "explainer",
}
"""The service that removes the files of frames of each kind."""
DAYS_LIMIT: Final = 36_500

_LIMIT: Final = re.compile(r"(?P<days>[1-9]\d{0,4})d|(?P<size>[1-9]\d{0,5})(?P<unit>MB|GB|TB)")


class RetentionRule(NamedTuple):
    """How long data of one kind stays. Data beyond one of the limits is removed."""

    days: int | None = None
    """Days after the day of the capture, in UTC; None: for ever."""
    size: int | None = None
    """Most bytes of all data of the kind: beyond it, the oldest days are removed. None: no limit."""

    @classmethod
    def parse(cls, kind: DataKind, text: str) -> Self:
        """Read the limits of the rule of a kind, such as ``365d/200GB``.

        Raises:
            ValueError: a limit is wrong; the message says what to write.
        """
        days = size = None
        for limit in text.split("/"):
            match = _LIMIT.fullmatch(limit.strip())
            if match is None or (match["days"] and days) or (match["size"] and size):
                raise ValueError(
                    f"{kind}={text}: a limit is an age in days such as 30d, a size such as 50GB (MB, GB or TB), or "
                    "both: 30d/50GB"
                )
            if match["days"]:
                days = int(match["days"])
            else:
                size = int(match["size"]) * UNITS[match["unit"]]
        if days and days > DAYS_LIMIT:
            raise ValueError(f"{kind}={text}: give at most {DAYS_LIMIT} days, or leave {kind} out to keep it for ever")
        if size and kind not in OWNERS:
            raise ValueError(f"{kind}={text}: {kind} takes an age alone, such as {kind}=400d")
        return cls(days, size)

    def __str__(self) -> str:
        size = next(
            (f"{self.size // by} {unit}" for unit, by in UNITS.items() if self.size and self.size < 1000 * by), ""
        )
        return " or ".join(filter(None, [f"{self.days} days" if self.days else "", size])) or "for ever"


@dataclass(frozen=True)
class RetentionRules:
    """The rule of each kind. Data of a kind without a rule stays for ever."""

    by_kind: Mapping[DataKind, RetentionRule]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read rules such as ``ok=7d, ng=365d/200GB, heatmaps=90d``, or ``none``: nothing is removed.

        Raises:
            ValueError: a rule is wrong; the message says what to write.
        """
        rules: dict[DataKind, RetentionRule] = {}
        text = "" if text.strip() == "none" else text
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, limits = (piece.strip() for piece in part.partition("="))
            if name in (kind.value for kind in DataKind) and name not in KINDS_WITH_RULES:
                raise ValueError(f"{name}: data of this kind is never removed, so it takes no rule: leave it out")
            if name not in KINDS_WITH_RULES:
                raise ValueError(f"{part!r}: a rule is KIND=LIMIT, and a kind is one of {', '.join(KINDS_WITH_RULES)}")
            kind = DataKind(name)
            if kind in rules:
                raise ValueError(f"{name}: it has two rules: write one, such as {name}=30d/50GB")
            rules[kind] = RetentionRule.parse(kind, limits)
        return cls(rules)

    def of(self, kind: DataKind) -> RetentionRule:
        """Return the rule of a kind; a rule without limits if there is none."""
        return self.by_kind.get(kind, RetentionRule())
