"""Two processes that train one model, as two hosts would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.strokes import draw_strokes

pytestmark = pytest.mark.xdist_group("cluster")  # its fixtures take long: one worker makes them

PATIENCE = 1500.0
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
"""For each of them: they would only take turns."""
OWN_NETWORK = ("unshare", "--map-root-user", "--net")


@dataclass
class Cluster:
    """What became of the processes of `tests.cluster_members`."""

    folder: Path

    def code(self, name: str) -> int:
        return int((self.folder / f"{name}.code").read_text())

    def said(self, name: str) -> list[str]:
        return (self.folder / f"{name}.log").read_text().splitlines()

    def made(self, name: str, file: str) -> Any:
        return json.loads((self.folder / name / file).read_text())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """After all of them have ended."""
    try:
        subprocess.run([*OWN_NETWORK, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"TensorFlow would listen on every interface, and this system lends no network of our own: {error}")
    folder = tmp_path_factory.mktemp("cluster")
    strokes = draw_strokes(tmp_path_factory.mktemp("strokes") / "drawn", 92)  # the last batch is odd
    command = [*OWN_NETWORK, sys.executable, "-m", "tests.cluster_members", str(strokes), str(folder)]
    with (folder / "all.log").open("w") as log:
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", **ONE_THREAD}
        everyone = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            everyone.wait(PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(everyone.pid, signal.SIGKILL)
    assert everyone.returncode == 0, (folder / "all.log").read_text()
    return Cluster(folder)


def test_a_cluster_trains_the_model_that_one_process_would_though_it_was_killed_on_the_way(cluster: Cluster) -> None:
    alone, together = (cluster.made(name, "history.json") for name in ("alone", "chief"))
    for row, ours in zip(alone, together, strict=True):
        assert ours == pytest.approx(row, rel=1e-3)
    alone, together = (cluster.made(name, "scores.json")["splits"] for name in ("alone", "chief"))
    for part in ("valid", "test"):
        assert together[part]["names"] == alone[part]["names"]
        assert np.array(together[part]["scores"]) == pytest.approx(np.array(alone[part]["scores"]), abs=1e-3)


def test_the_model_says_how_many_trained_it(cluster: Cluster) -> None:
    def replicas(name: str) -> list[int]:
        return [run["replicas"] for run in cluster.made(name, "manifest.json")["options"]["computed_in"]]

    assert (replicas("chief"), replicas("alone")) == ([2], [1])


def test_the_death_of_a_worker_ends_the_training_with_a_remedy(cluster: Cluster) -> None:
    assert (cluster.code("killed_worker"), cluster.code("missing_chief")) == (-signal.SIGKILL, 2)
    *_, last = said = cluster.said("missing_chief")
    assert last.startswith("lost another worker of TF_CONFIG (")
    assert "Traceback" not in "".join(said)
    assert not (cluster.folder / "missing_chief").exists()


def test_a_cluster_that_is_started_again_continues_from_the_checkpoint(cluster: Cluster) -> None:
    epochs = [line.split()[1] for line in cluster.said("chief") if line.startswith("epoch")]
    assert epochs == ["2/3", "3/3"]
    assert not (cluster.folder / "checkpoint.npz").exists()


def test_the_chief_alone_reports_and_writes(cluster: Cluster) -> None:
    assert (cluster.code("chief"), cluster.code("worker")) == (0, 0)
    assert cluster.said("worker")[-1] == "worker 1 has finished: the chief writes the model"
    assert not [line for line in cluster.said("worker") if line.startswith("epoch")]
    assert not (cluster.folder / "worker").exists()
