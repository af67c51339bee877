"""A short run of the soak, with one fault of most kinds: the books balance, and nothing stays broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(900)
def test_a_line_that_is_broken_in_many_ways_loses_no_frame_and_comes_back(tmp_path: Path) -> None:
    options = {"minutes": 1.5, "seed": 9, "pace": 3, "step": 8, "folder": tmp_path}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    run = subprocess.run(
        [sys.executable, "-m", "tests.soak", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout, run.stderr[-5000:]
    found = json.loads(run.stdout)
    assert found["problems"] == [], run.stderr[-5000:]
    assert found["faults"] >= 10
    assert found["kinds"] >= 10
    assert found["captured"] == found["verdicts"] + found["dropped"] + found["parked_frames"]
    assert found["flagged"] == found["explained"] > 0
