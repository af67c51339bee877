"""Search the audit log, from the newest day backwards."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, Self

from services.dashboard.access.audit import Audit, AuditEntry
from services.dashboard.access.schemas import AuditPage
from services.dashboard.web.problems import Problem
from shared.language import gettext

DEFAULT_PERIOD: Final = timedelta(days=31)
LONGEST_PERIOD: Final = timedelta(days=400)
MOST_READ: Final = 500
"""Most entries that are read for one page; each is an object in storage, so reading them is slow."""
COLUMNS: Final = ("at", "by", "action", "subject", "details", "failed", "id")
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""First characters of formulas in spreadsheets. A cell that begins with one gets an apostrophe before it."""


@dataclass(frozen=True)
class AuditSearch:
    """A filter of the audit log; None accepts every entry."""

    first: datetime
    last: datetime
    by: str | None
    action: str | None
    text: str | None

    @classmethod
    def over(
        cls, first: datetime | None, last: datetime | None, *, by: str | None, action: str | None, text: str | None
    ) -> Self:
        """Return the filter of a period, by default the last 31 days; empty fields accept every entry.

        Raises:
            Problem: 422: the period is empty, or longer than `LONGEST_PERIOD`.
        """
        last = last or datetime.now(UTC) + timedelta(minutes=1)
        first = first or last - DEFAULT_PERIOD
        if not timedelta(0) < last - first <= LONGEST_PERIOD:
            raise Problem(
                422,
                gettext(
                    "from, to: give a time of %(days)s days at most, its end after its beginning",
                    days=LONGEST_PERIOD.days,
                ),
            )
        return cls(
            first.astimezone(UTC), last.astimezone(UTC), by or None, action or None, (text or "").lower() or None
        )

    def matches(self, entry: AuditEntry) -> bool:
        details = json.dumps(entry.details, ensure_ascii=False)
        return (
            self.first <= entry.at < self.last
            and self.by in (None, entry.by)
            and (self.action is None or entry.action == self.action or entry.action.startswith(f"{self.action}."))
            and (self.text is None or self.text in f"{entry.subject} {details} {entry.failed or ''}".lower())
        )

    def page(self, audit: Audit, before: str | None, limit: int) -> AuditPage:
        """Return up to ``limit`` matching entries, newest first, that are older than the entry with the id ``before``.

        At most `MOST_READ` entries are read, so a page may have few or no entries although another page follows.
        """
        found: list[AuditEntry] = []
        last_id: str | None = None
        read = 0
        for entry in islice(audit.newest(self.first, self.last, before), MOST_READ):
            read += 1
            last_id = entry.id
            if self.matches(entry):
                found.append(entry)
                if len(found) == limit:
                    break
        more = len(found) == limit or read == MOST_READ
        return AuditPage(entries=found, next=last_id if more else None)

    def entries(self, audit: Audit) -> Iterator[AuditEntry]:
        """Return all matching entries, newest first."""
        return filter(self.matches, audit.newest(self.first, self.last, None))


def csv_of(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """Yield a CSV table of entries, line by line."""

    def line_of(cells: Iterable[str]) -> str:
        line = io.StringIO()
        csv.writer(line).writerow(f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells)
        return line.getvalue()

    yield line_of(COLUMNS)
    for entry in entries:
        fields = entry.model_dump(mode="json")
        fields["details"] = json.dumps(fields["details"], ensure_ascii=False) if fields["details"] else ""
        yield line_of(str(fields[column] or "") for column in COLUMNS)
