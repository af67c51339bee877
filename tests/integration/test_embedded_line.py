"""The whole line on one machine, as `make demo` runs it, with the model and the video that it ships."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.embedded.line import FLOW, LINE
from deploy.embedded.state import state_for_one
from samples.still import draw_seam
from shared.imaging.codec import encode
from tests.processes import free_port, wait_until
from tests.receiver import receiving
from tests.spans import SeenSpan, spans_at

pytestmark = pytest.mark.timeout(1500)
FRAMES = 60
WAY = {
    ("camera", "capture"),
    ("camera", "store"),
    ("camera", "publish seamline.frames"),
    ("inference", "wait inference.frames"),
    ("inference", "process inference.frames"),
    ("inference", "fetch"),
    ("inference", "decode"),
    ("inference", "infer"),
    ("inference", "publish seamline.verdicts"),
    ("gateway", "process gateway.verdicts"),
    ("gateway", "decide"),
    ("dashboard", "wait dashboard.verdicts"),
    ("dashboard", "process dashboard.verdicts"),
    ("dashboard", "count"),
    ("dashboard", "process dashboard.parts"),
}
"""The spans of every frame on its way, each with its service."""
PASSWORD = "umbrella copper thirty lanterns"
HALL = "hall-2"
of_played = pytest.mark.xdist_group("played")
"""Of tests about one line, which one process plays once."""


def _demo(folder: Path, *words: str, **settings: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.embedded", "--state", str(folder / "state"), "--port", str(free_port()), *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _ended(line: subprocess.Popen[str]) -> tuple[str, str]:
    """What it said until it ended; it ends with the test in any case."""
    try:
        return line.communicate(timeout=400)
    finally:
        line.kill()


@pytest.fixture(scope="module")
def seams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of seam images, every third with a cut thread, and one file that is no image."""
    folder = tmp_path_factory.mktemp("seams")
    for number in range(20):
        frame = draw_seam(number, defects={"break"} if number % 3 == 0 else set())
        (folder / f"{number:03}.png").write_bytes(encode(frame.image, "png"))
    (folder / "013.png").write_bytes(b"")
    return folder


@dataclass(frozen=True)
class Played:
    """What a line said that played all frames, and the spans that its services sent to a collector."""

    folder: Path
    summary: dict[str, Any]
    spans: list[SeenSpan]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, seams: Path) -> Played:
    with receiving() as collector:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}"}
        folder = tmp_path_factory.mktemp("played")
        words = ("--frames", str(FRAMES), "--source", str(seams), "--parts")
        line = _demo(folder, *words, CAMERA_LINE=HALL, **endpoint)
        out, err = _ended(line)
        assert line.returncode == 0, err[-3000:]
        return Played(folder, json.loads(out.splitlines()[-1]), spans_at(collector))


@of_played
def test_every_frame_is_accounted_for_and_every_flagged_one_is_explained(played: Played) -> None:
    summary = played.summary
    assert summary["captured"] == FRAMES == summary["inspected"] + summary["dropped"] + summary["parked"]
    assert summary["in_flight"] == 0
    assert summary["parts"] == FRAMES
    assert summary["explained"] == summary["flagged"] > 0
    assert set(summary["defect_rates"]) == {"good", "error", "break", "length"}
    assert summary["model_version"]


@of_played
def test_every_frame_has_one_trace_from_its_capture_to_its_count_decision_and_heatmap(played: Played) -> None:
    traces: dict[str, list[SeenSpan]] = defaultdict(list)
    for span in played.spans:
        traces[span.trace].append(span)
    assert len(traces) == FRAMES
    for spans in traces.values():
        (root,) = [span for span in spans if not span.parent]
        assert (root.name, root.service) == ("capture", "seamline-camera")
        assert {span.parent for span in spans if span.parent} <= {span.id for span in spans}
        assert {(span.service.removeprefix("seamline-"), span.name) for span in spans} >= WAY
    heatmaps = [span for span in played.spans if (span.service, span.name) == ("seamline-explainer", "heatmap")]
    assert len({span.trace for span in heatmaps}) == played.summary["explained"]


@of_played
def test_a_second_run_on_the_same_folder_goes_on_and_counts_its_own_frames(played: Played, seams: Path) -> None:
    frames = FRAMES // 4
    settings = {"CAMERA_LINE": HALL, "DASHBOARD_LOGIN": "true", "DASHBOARD_FIRST_ADMIN_PASSWORD": PASSWORD}
    line = _demo(played.folder, "--frames", str(frames), "--source", str(seams), **settings)
    out, err = _ended(line)
    assert line.returncode == 0, err[-3000:]
    assert re.search(r"^Dashboard http://127\.0\.0\.1:\d+/$", err, re.MULTILINE)
    assert "people log in" in err
    summary = json.loads(out.splitlines()[-1])
    assert summary["captured"] == frames == summary["inspected"] + summary["dropped"] + summary["parked"]
    archived = (played.folder / "state" / "objects" / "verdicts").rglob("*")
    assert len([path for path in archived if path.is_file()]) > 1, "the verdicts of the first run are still there"


@pytest.fixture
def running_line(tmp_path: Path, seams: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    line = _demo(tmp_path, "--source", str(seams), "--loop")
    yield line, tmp_path / "state"
    if line.poll() is None:
        line.kill()
        line.communicate()


def test_a_service_that_crashes_is_started_again_and_ctrl_c_stops_every_one(
    running_line: tuple[subprocess.Popen[str], Path],
) -> None:
    line, state = running_line
    wait_until(lambda: _judges(state), 400, "a line that judges")
    inspected = _inspected(state)
    worker = _pid_of("services.inference", _children(line.pid))
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: _pid_of("services.inference", _children(line.pid)) not in (0, worker), 200, "another worker")
    explainer = _pid_of("services.explainer", _children(line.pid))
    os.kill(explainer, signal.SIGTERM)  # it ends with code 0
    wait_until(lambda: _inspected(state) > inspected + 20, 400, "verdicts of the other worker")
    wait_until(lambda: _pid_of("services.explainer", _children(line.pid)) not in (0, explainer), 200, "an explainer")

    second = _demo(state.parent, "--fresh")
    _, said = _ended(second)
    assert second.returncode == 2
    assert "another line uses" in said
    wait_until(lambda: _inspected(state) > inspected, 200, "the first line to go on")

    children = _children(line.pid)
    assert len(children) == len(FLOW)
    line.send_signal(signal.SIGINT)
    _ended(line)
    assert line.returncode == 0
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _pid_of(module: str, processes: list[int]) -> int:
    return next((pid for pid in processes if module in _command(pid)), 0)


def _command(process: int) -> str:
    with suppress(OSError):  # it may have ended
        return Path(f"/proc/{process}/cmdline").read_text()
    return ""


def _judges(state: Path) -> bool:
    return _inspected(state) > 0


def _inspected(state: Path) -> int:
    """What the dashboard says; its address is in its log."""
    log = state / "logs" / "dashboard.log"
    logged = (
        json.loads(text)
        for text in (log.read_text() if log.exists() else "").splitlines()
        if text[:1] == "{" and text[-1:] == "}"
    )
    address = next((line["address"] for line in logged if "address" in line), None)
    if address is None:
        return 0
    try:
        answer = httpx.get(f"{address}api/lines/{LINE}/accounting", timeout=60)
    except httpx.TransportError:  # it says where it will be before it is there
        return 0
    return int(answer.json()["inspected"]) if answer.status_code == httpx.codes.OK else 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--source", "nowhere.mp4"], "nowhere.mp4 does not exist"),
        (["--model", "nowhere"], "nowhere is no model"),
        (["--recipe", "other.yaml"], "is not the recipe of model"),
        (["--recipe", "missing.yaml"], "missing.yaml: can't be read"),
        (["--state", "."], "holds something else"),
    ],
)
def test_a_source_that_cant_be_played_is_refused_in_one_line(tmp_path: Path, words: list[str], complaint: str) -> None:
    (tmp_path / "other.yaml").write_text(
        "name: fruit\ntask: exclusive\nlabels:\n"
        "  apple: {key: a, colour: green, role: attribute}\n  orange: {key: o, colour: blue, role: attribute}\n"
    )
    with state_for_one(tmp_path / "state", fresh=False):
        label = tmp_path / "state" / "objects" / "label.json"
        label.parent.mkdir()
        label.touch()
    refused = _demo(tmp_path, "--fresh", *words)
    _, err = _ended(refused)
    assert refused.returncode == 2
    assert complaint in err
    assert len(err.strip().splitlines()) == 1
    assert label.exists(), "what is refused deletes nothing"
