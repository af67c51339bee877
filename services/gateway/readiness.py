"""Say whether the check that a line requires is valid, so that the line is ready; and mark the parts until it is.

What is known of the checks of a line is in the journal, and a copy is in object storage, so that another gateway that
takes over says the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import structlog

from services.gateway import metrics
from services.gateway.check_history import CheckHistory, due_check
from services.gateway.handler import now
from services.gateway.journal import Journal
from services.gateway.part_assembly import Now
from services.gateway.rule import Plan
from shared.health import Health
from shared.messages import CheckCause, DueCheck, FrameInspected, LineChecked, PartAction, PartDecided
from shared.recipe import Recipe, RequiredCheck
from shared.shifts import Shifts
from shared.storage.port import ObjectStore, StorageError
from shared.storage.records import read_or_skip

FOLDER: Final = "gateways/checks"
"""Folder of the copies in object storage."""
COPY_SECONDS: Final = 1.0
"""Seconds between two looks for changes to copy."""
REASONS: Final = {
    CheckCause.NEVER: "no check of the line has passed",
    CheckCause.FAILED: "the last check failed",
    CheckCause.SHIFT: "a shift began",
    CheckCause.CHANGE: "the model or the recipe changed",
    CheckCause.EXPIRED: "the last check is too old",
}

_log = structlog.stdlib.get_logger("readiness")


class Readiness:
    """The checks that lines require. Thread-safe."""

    def __init__(
        self,
        journal: Journal,
        store: ObjectStore,
        required: Mapping[str, RequiredCheck],
        shifts: Shifts,
        clock: Callable[[], Now] = now,
    ) -> None:
        """``required`` has the checks that replace those of recipes, by line."""
        self._journal = journal
        self._store = store
        self._required = required
        self._shifts = shifts
        self._clock = clock
        self._histories = journal.check_histories()
        """By line. Each change holds the lock of the journal; readers need none, because a history never changes."""
        self._copied: dict[str, CheckHistory] | None = None
        """What object storage has, by line; None before it was read."""
        self._outage = ""

    def inspected(self, verdict: FrameInspected, recipe: Recipe) -> None:
        """Note that a model inspected a frame of production."""
        line, moment = verdict.frame.line, self._clock().wall
        before = self._histories.get(line) or CheckHistory(at=moment)
        if before.inspected(verdict.recipe, verdict.model_version, recipe.check, moment) is before:
            return
        with self._journal.read():
            before = self._histories.get(line, before)
            after = before.inspected(verdict.recipe, verdict.model_version, recipe.check, moment)
            self._store_history(line, after)

    def checked(self, record: LineChecked) -> None:
        """Note that a check ended."""
        with self._journal.read():
            before = self._histories.get(record.line) or CheckHistory(at=record.at)
            self._store_history(record.line, before.checked(record))

    def due(self, line: str) -> DueCheck | None:
        """Return the check of a line that is due; None: one that passed is valid, or none is required."""
        history = self._histories.get(line)
        required = self._required.get(line) or (history.required if history else None)
        found = due_check(history, required, self._shifts, self._clock().wall) if required else None
        metrics.CHECK_DUE.labels(line).set(found is not None)
        return found

    def mark(self, decision: PartDecided, plan: Plan) -> PartDecided:
        """Return a decision as it holds while a check of its line is due, or as it is."""
        line = decision.frame.line
        required = self._required.get(line) or plan.recipe.check
        if not required or not due_check(self._histories.get(line), required, self._shifts, self._clock().wall):
            return decision
        metrics.UNCHECKED.labels(line).inc()
        changes: dict[str, object] = {"unchecked": True}
        if required.while_due != "mark" and decision.action is not PartAction.STOP:
            changes |= {"action": PartAction(required.while_due), "reason": f"{decision.reason}; a check is due"}
        return decision.model_copy(update=changes)

    def describe(self, due: DueCheck) -> str:
        """Return why a line is not ready, with the time by the plant's clock."""
        since = ""
        if due.since:
            today, begun = (moment.astimezone(self._shifts.zone) for moment in (self._clock().wall, due.since))
            since = f" since {begun:%H:%M}" if begun.date() == today.date() else f" since {begun:%Y-%m-%d %H:%M}"
        return f"a check is due{since}: {REASONS[due.cause]}"

    def run(self, stop: threading.Event, health: Health) -> None:
        """Copy changes to object storage until ``stop`` is set."""
        while not stop.is_set():
            health.beat()
            self.copy()
            stop.wait(COPY_SECONDS)

    def copy(self) -> None:
        """Read the copies once, of which each newer one holds, and then write what has changed."""
        before, self._outage = self._outage, ""
        try:
            if self._copied is None:
                self._copied = self._adopt(self._read_copies())
            for line, history in list(self._histories.items()):
                if self._copied.get(line) is not history:
                    self._store.put(f"{FOLDER}/{line}.json", history.model_dump_json().encode(), "application/json")
                    self._copied[line] = history
        except StorageError as error:
            self._outage = str(error)
            if not before:
                _log.warning("what is known of checks can't be copied to object storage", reason=self._outage)

    def _read_copies(self) -> dict[str, CheckHistory]:
        found = {}
        for key in self._store.keys(f"{FOLDER}/"):
            if history := read_or_skip(key, partial(self._read, key)):
                found[key.rpartition("/")[2].removesuffix(".json")] = history
        return found

    def _read(self, key: str) -> CheckHistory:
        return CheckHistory.model_validate_json(self._store.get(key))

    def _adopt(self, copies: dict[str, CheckHistory]) -> dict[str, CheckHistory]:
        """Take each copy that is newer than the journal, because another gateway acted meanwhile; return all copies."""
        with self._journal.read():
            for line, copy in copies.items():
                own = self._histories.get(line)
                if own is None or own.at < copy.at:
                    self._store_history(line, copy)
        return copies

    def _store_history(self, line: str, history: CheckHistory) -> None:
        self._journal.store_check_history(line, history)
        self._histories[line] = history
