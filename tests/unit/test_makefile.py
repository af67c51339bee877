"""What a person types reaches the program as it was typed: neither make nor the shell expands it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TYPED = "rtsp://admin:pa$word`touch run`$(shell touch run)\"'\\;#&@127.0.0.1/a b"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile with programs that only say what they were given."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    say = '#!/bin/sh\nenv | grep -E "^DEMO_" >said\nprintf "%s\\n" "$@" >>said\n'
    programs = [
        ".venv/bin/uv", ".venv/bin/python", ".venv/bin/pytest", ".venv/charts/bin/helm",
        "deploy/camera", "deploy/make-env", "deploy/make-certs", "docker",
    ]  # fmt: skip
    for name in programs:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(say)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "docker").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >>said\n')
    for group in ("uv", "embedded", "dev", "samples", "charts", "helm"):
        locked = tmp_path / "deploy" / "requirements" / f"{group}.txt"
        locked.parent.mkdir(exist_ok=True)
        locked.touch()
    nodeset = tmp_path / ".venv" / "share" / "seamline" / "Opc.Ua.MachineVision.NodeSet2.xml"
    for file in (tmp_path / "deploy" / "opcua" / "package-lock.json", nodeset):
        file.parent.mkdir(parents=True)
        file.touch()
    for stamp in ("bin/uv", ".embedded-installed", ".dev-installed", ".samples-installed", "charts/.installed"):
        (tmp_path / ".venv" / stamp).touch()
    return tmp_path


def said(checkout: Path, *typed: str) -> str:
    environment = {"PATH": f"{checkout}:/usr/bin:/bin"}
    subprocess.run(["make", *typed], cwd=checkout, env=environment, check=True, capture_output=True, timeout=300)
    assert not (checkout / "run").exists(), "a part of the value was run"
    return (checkout / "said").read_text()


def test_a_source_reaches_the_demo_as_it_was_typed(checkout: Path) -> None:
    assert f"DEMO_SOURCE={TYPED}\n" in said(checkout, "demo", f"SOURCE={TYPED}")


@pytest.mark.parametrize("target", ["camera", "no-camera"])
def test_the_names_of_a_camera_reach_the_program_as_they_were_typed(checkout: Path, target: str) -> None:
    (checkout / ".env").touch()
    assert said(checkout, target, f"LINE={TYPED}", "NAME=$HOME").endswith(f"\n{TYPED}\n$HOME\n")


def test_what_env_says_of_certificates_is_not_run(checkout: Path) -> None:
    (checkout / ".env").write_text("TLS_FOLDER=a `touch run`\nDASHBOARD_ALLOWED_HOSTS=one,$(touch run)\n")
    words = said(checkout, "certs", "CAMERA=camera-2 $(shell touch run)").splitlines()
    assert words[:5] == ["a `touch run`", "--camera", "camera-2", "--camera", "$(shell"]
    assert words[-6:] == ["--host", "one", "--host", "$(touch", "--host", "run)"]


def test_the_options_of_the_soak_are_not_run(checkout: Path) -> None:
    assert said(checkout, "soak", "MINUTES=1`touch run`", "SEED=$(shell touch run)").endswith(
        "--minutes\n1`touch run`\n--seed\n$(shell touch run)\n"
    )


def test_the_folder_of_a_backup_reaches_docker_as_it_was_typed(checkout: Path) -> None:
    (checkout / ".env").touch()
    folder = "a $HOME `touch run` $(shell touch run) \"'\\;#&"
    volume = f"\n--volume\n{checkout}/{folder}:/backup\n"
    assert volume in said(checkout, "backup", f"TO={folder}")
    assert (checkout / folder).is_dir()
    (checkout / "said").unlink()
    assert volume in said(checkout, "restore", f"FROM={folder}")


@pytest.mark.parametrize(
    ("target", "variable", "option"),
    [("up", "PROFILE", "--profile"), ("chart", "VALUES", "--values"), ("test", "WORKERS", "-n")],
)
def test_an_option_reaches_the_program_as_it_was_typed(checkout: Path, target: str, variable: str, option: str) -> None:
    (checkout / ".env").touch()
    (checkout / "var" / "videos").mkdir(parents=True)
    (checkout / "var" / "videos" / "seams.mp4").touch()
    typed = "a $HOME `touch run` $(shell touch run) * \"'\\;#&"
    assert f"\n{option}\n{typed}\n" in f"\n{said(checkout, target, f'{variable}={typed}')}"
    (checkout / "said").unlink()
    if target != "test":
        assert option not in said(checkout, target)


@pytest.mark.parametrize("arguments", [("env", "TLS=$(shell touch run)"), ("certs", "RENEW=$(shell touch run)")])
def test_a_switch_is_not_run(checkout: Path, arguments: tuple[str, str]) -> None:
    (checkout / ".env").touch()
    said(checkout, *arguments)
