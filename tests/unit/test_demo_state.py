"""What the demo does with the folder that an earlier line left, and with services that end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.embedded import processes
from deploy.embedded.line import Accounts
from deploy.embedded.processes import Service, ServiceFailed
from deploy.embedded.state import LOCK, MARK, StateRefused, state_for_one
from tests.processes import wait_until


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """The folder of an earlier line, with a label in it."""
    with state_for_one(tmp_path / "state", fresh=False):
        label = tmp_path / "state" / "objects" / "labels" / "1.json"
        label.parent.mkdir(parents=True)
        label.touch()
    return tmp_path / "state"


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_a_line_continues_with_its_state(left: Path) -> None:
    with state_for_one(left, fresh=False):
        assert _files(left) == {MARK, LOCK, "1.json"}


def test_a_fresh_start_deletes_the_state(left: Path) -> None:
    with state_for_one(left, fresh=True):
        assert _files(left) == {MARK, LOCK}


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(StateRefused, match="holds something else"), state_for_one(tmp_path, fresh=fresh):
        pass
    assert _files(tmp_path) == {"thesis.txt"}


def test_a_folder_of_another_version_is_refused_with_a_remedy_and_left_unchanged(left: Path) -> None:
    (left / MARK).write_text("99")
    with pytest.raises(StateRefused, match=r"another version .*layout 99.* FRESH=1"), state_for_one(left, fresh=False):
        pass
    assert "1.json" in _files(left)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_in_use_is_left_alone_even_while_only_a_service_is_left(left: Path, fresh: bool) -> None:
    with state_for_one(left, fresh=False) as lock:
        service = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
    with pytest.raises(StateRefused, match="another line uses"), state_for_one(left, fresh=fresh):
        pass
    assert "1.json" in _files(left)
    service.communicate(b"\n", timeout=60)
    with state_for_one(left, fresh=False):
        pass


@pytest.fixture
def short_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service that ends at once, with code 0."""
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "short.py").write_text("print('done')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(processes, "PAUSES", (0.0, 0.1, 0.2, 0.3, 0.4))
    monkeypatch.setattr(processes, "RESTART_WINDOW_SECONDS", 600)  # a busy machine starts few processes in a minute
    return Service("short", {"PYTHONPATH": os.fspath(tmp_path)}, tmp_path / "short.log")


def test_a_service_that_ends_with_code_0_before_its_work_does_is_started_again_after_pauses(
    short_service: Service,
) -> None:
    short_service.start()

    def given_up() -> bool:
        try:
            short_service.keep_alive()
        except ServiceFailed as failed:
            assert "short ended 5 times in a minute: done" in str(failed)  # noqa: PT017 - the others must not raise
            return True
        return False

    began = time.monotonic()
    wait_until(given_up, 150, "the service to be given up")
    assert len(short_service.starts) == 5
    assert time.monotonic() - began > 0.1 + 0.2 + 0.3


def test_a_service_whose_work_is_done_is_not_started_again(short_service: Service) -> None:
    short_service.may_finish = True
    short_service.start()
    wait_until(lambda: short_service.exit_code == 0, 60, "the service to end")
    assert not short_service.keep_alive()


def test_accounts_of_a_run_leave_out_earlier_counts() -> None:
    before = Accounts(captured=10, inspected=9, flagged=2, explained=2, parked=1)
    now = Accounts(captured=30, inspected=27, flagged=5, explained=5, dropped=2, parked=1)
    assert now.since(before) == Accounts(captured=20, inspected=18, flagged=3, explained=3, dropped=2)
