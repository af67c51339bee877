"""Record the checks that ended: in object storage, and in the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from services.dashboard.access.audit import Audit
from services.dashboard.checks.repository import CheckRepository, CheckRequests
from shared.messages import LineChecked
from shared.messaging.loop import RetryLater
from shared.storage.port import ObjectStore, StorageError


class CheckRecorder:
    """Applies `LineChecked`; applying it again changes nothing."""

    def __init__(self, store: ObjectStore, requests: CheckRequests, audit: Audit) -> None:
        self._records = CheckRepository(store)
        self._requests = requests
        self._audit = audit

    def record(self, messages: Sequence[LineChecked]) -> None:
        """Record checks that ended.

        Raises:
            RetryLater: object storage is unavailable.
        """
        try:
            for message in messages:
                if self._records.get(message.line, message.check_id) is None:
                    self._record(message)
                self._requests.end(message.line, message.check_id)
        except StorageError as error:
            raise RetryLater(str(error)) from error

    def _record(self, message: LineChecked) -> None:
        """Enter a check into the audit log, then store its record: a crash between both repeats the entry."""
        self._audit.record(
            "check.finish",
            f"{message.line}/{message.check_id}",
            message.by,
            passed=message.passed,
            reason=message.reason,
            recipe=message.recipe,
            model_versions=list(message.model_versions),
            escapes=message.escapes,
            overkill=message.overkill,
            parts=[
                {
                    "part": each.part.name,
                    "expected": each.part.expected.value,
                    "verdict": each.verdict.value,
                    "passed": each.passed,
                }
                for each in message.parts
            ],
        )
        self._records.put(message)
