"""The import rules hold, and each fails when it is broken: a copy of the tree breaks it on purpose."""

import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.architecture.modules import cycles, read_imports, read_modules

ROOT = Path(__file__).parents[2]
PACKAGES = ("shared", "services", "samples", "deploy")
CONTRACT = "importlinter:contract:"

BREACHES = [
    ("services-are-strangers", "services.camera.frame_maker", "services.inference"),
    ("shared-knows-no-service", "shared.verdict", "services.camera"),
    ("drivers", "services.inference.handler", "pika"),
    ("drivers", "services.explainer.handler", "minio"),
    ("tensorflow", "services.dashboard.ingest.projector", "tensorflow"),
    ("tensorflow", "shared.explain.rendering", "tensorflow"),
    ("heatmaps", "services.inference.model", "shared.explain.cam"),
    ("heatmaps", "shared.imaging.codec", "shared.explain.rendering"),
    ("trainer-service", "services.trainer.handler", "keras"),
    ("trainer-service", "services.trainer.jobs.job_loop", "services.trainer.training.loss"),
    ("trainer-service", "services.trainer.__main__", "services.trainer.training.fit"),
    ("trainer-service", "services.trainer.jobs.measurer", "services.trainer.measuring.compare"),
    ("trainer-service", "services.trainer.promotion.gate", "openvino"),
    ("trainer-service", "services.trainer.promotion.comparison", "services.trainer.evaluation.evaluate"),
    ("dashboard-layers", "services.dashboard.live.hub", "services.dashboard.frames.service"),
    ("dashboard-layers", "services.dashboard.ingest.projector", "services.dashboard.frames.repository"),
    ("dashboard-layers", "services.dashboard.lines.service", "services.dashboard.frames.repository"),
    ("dashboard-layers", "services.dashboard.web.guard", "services.dashboard.access.service"),
    ("dashboard-layers", "services.dashboard.store.keys", "services.dashboard.web.query_times"),
    ("acyclic-packages", "shared.topology", "shared.messaging.port"),
    ("acyclic-packages", "services.camera.sources.reconnecting", "services.camera.frame_maker"),
    ("acyclic-packages", "services.trainer.evaluation.evaluate", "services.trainer.training.loss"),
    ("acyclic-packages", "services.trainer.jobs.job_loop", "services.trainer.training.options"),
    ("acyclic-packages", "services.dashboard.models.schemas", "services.dashboard.trainings.pages"),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the tree and its rules."""
    for package in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__", "model", "requirements")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def _break(copy: Path, module: str, imported: str) -> None:
    path = copy / f"{module.replace('.', '/')}.py"
    path.write_text(f"import {imported}\n{path.read_text()}")


def _lint(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([tool, "--no-cache", *arguments], cwd=copy, capture_output=True, text=True, check=False)


def test_the_tree_keeps_the_rules(copy: Path) -> None:
    linted = _lint(copy)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize(("contract", "module", "imported"), BREACHES)
def test_a_broken_rule_is_found(copy: Path, contract: str, module: str, imported: str) -> None:
    _break(copy, module, imported)
    linted = _lint(copy, "--contract", contract)
    assert linted.returncode == 1, linted.stdout
    assert _edge(contract, module, imported) in " ".join(linted.stdout.split())  # the linter wraps long lines


def _edge(contract: str, module: str, imported: str) -> str:
    """Return the import as the linter writes it: `.a -> .b` for two neighbours in a package, else the full names."""
    if contract != "acyclic-packages":
        return f"{module} -> {imported} (l.1)"
    pairs = zip(module.split("."), imported.split("."), strict=False)
    importer, target = next((a, b) for a, b in pairs if a != b)
    return f".{importer} -> .{target} (1 import)"


def test_each_rule_is_broken_once() -> None:
    rules = ConfigParser()
    rules.read(ROOT / ".importlinter")
    contracts = {section.removeprefix(CONTRACT) for section in rules.sections() if section.startswith(CONTRACT)}
    assert {contract for contract, _, _ in BREACHES} == contracts


def test_no_modules_import_each_other() -> None:
    assert cycles(read_imports(read_modules(ROOT, *PACKAGES), lazy=True)) == []


def test_a_cycle_between_a_package_and_its_module_is_found(copy: Path) -> None:
    """The linter finds no cycle between a package and a module in it."""
    _break(copy, "shared.messaging.port", "shared.messaging")
    assert [
        cycle
        for cycle in cycles(read_imports(read_modules(copy, *PACKAGES), lazy=True))
        if {"shared.messaging", "shared.messaging.port"} <= set(cycle)
    ]
