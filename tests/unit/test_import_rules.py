"""The import rules hold, and they fail when they are broken: each rule is broken on purpose in a copy of the tree."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("shared", "services", "samples", "deploy")


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([tool, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__", "model", "requirements")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("services/camera/handler.py", "import services.inference"),
        ("services/inference/handler.py", "import pika"),
        ("services/explainer/handler.py", "import minio"),
        ("services/dashboard/handler.py", "import tensorflow"),
        ("services/inference/handler.py", "import shared.heatmaps.gradients"),
        ("shared/heatmaps/heat.py", "import tensorflow"),
        ("shared/vision/codec.py", "import shared.heatmaps.heat"),
        ("shared/verdict.py", "import services.camera"),
    ],
)
def test_a_broken_rule_is_found(copy: Path, module: str, statement: str) -> None:
    with (copy / module).open("a") as file:
        file.write(f"\n{statement}\n")
    linted = _lint(copy)
    assert linted.returncode == 1, linted.stdout
    assert "BROKEN" in linted.stdout


def test_the_tree_keeps_the_rules(copy: Path) -> None:
    assert _lint(copy).returncode == 0
