"""What the demo does with the folder that an earlier line left, and with services that end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from deploy.embedded import processes
from deploy.embedded.line import FLOW, Accounting, CannotPlay, DemoOptions, check_settings, services
from deploy.embedded.processes import Service, ServiceFailed
from deploy.embedded.state import LOCK_FILE, MARK_FILE, StateRefused, state_for_one
from deploy.embedded.view import View, access_of
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
        assert _files(left) == {MARK_FILE, LOCK_FILE, "1.json"}


def test_a_fresh_start_deletes_the_state(left: Path) -> None:
    with state_for_one(left, fresh=True):
        assert _files(left) == {MARK_FILE, LOCK_FILE}


def test_a_fresh_start_asks_before_it_deletes_annotations(left: Path) -> None:
    annotation = left / "objects" / "labelling" / "annotations" / "video-1" / "1.json"
    annotation.parent.mkdir(parents=True)
    annotation.touch()
    asked: list[int] = []

    def agrees(annotations: int) -> bool:
        asked.append(annotations)
        return True

    with pytest.raises(StateRefused, match=r"1 annotations, .*YES=1"), state_for_one(left, fresh=True):
        pass
    assert annotation.exists()
    with state_for_one(left, fresh=True, may_delete=agrees):
        assert asked == [1]
        assert _files(left) == {MARK_FILE, LOCK_FILE}


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(StateRefused, match="holds something else"), state_for_one(tmp_path, fresh=fresh):
        pass
    assert _files(tmp_path) == {"thesis.txt"}


def test_a_folder_of_another_version_is_refused_with_a_remedy_and_left_unchanged(left: Path) -> None:
    (left / MARK_FILE).write_text("99")
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
    monkeypatch.setattr(processes, "RESTART_PAUSES", (0.0, 0.1, 0.2, 0.3, 0.4))
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
    before = Accounting(captured=10, inspected=9, flagged=2, explained=2, parked=1)
    now = Accounting(captured=30, inspected=27, flagged=5, explained=5, dropped=2, parked=1)
    assert now.since(before) == Accounting(captured=20, inspected=18, flagged=3, explained=3, dropped=2)


@pytest.fixture
def options(tmp_path: Path) -> DemoOptions:
    return DemoOptions("0", None, "source", "loop", "seam", tmp_path / "model", tmp_path)


def test_settings_of_services_in_the_environment_hold_for_the_demo(
    options: DemoOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"CAMERA_LINE": "hall-2", "CAMERA_AT_END": "stop", "INFERENCE_LOG_FORMAT": "text", "CAMERA_SOURCE": "1"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    seen = {name: {**os.environ, **service.environment} for name, service in services(options, 8000).items()}
    assert tuple(seen) == FLOW
    assert (seen["camera"]["CAMERA_LINE"], options.line) == ("hall-2", "hall-2")
    assert seen["camera"]["CAMERA_AT_END"] == "stop"
    assert seen["inference"]["INFERENCE_LOG_FORMAT"] == "text"
    assert seen["camera"]["CAMERA_SOURCE"] == options.source, "SOURCE= is the stronger one"


@pytest.mark.parametrize(
    ("name", "says"), [("CAMERA_FRAMES", "FRAMES="), ("TRAINER_BROKER_URL", "unset it"), ("INFERENCE_RECIPE", "MODEL=")]
)
def test_a_setting_that_the_demo_would_ignore_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.setenv(name, "7")
    with pytest.raises(CannotPlay, match=f"{name}: .*{says}"):
        check_settings(tmp_path, 8000, "")


def test_a_wrong_setting_of_a_service_is_named_before_the_demo_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAMERA_ROI", "here")
    with pytest.raises(SystemExit):
        check_settings(tmp_path, 8000, "")
    assert "CAMERA_ROI: a region is x,y,width,height" in capsys.readouterr().err


def test_the_terminal_shows_the_address_who_may_log_in_and_faults_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert access_of(check_settings(tmp_path, 8000, "")) == "Reachable from this machine alone, without a login"
    monkeypatch.setenv("DASHBOARD_LOGIN", "true")
    settings = check_settings(tmp_path, 8000, "")
    console = Console(record=True, width=100)
    accounting = Accounting(captured=4, inspected=4, defect_rates={"good": 0.5, "break": 0.25})
    console.print(View(settings.address, [access_of(settings)], {"good"}).draw(accounting))
    text = console.export_text()
    assert "Dashboard http://127.0.0.1:8000/" in text
    assert "people log in; the first is admin" in text
    assert "not good" in text
    assert "not break" not in text
