"""What is locked, listed and audited is what is in the images."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.unit.test_compose import DOCKERFILE, FLOW, ROOT

REQUIREMENTS: Final = ROOT / "deploy" / "requirements"


def commands_of(target: str) -> str:
    """What ``make`` would do."""
    dry = ["make", "--dry-run", "--always-make", "--no-print-directory", target]
    return subprocess.run(dry, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_every_image_is_listed_and_audited() -> None:
    listed = re.search(r"for image in ([a-z ]+);", commands_of("sbom"))
    assert listed
    assert listed.group(1).split() == FLOW
    audited = re.findall(r"--requirement deploy/requirements/(\w+)\.txt", commands_of("audit"))
    assert set(audited) == {*FLOW, "uv"}
    assert "deploy/requirements/${SERVICE}.txt" in DOCKERFILE


def test_an_audit_passes_no_unknown_package_over() -> None:
    assert "pip-audit --strict" in commands_of("audit")


@pytest.mark.parametrize("file", sorted(REQUIREMENTS.glob("*.txt")), ids=lambda file: file.stem)
def test_every_locked_package_has_one_exact_version_and_hashes(file: Path) -> None:
    locked = re.split(r"\n(?=[a-zA-Z0-9])", file.read_text().strip())
    assert locked
    for entry in locked:
        assert re.match(r"[\w.\[\],-]+==[^\s;]+", entry), entry.splitlines()[0]
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_the_tools_are_locked() -> None:
    locked = (REQUIREMENTS / "tools.txt").read_text()
    for tool in (REQUIREMENTS / "tools.in").read_text().split():
        assert re.search(rf"^{tool}==", locked, re.MULTILINE)
