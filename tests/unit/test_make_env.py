"""The command that writes .env: random secrets, and TLS when it is asked for, also later; and what follows from it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

from tests.servers import DEPLOY

EXAMPLE: Final = DEPLOY.parent / ".env.example"


def run(*words: str | Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    command = ["/bin/sh", DEPLOY / "make-env", EXAMPLE, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_every_secret_is_filled_in_and_the_file_is_the_owner_s_alone(tmp_path: Path) -> None:
    out = tmp_path / ".env"
    assert run(out).returncode == 0
    assert out.stat().st_mode & 0o777 == 0o600
    names = re.findall(r"^([A-Z_]+)=$", EXAMPLE.read_text(), re.MULTILINE)
    secrets = dict(re.findall(r"^([A-Z_]+)=([0-9a-f]{48})$", out.read_text(), re.MULTILINE))
    assert set(secrets) == set(names)
    assert len(set(secrets.values())) == len(names)
    assert "COMPOSE_FILE=" not in out.read_text()


def test_tls_is_added_to_a_file_that_is_there_and_nothing_else_changes(tmp_path: Path) -> None:
    out = tmp_path / ".env"
    run(out)
    before = out.read_text()
    assert run(out, "--tls").returncode == 0
    added = out.read_text().removeprefix(before).split()
    assert added == ["COMPOSE_FILE=docker-compose.yml:deploy/compose.tls.yml", f"TLS_GROUP={os.getgid()}"]
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    out = tmp_path / ".env"
    run(out, "--tls")
    before = out.read_text()
    for words in ((), ("--tls",)):
        refused = run(out, *words)
        assert refused.returncode == 2
        assert "is there already" in refused.stderr
    assert out.read_text() == before


def test_without_openssl_tls_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    refused = run(tmp_path / ".env", "--tls", path=str(tmp_path))
    assert refused.returncode == 2
    assert "openssl is not installed" in refused.stderr
    assert not (tmp_path / ".env").exists()


def settings_of_a_further_camera(folder: Path) -> str:
    """As `make camera` prints them, with a compose that does nothing."""
    command: list[str | Path] = ["/bin/sh", DEPLOY / "camera", "add", "line-2", "camera-2"]
    environment = {**os.environ, "COMPOSE": "true"}
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


def test_a_further_camera_uses_tls_as_the_others_do(tmp_path: Path) -> None:
    run(tmp_path / ".env")
    before = settings_of_a_further_camera(tmp_path)
    assert "CAMERA_BROKER_URL=amqp://SERVER:5672/" in before
    assert "TLS" not in before
    run(tmp_path / ".env", "--tls")
    after = settings_of_a_further_camera(tmp_path)
    assert "CAMERA_BROKER_URL=amqps://SERVER:5671/" in after
    assert "CAMERA_STORAGE_URL=s3s://SERVER:9000/" in after
    assert "CAMERA_TLS_KEY=/opt/tls/private.key" in after
