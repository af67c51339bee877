"""The audit log, when storage goes away between an entry and how it ended."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.dashboard.access.audit import Audit
from services.dashboard.web.problems import Problem
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from tests.processes import wait_until


def test_what_fails_while_storage_is_away_says_why_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    audit = Audit(FilesystemStore(tmp_path), stop)

    def away(*_args: object) -> None:
        raise StorageUnavailable("away")

    def promote(patch: pytest.MonkeyPatch) -> None:
        with audit.recording("model.promote", "seam/1", "eva"):
            patch.setattr(FilesystemStore, "put", away)
            raise Problem(404, "no such model")

    with monkeypatch.context() as patch, pytest.raises(Problem, match="no such model"):
        promote(patch)
    now = datetime.now(UTC)
    wait_until(lambda: [each.failed for each in audit.newest(now, now, None)] == ["no such model"], 20, "the outcome")
    stop.set()
