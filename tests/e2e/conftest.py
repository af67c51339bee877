"""One line for all tests: built, started, and always removed; its logs are shown with a test that failed."""

import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.composed import ROOT, ComposedLine, docker, wait_for

FRAMES: Final = 1_000
_line_of_session: pytest.StashKey[ComposedLine] = pytest.StashKey()


@dataclass(frozen=True)
class Inspected:
    """What was seen while a video went through the line."""

    accounting: dict[str, Any]
    handled: dict[str, int]
    """by worker"""
    killed: str
    """the worker's container"""
    inspected_at_kill: int


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with seams.mp4, drawn."""
    folder = tmp_path_factory.mktemp("videos")
    folder.chmod(0o755)
    draw = [sys.executable, "-m", "samples", "video", "--seed", "20", "--first-cloth", "1000"]
    subprocess.run([*draw, "--frames", str(FRAMES), str(folder / "seams.mp4")], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="session")
def line(
    request: pytest.FixtureRequest, video: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComposedLine]:
    """The whole line with three workers, healthy, and its camera not yet there."""
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        pytest.fail("no Docker engine answers: start one, or say where it is with DOCKER_HOST", pytrace=False)
    line = ComposedLine(tmp_path_factory.mktemp("line"), video)
    try:
        try:
            line.start()
        except BaseException:
            sys.stdout.write("\n".join(line.story().values()))
            raise
        request.session.stash[_line_of_session] = line
        yield line
    finally:
        line.remove()


@pytest.fixture(scope="session")
def inspected(line: ComposedLine) -> Inspected:
    """The camera played its video, and one worker was killed while it had frames in hand."""
    with line.api() as api:
        line.must("build", "camera", seconds=900)
        line.play(FRAMES)
        wait_for(lambda: len([count for count in line.handled(api).values() if count]) == 3, 180, "three workers judge")
        victim = line.containers("inference")[0]
        docker("kill", str(victim.ID))
        at_kill = wait_for(lambda: line.accounting(api), 200, "the line's account")["inspected"]
        return Inspected(
            wait_for(lambda: line.settled(api, FRAMES), 400, "all frames inspected and explained"),
            line.handled(api),
            str(victim.ID),
            at_kill,
        )


@pytest.fixture(scope="session")
def encrypted(line: ComposedLine, inspected: Inspected) -> ComposedLine:
    """The same line, given TLS after it ran without."""
    line.encrypt()
    return line


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach what the services said to a failure."""
    report = yield
    line = item.session.stash.get(_line_of_session, None)
    if report.failed and line:
        report.sections.extend(line.story().items())
    return report
