"""Searching the audit log, from the newest day back."""

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

USUAL: Final = timedelta(days=31)
LONGEST: Final = timedelta(days=400)
MOST_LOOKED_AT: Final = 500
"""Entries for one page: each is an object to be read."""
COLUMNS: Final = ("at", "by", "action", "subject", "details", "failed", "id")
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""With these a spreadsheet begins a formula; text that somebody typed must never become one."""


@dataclass(frozen=True)
class Search:
    """Which entries are wanted."""

    first: datetime
    last: datetime
    by: str | None
    action: str | None
    text: str | None

    @classmethod
    def over(
        cls, first: datetime | None, last: datetime | None, *, by: str | None, action: str | None, text: str | None
    ) -> Self:
        """A search of a time; empty fields ask for anything.

        Raises:
            Problem: 422: the time is none, or longer than `LONGEST`.
        """
        last = last or datetime.now(UTC) + timedelta(minutes=1)
        first = first or last - USUAL
        if not timedelta(0) < last - first <= LONGEST:
            raise Problem(422, f"from, to: give a time of {LONGEST.days} days at most, its end after its beginning")
        return cls(
            first.astimezone(UTC), last.astimezone(UTC), by or None, action or None, (text or "").lower() or None
        )

    def wants(self, entry: AuditEntry) -> bool:
        """Whether an entry fits."""
        return (
            self.first <= entry.at < self.last
            and self.by in (None, entry.by)
            and (self.action is None or entry.action == self.action or entry.action.startswith(f"{self.action}."))
            and (self.text is None or self.text in _text_of(entry))
        )

    def page(self, audit: Audit, before: str | None, limit: int) -> AuditPage:
        """The newest entries that fit and are older than ``before``."""
        found: list[AuditEntry] = []
        last_id: str | None = None
        looked_at = 0
        for entry in islice(audit.newest(self.first, self.last, before), MOST_LOOKED_AT):
            looked_at += 1
            last_id = entry.id
            if self.wants(entry):
                found.append(entry)
                if len(found) == limit:
                    break
        more = len(found) == limit or looked_at == MOST_LOOKED_AT
        return AuditPage(entries=found, next=last_id if more else None)

    def entries(self, audit: Audit) -> Iterator[AuditEntry]:
        """All that fit, newest first."""
        return filter(self.wants, audit.newest(self.first, self.last, None))


def csv_of(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """A table, line by line."""
    yield _line(COLUMNS)
    for entry in entries:
        told = entry.model_dump(mode="json")
        told["details"] = json.dumps(told["details"], ensure_ascii=False) if told["details"] else ""
        yield _line([_harmless(str(told[column] or "")) for column in COLUMNS])


def _line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _text_of(entry: AuditEntry) -> str:
    return f"{entry.subject} {json.dumps(entry.details, ensure_ascii=False)} {entry.failed or ''}".lower()
