"""The import rules hold, and they fail when they are broken: they are broken on purpose in a copy of the tree."""

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


BREACHES = {
    "services/camera/frames.py": "services.inference",
    "services/inference/handler.py": "pika",
    "services/explainer/handler.py": "minio",
    "services/dashboard/ingest/projector.py": "tensorflow",
    "services/inference/model.py": "shared.explain.gradients",
    "shared/explain/heat.py": "tensorflow",
    "shared/imaging/codec.py": "shared.explain.heat",
    "shared/verdict.py": "services.camera",
}


def test_every_broken_rule_is_found(copy: Path) -> None:
    for module, imported in BREACHES.items():
        with (copy / module).open("a") as file:
            file.write(f"\nimport {imported}\n")
    linted = _lint(copy)
    assert linted.returncode == 1, linted.stdout
    for module, imported in BREACHES.items():
        assert f"{module.removesuffix('.py').replace('/', '.')} -> {imported} (l." in linted.stdout


def test_the_tree_keeps_the_rules(copy: Path) -> None:
    assert _lint(copy).returncode == 0
