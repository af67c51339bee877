"""The audit log, if storage goes away between an entry and its outcome."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.dashboard.access.audit import Audit
from services.dashboard.access.pages import ACTIONS, WORDS
from services.dashboard.web.problems import Problem
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from tests.processes import wait_until


def test_the_outcome_of_a_failed_action_is_written_when_storage_is_back(
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

    def outcomes() -> list[str | None]:
        return [each.failed for each in audit.newest(began, datetime.now(UTC), None)]

    began = datetime.now(UTC)
    with monkeypatch.context() as patch, pytest.raises(Problem, match="no such model"):
        promote(patch)
    wait_until(lambda: outcomes() == ["no such model"], 120, "the outcome")
    stop.set()


def test_every_action_of_the_audit_log_has_words() -> None:
    root = Path(__file__).parents[4] / "services" / "dashboard"
    sources = [path.read_text() for path in root.rglob("*.py")]
    found = {each for text in sources for each in re.findall(r'record(?:ing)?\(\s*f?"([a-z]+\.[a-z]+)"', text)}
    assert len(found) > 15
    assert found - WORDS.keys() == set()
    assert {action.partition(".")[0] for action in WORDS} == set(ACTIONS)
